/**
 * Mutated messages through the codecs, the answering side, the forwarder and the control part: nothing but `WireError` leaves a
 * codec, every reply is sound, and neither time nor memory grows with what is sent.
 *
 *   V6EDGE_FUZZ=1000000   how many messages go through parser and server (the others get a share); default 20,000
 *   V6EDGE_FUZZ_SEED=7    another seed; a failure names the one it had
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { parseCidr, parseInetEndpoint } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { CounterStripe } from '../../src/core/counters.ts';
import { nullLogger } from '../../src/core/logger.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { WireCache } from '../../src/dns/cache.ts';
import { ClientFilter } from '../../src/dns/client-filter.ts';
import { CookieJar } from '../../src/dns/cookies.ts';
import { dnsGauges } from '../../src/dns/counters.ts';
import { EDE } from '../../src/dns/extended-error.ts';
import { readAnswer } from '../../src/dns/forwarder/answer.ts';
import type { ForwardWaiter } from '../../src/dns/forwarder/flight.ts';
import type { Forwarder } from '../../src/dns/forwarder/forwarder.ts';
import { ReplyOptions } from '../../src/dns/forwarder/reply-options.ts';
import { Hairpin } from '../../src/dns/hairpin.ts';
import { Identity } from '../../src/dns/identity.ts';
import type { Origin, ReplySink } from '../../src/dns/origin.ts';
import { OwnCookies } from '../../src/dns/own-cookies.ts';
import { QueryLog } from '../../src/dns/query-log.ts';
import { QueryView } from '../../src/dns/query-view.ts';
import { Responder } from '../../src/dns/responder.ts';
import { dnsCounterCount } from '../../src/dns/slot-counters.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { readUint16 } from '../../src/dns/wire/bytes.ts';
import { encodeMessage, type Message, parseMessage, tryParseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText, nameKey, nameToText, scanPlainName } from '../../src/dns/wire/name.ts';
import { Query, VERDICT } from '../../src/dns/wire/query.ts';
import { rdataToText } from '../../src/dns/wire/rdata.ts';
import { scanRecords } from '../../src/dns/wire/scan.ts';
import { RCODE } from '../../src/dns/wire/types.ts';
import { Zone, ZoneTable } from '../../src/dns/zone.ts';
import { startControlServer, testConfig, testKey } from './control-server.ts';
import { Mutator, readCorpus } from './mutation.ts';
import { aaaa, askedName, Bench, FakeUpstream, reply, txt, zone } from './peers.ts';

const count = Number(process.env.V6EDGE_FUZZ ?? 20_000);
const seed = Number(process.env.V6EDGE_FUZZ_SEED ?? 20261125);
/** Of what takes sockets or a disk. */
const share = Math.max(200, Math.floor(count / 100));
/** No measure of speed: what takes so long over one message hangs, or grows with something it should not. */
const HANG_MS = 1000;
const MAX_GROWTH = 48 * 1024 * 1024;
const bounds = { minTtlSeconds: 0, maxTtlSeconds: 86400, maxNegativeTtlSeconds: 3600 };

t.setTimeout(30_000 + count / 2);
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heap(): number {
  collect();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}

/**
 * Runs `each` for `messages` mutated messages; what it throws is told with the message that did it. Returns how long the
 * one took that took longest, the second time, as the first may have had to wait for something else.
 */
function run(messages: number, salt: number, each: (message: Uint8Array, mutator: Mutator) => void): number {
  const mutator = new Mutator(readCorpus(), new SeededRandom(seed + salt));
  let slowest = 0;
  let slow: Uint8Array = new Uint8Array(0);
  for (let i = 0; i < messages; i++) {
    const message = mutator.next();
    const start = performance.now();
    try {
      each(message, mutator);
    } catch (error) {
      const hex = Buffer.from(message).toString('hex');
      throw new Error(`seed ${seed}, message ${i}: ${hex}`, { cause: error });
    }
    const took = performance.now() - start;
    if (took > slowest) slow = message;
    slowest = Math.max(slowest, took);
  }
  const start = performance.now();
  each(slow, mutator);
  return Math.min(slowest, performance.now() - start);
}

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

t.test(`parser: ${count} messages`, async (t) => {
  const before = heap();
  const view = new QueryView(Buffer.alloc(8192));
  const query = new Query();
  let parsed = 0;
  const slowest = run(count, 0, (message, mutator) => {
    const whole = tryParseMessage(message);
    const walked = scanRecords(message, { record() {} });
    check(whole === undefined || walked, 'what parses can be walked');
    if (whole !== undefined) {
      parsed++;
      if (parsed % 16 === 0) mutator.learn(message);
      const again = parseMessage(encodeMessage(whole));
      check(sameRecords(whole, again), 'written and read again it is the same');
      for (const { name, type, rdata } of records(whole)) {
        nameToText(name);
        rdataToText(type, rdata);
      }
    }
    view.bytes.set(message, 64);
    const verdict = query.read(message);
    check(view.read(64, message.length) === verdict || verdict === RCODE.NOERROR, 'both ways to read a query agree');
    new ReplyOptions(message);
    const end = scanPlainName(message, 12, message.length);
    if (end < 0 || end + 4 > message.length || readUint16(message, 4) !== 1) return;
    const answer = readAnswer(message, end + 4 - 12, bounds);
    if (answer === undefined) return;
    const made = parseMessage(answer.message);
    check(made.edns === undefined && answer.ttl <= bounds.maxTtlSeconds, 'an answer as the cache wants it');
    check(answer.ttlOffsets.length === [...records(made)].length, 'with a place for every TTL');
  });
  t.ok(parsed > count / 10, `${parsed} of them parse`);
  t.ok(slowest < HANG_MS, `the longest took ${slowest.toFixed(1)} ms`);
  t.ok(heap() - before < MAX_GROWTH, 'memory stays');
});

t.test(`server: ${count} messages`, async (t) => {
  const before = heap();
  const server = new Server(new Mutator(readCorpus(), new SeededRandom(seed + 9)));
  const slowest = run(count, 1, (message, mutator) => {
    server.take(message);
    if (server.answered % 64 === 0) mutator.learn(message);
  });
  t.ok(server.answered > count / 4, `${server.answered} were answered`);
  t.ok(server.forwarded > count / 100, `${server.forwarded} by an upstream`);
  t.ok(slowest < HANG_MS, `the longest took ${slowest.toFixed(1)} ms`);
  t.ok(server.cache.status.bytes <= server.cache.capacity, 'the cache is as large as it may be');
  t.ok(heap() - before < MAX_GROWTH, 'memory stays');
});

t.test(`forwarder: ${share} upstreams’ replies, each before the right one`, async (t) => {
  const mutator = new Mutator(
    readCorpus().filter((message) => (message[2]! & 0x80) !== 0),
    new SeededRandom(seed + 2),
  );
  const upstream = await FakeUpstream.start(t, ({ message, bytes }) => {
    const broken = grafted(mutator.next(), bytes.subarray(12, 12 + message.questions[0]!.name.length + 4));
    broken.set(bytes.subarray(0, 2));
    return [broken, reply(message, { answers: [aaaa(askedName(message), 1)] })];
  });
  const bench = await Bench.start(t, { upstreams: [upstream.config], forward: { timeoutMs: 2000 } });
  let answered = 0;
  for (let i = 0; i < share; i++) {
    const { rcode } = await bench.ask(`n${i}.test`, { edns: { udpSize: 1232 } });
    if (rcode === RCODE.NOERROR) answered++;
  }
  t.ok(answered > share / 4, `${answered} of ${share} with an answer, all with a reply`);
});

t.test(`control: ${share} messages, signed after they were changed, or not at all`, async (t) => {
  const before = heap();
  const { control, close } = await startControlServer(t.testdir(), testConfig());
  t.teardown(close);
  const corpus = readCorpus().map(ours);
  const mutator = new Mutator(corpus, new SeededRandom(seed + 3));
  const query = new Query();
  const client = parseInetEndpoint('[::1]:5353');
  let taken = 0;
  for (let i = 0; taken < share; i++) {
    let message = mutator.next();
    if (i % 2 === 0 && message.length >= 12) message = signRequest(message, testKey, systemClock);
    if (query.read(message) !== VERDICT.HANDOFF) continue;
    taken++;
    const transport = i % 3 === 0 ? 'tcp' : 'udp';
    try {
      for (const each of await control.handle({ message, client, local: client, transport })) parseMessage(each);
    } catch (error) {
      throw new Error(`seed ${seed}: ${Buffer.from(message).toString('hex')}`, { cause: error });
    }
  }
  t.ok(control.zone('cluster.test') !== undefined, 'and the zone is still there');
  t.ok(heap() - before < MAX_GROWTH, 'memory stays');
});

function* records(message: Message) {
  yield* message.answers;
  yield* message.authority;
  yield* message.additional;
}

/** Names may come back in another case: they are compressed without looking at it (RFC 1035 §4.1.4, RFC 4343 §4.1). */
function sameRecords(a: Message, b: Message): boolean {
  const text = (message: Message) =>
    [...records(message)].map(
      ({ name, type, class: cls, ttl, rdata }) =>
        `${nameToText(name).toLowerCase()} ${type} ${cls} ${ttl} ${Buffer.from(rdata).toString('latin1').toLowerCase()}`,
    );
  return a.questions.length === b.questions.length && text(a).join('\n') === text(b).join('\n');
}

/** A reply with another question in the place of its own, if it can be found. */
function grafted(message: Uint8Array, question: Uint8Array): Uint8Array {
  const end = scanPlainName(message, 12, message.length);
  const rest = end < 0 ? message.subarray(12) : message.subarray(end + 4);
  return Uint8Array.from(Buffer.concat([message.subarray(0, 12), question, rest]));
}

/** Updates of the corpus are of a zone of the same length. */
function ours(message: Uint8Array): Uint8Array {
  const text = Buffer.from(message).toString('latin1').replaceAll('\x03dyn\x04test', '\x07cluster\x04test');
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

/** The answering side of a data thread without its sockets; upstreams answer with mutated replies. */
class Server implements Origin {
  readonly cache: WireCache;
  answered = 0;
  forwarded = 0;
  transport: 'udp' | 'tcp' = 'udp';
  readonly #client = parseInetEndpoint('127.0.0.1:5353');
  readonly #responder: Responder;
  readonly #filter: ClientFilter;
  readonly #view = new QueryView(Buffer.alloc(8192));
  readonly #out = Buffer.alloc(65536 + 4);
  readonly #words = new Uint32Array(this.#out.buffer, this.#out.byteOffset, this.#out.length >> 2);
  readonly #clientWords = new Uint32Array(4);
  readonly #later: (() => void)[] = [];
  readonly #replies: Mutator;
  #message: Uint8Array = new Uint8Array(0);

  constructor(replies: Mutator) {
    this.#replies = replies;
    const random = new SeededRandom(seed);
    this.cache = new WireCache(1 << 20, random);
    this.cache.serveStaleSeconds = 60;
    this.#filter = new ClientFilter(random);
    this.#filter.apply([parseCidr('127.0.0.0/8')], { responsesPerSecond: 0, slip: 0 });
    new Uint8Array(this.#clientWords.buffer).set([127, 0, 0, 1]);
    const zones = new ZoneTable();
    zones.set(
      new Zone(zone('apps.example.test', [aaaa('web.apps.example.test', 1), txt('t.apps.example.test', 1500)])),
    );
    const hairpin = new Hairpin();
    hairpin.apply({ ingressDomains: ['mail.example.test'], addresses: [this.#client.address] });
    const forwarder = {
      resolve: (...[question, key, , waiter]: Parameters<Forwarder['resolve']>) => this.#resolve(question, key, waiter),
    };
    this.#responder = new Responder({
      clock: systemClock,
      log: nullLogger,
      counters: CounterStripe.alone(dnsCounterCount, dnsGauges.length),
      handoff: async () => [],
      filter: this.#filter,
      zones,
      givenZone: (key) => zones.get(key),
      hairpin,
      identity: new Identity(),
      queryLog: new QueryLog(nullLogger, random),
      reverseOf: () => undefined,
      zonePeers: [],
      openTransfers: new Map([[nameKey(nameFromText('apps.example.test')), [parseCidr('127.0.0.0/8')]]]),
      cookies: new CookieJar(new Uint8Array(16)),
      ownCookies: new OwnCookies(new Uint8Array(16), random),
      cache: this.cache,
      forwarder: forwarder as unknown as Forwarder,
    });
  }

  take(message: Uint8Array): void {
    this.#message = message;
    this.transport = message.length % 5 === 0 ? 'tcp' : 'udp';
    this.#view.bytes.set(message, 0);
    const allowed = this.#filter.allows(this.#clientWords, 0, 4);
    const { length } = message;
    const now = systemClock.now();
    const written = this.#responder.respond(this.#view, 0, length, allowed, this, this.#out, this.#words, 0, now);
    if (written > 0) this.#check(this.#out.subarray(0, written));
    for (let run = this.#later.shift(); run !== undefined; run = this.#later.shift()) run();
  }

  hold(): ReplySink {
    return {
      send: (bytes, start, length) => this.#check(bytes.subarray(start, start + length)),
      drained: async () => true,
      done() {},
    };
  }

  client() {
    return this.#client;
  }

  local() {
    return this.#client;
  }

  #resolve(question: Uint8Array, key: number, waiter: ForwardWaiter | undefined): number {
    this.forwarded++;
    const told = grafted(this.#replies.next(), question);
    const answer = told.length < 12 ? undefined : readAnswer(told, question.length, bounds);
    this.#later.push(() => {
      this.#responder.settled(question, key, answer, EDE.NETWORK_ERROR);
      waiter?.forwarded(answer, EDE.NETWORK_ERROR);
    });
    return 0;
  }

  #check(answer: Uint8Array): void {
    this.answered++;
    check(this.#message.length >= 12 && (this.#message[2]! & 0x80) === 0, 'no answer to what is no query');
    check(this.transport === 'tcp' || answer.length <= 1232, 'no datagram above 1232 octets');
    check(answer[0] === this.#message[0] && answer[1] === this.#message[1], 'the id comes back');
    const { flags, questions } = parseMessage(answer);
    check((flags & 0x8000) !== 0 && questions.length <= 1, 'a response, with one question at most');
  }
}
