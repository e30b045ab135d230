/**
 * An upstream with a fault and nobody beside it: SERVFAIL that says why, or the right answer, within the time a client waits. Time
 * is a fake clock's: a fault that shows itself is answered while that stands still.
 */
import dgram from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import net from 'node:net';
import { constants } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import { FakeClock } from '../../../src/core/clock.ts';
import type { UpstreamConfig } from '../../../src/dns/config.ts';
import { COUNT } from '../../../src/dns/counters.ts';
import { type Message, parseMessage } from '../../../src/dns/wire/message.ts';
import { nameFromText, ROOT } from '../../../src/dns/wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE } from '../../../src/dns/wire/types.ts';
import { fileLimit, setFileLimit } from '../../../src/linux/limits.ts';
import { UdpSocket } from '../../../src/linux/udp.ts';
import { aaaa, askedName, Bench, FakeUpstream, reply, type Seen, settings } from '../peers.ts';

/** What `forward.timeout` is unless set; a client waits three seconds and more. */
const TIMEOUT_MS = 2000;
const STEP_MS = 50;

const good = ({ message }: Seen) => reply(message, { answers: [aaaa(askedName(message), 1)] });

function errorOf({ edns }: Message): number | undefined {
  const option = edns?.options.find(({ code }) => code === 15);
  return option === undefined ? undefined : Buffer.from(option.data).readUInt16BE();
}

function changed(bytes: Uint8Array, at: number, xor: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at]! ^= xor;
  return copy;
}

/** A UDP server without its TCP half. */
async function udpOnly(t: Test, behaviour: (message: Message) => Uint8Array): Promise<UpstreamConfig> {
  const socket = dgram.createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  socket.on('message', (bytes, { port, address }) => void socket.send(behaviour(parseMessage(bytes)), port, address));
  t.teardown(() => void socket.close());
  const endpoint = { kind: 'inet' as const, address: parseAddress('127.0.0.1'), port: socket.address().port };
  return { transport: 'udp', endpoint, serverName: undefined };
}

/** A TCP server for an upstream by TLS. */
async function noTls(t: Test, accepted: (socket: net.Socket) => void): Promise<UpstreamConfig> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    accepted(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as net.AddressInfo;
  return {
    transport: 'tls',
    endpoint: { kind: 'inet', address: parseAddress('127.0.0.1'), port },
    serverName: 'x.test',
  };
}

/** Some turns of the loop: what is on its way on this machine has mostly come. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await nextTurn();
}

interface Fault {
  readonly name: string;
  upstream(t: Test, clock: FakeClock): Promise<UpstreamConfig>;
  readonly rcode: number;
  /** How long the answer takes: 0 unless there is nothing but silence. */
  readonly ms?: number;
}

const fake = (behaviour: (seen: Seen) => Uint8Array | Uint8Array[] | undefined) => async (t: Test) =>
  (await FakeUpstream.start(t, behaviour)).config;

const faults: Fault[] = [
  { name: 'silent', upstream: fake(() => undefined), rcode: RCODE.SERVFAIL, ms: TIMEOUT_MS },
  { name: 'wrong id', upstream: fake((seen) => changed(good(seen), 0, 1)), rcode: RCODE.SERVFAIL, ms: TIMEOUT_MS },
  {
    name: 'wrong question',
    upstream: fake((seen) => changed(good(seen), 13, 1)),
    rcode: RCODE.SERVFAIL,
    ms: TIMEOUT_MS,
  },
  { name: 'wrong type', upstream: fake((seen) => changed(good(seen), 20, 1)), rcode: RCODE.SERVFAIL, ms: TIMEOUT_MS },
  { name: 'cut off', upstream: fake((seen) => good(seen).subarray(0, 30)), rcode: RCODE.SERVFAIL, ms: TIMEOUT_MS },
  {
    name: 'SERVFAIL',
    upstream: fake(({ message }) => reply(message, { rcode: RCODE.SERVFAIL })),
    rcode: RCODE.SERVFAIL,
  },
  { name: 'REFUSED', upstream: fake(({ message }) => reply(message, { rcode: RCODE.REFUSED })), rcode: RCODE.SERVFAIL },
  {
    name: 'a referral: it does not recurse',
    upstream: fake(({ message }) =>
      reply(message, {
        flags: FLAG.QR,
        authority: [{ name: ROOT, type: TYPE.NS, class: CLASS.IN, ttl: 300, rdata: nameFromText('a.root.test') }],
      }),
    ),
    rcode: RCODE.SERVFAIL,
  },
  { name: 'nobody there', upstream: (t) => FakeUpstream.closedPort(t), rcode: RCODE.SERVFAIL },
  {
    name: 'spoofed source',
    upstream: async (t) => {
      const other = dgram.createSocket('udp4');
      other.bind(0, '127.0.0.1');
      await once(other, 'listening');
      t.teardown(() => void other.close());
      return fake((seen) => void other.send(good(seen), seen.port, '127.0.0.1'))(t);
    },
    rcode: RCODE.SERVFAIL,
    ms: TIMEOUT_MS,
  },
  {
    name: 'truncated without TCP',
    upstream: (t) => udpOnly(t, (message) => reply(message, { flags: FLAG.QR | FLAG.RA | FLAG.TC })),
    rcode: RCODE.SERVFAIL,
  },
  {
    name: 'truncated, and TCP silent',
    upstream: fake(({ message, transport }) =>
      transport === 'udp' ? reply(message, { flags: FLAG.QR | FLAG.RA | FLAG.TC }) : undefined,
    ),
    rcode: RCODE.SERVFAIL,
    ms: TIMEOUT_MS,
  },
  {
    name: 'FORMERR to EDNS',
    upstream: fake((seen) =>
      seen.message.edns === undefined
        ? good(seen)
        : reply(seen.message, { rcode: RCODE.FORMERR }).subarray(0, 12).fill(0, 4),
    ),
    rcode: RCODE.NOERROR,
  },
  {
    name: 'BADVERS to EDNS',
    upstream: fake((seen) =>
      seen.message.edns === undefined ? good(seen) : reply(seen.message, { rcode: RCODE.BADVERS }),
    ),
    rcode: RCODE.NOERROR,
  },
  {
    name: 'BADCOOKIE to everything, by TCP too',
    upstream: fake(({ message }) => reply(message, { rcode: RCODE.BADCOOKIE })),
    rcode: RCODE.SERVFAIL,
  },
  {
    name: 'BADCOOKIE without TCP',
    upstream: (t) => udpOnly(t, (message) => reply(message, { rcode: RCODE.BADCOOKIE })),
    rcode: RCODE.SERVFAIL,
  },
  {
    name: 'the cookie of somebody else',
    upstream: fake((seen) => {
      const options = [{ code: 10, data: new Uint8Array(24) }];
      const edns = { udpSize: 1232, extendedRcode: 0, version: 0, do: false, options };
      return reply(seen.message, { edns, answers: [aaaa(askedName(seen.message), 1)] });
    }),
    rcode: RCODE.SERVFAIL,
    ms: TIMEOUT_MS,
  },
  {
    name: 'answers to something else',
    upstream: fake(({ message }) => reply(message, { answers: [aaaa('b.test', 1)] })),
    rcode: RCODE.SERVFAIL,
  },
  {
    name: 'itself: a loop',
    upstream: async (t) => {
      const relay = await Bench.start(t, {});
      const endpoint = relay.engine.listening[0]!.bound!;
      const upstream = { transport: 'udp' as const, endpoint, serverName: undefined };
      relay.engine.apply(settings({ upstreams: [upstream], forward: { timeoutMs: TIMEOUT_MS } }));
      return upstream;
    },
    rcode: RCODE.SERVFAIL,
  },
  {
    name: 'FORMERR to everything',
    upstream: fake(({ message }) => reply(message, { rcode: RCODE.FORMERR })),
    rcode: RCODE.SERVFAIL,
  },
  {
    name: 'slow: 300 ms',
    upstream: async (t, clock) => {
      const late = dgram.createSocket('udp4');
      late.bind(0, '127.0.0.1');
      await once(late, 'listening');
      late.on('message', (bytes, { port, address }) => {
        const answer = reply(parseMessage(bytes), { answers: [aaaa('a.test', 1)] });
        clock.after(300, () => late.send(answer, port, address));
      });
      t.teardown(() => void late.close());
      const endpoint = { kind: 'inet' as const, address: parseAddress('127.0.0.1'), port: late.address().port };
      return { transport: 'udp', endpoint, serverName: undefined };
    },
    rcode: RCODE.NOERROR,
    ms: 300,
  },
  { name: 'TLS: no TLS', upstream: (t) => noTls(t, (socket) => void socket.end('hello')), rcode: RCODE.SERVFAIL },
  { name: 'TLS: silent', upstream: (t) => noTls(t, () => {}), rcode: RCODE.SERVFAIL, ms: TIMEOUT_MS },
  { name: 'TLS: reset', upstream: (t) => noTls(t, (socket) => void socket.resetAndDestroy()), rcode: RCODE.SERVFAIL },
];

for (const { name, upstream, rcode, ms = 0 } of faults) {
  t.test(`${name}, and nobody beside it`, async (t) => {
    const clock = new FakeClock();
    const config = await upstream(t, clock);
    const bench = await Bench.start(t, { clock, upstreams: [config], forward: { timeoutMs: TIMEOUT_MS } });
    const asked = clock.now();
    let answer: Message | undefined;
    const answered = bench.ask('a.test', { edns: { udpSize: 1232 } }).then((message) => {
      answer = message;
    });
    while (bench.counters.get(COUNT.UPSTREAM_SENT) === 0) await nextTurn();
    for (let passed = 0; passed < ms && answer === undefined; passed += STEP_MS) {
      await quiet();
      clock.advance(STEP_MS);
    }
    await answered;
    t.ok(clock.now() - asked <= ms, `${clock.now() - asked} ms`);
    t.equal(answer!.rcode, rcode);
    if (rcode === RCODE.SERVFAIL) t.ok([0, 22, 23].includes(errorOf(answer!)!), `with a reason: ${errorOf(answer!)}`);
    else t.match(answer!.answers, [{ type: TYPE.AAAA }]);
  });
}

/** Takes something that sending needs from this process; gives it back. */
const shortages: Readonly<Record<string, { transport: UpstreamConfig['transport']; take: () => () => void }>> = {
  'descriptors, UDP': { transport: 'udp', take: takeDescriptors },
  'descriptors, TCP': { transport: 'tcp', take: takeDescriptors },
  'room in the queue of a socket': { transport: 'udp', take: takeRoom },
};

function takeDescriptors(): () => void {
  const limit = fileLimit();
  // The lowest number that is free: the limit counts numbers.
  const free = openSync('/dev/null', 'r');
  closeSync(free);
  setFileLimit({ ...limit, soft: free });
  return () => setFileLimit(limit);
}

/** Nothing on loopback holds a datagram back. */
function takeRoom(): () => void {
  const { send } = UdpSocket.prototype;
  UdpSocket.prototype.send = () => -constants.errno.EAGAIN;
  return () => {
    UdpSocket.prototype.send = send;
  };
}

for (const [what, { transport, take }] of Object.entries(shortages)) {
  t.test(`short of ${what}: no upstream is blamed, and asked as soon as there is some`, async (t) => {
    const clock = new FakeClock();
    const upstream = await FakeUpstream.start(t, good);
    const upstreams = [{ ...upstream.config, transport }];
    const bench = await Bench.start(t, { clock, upstreams, forward: { timeoutMs: TIMEOUT_MS } });
    let answer: Message | undefined;
    const asked = async (name: string) => {
      answer = undefined;
      answer = await bench.ask(name, { edns: { udpSize: 1232 } });
    };
    const stepUntil = async (done: () => boolean) => {
      while (!done()) {
        await quiet();
        clock.advance(10);
      }
    };
    const giveBack = take();
    t.teardown(giveBack);
    const all = asked('all.test');
    while (bench.counters.get(COUNT.UPSTREAM_UNSENT) === 0) await nextTurn();
    const since = clock.now();
    await stepUntil(() => answer !== undefined);
    await all;
    t.match(answer, { rcode: RCODE.SERVFAIL });
    t.equal(errorOf(answer!), 0, 'Other: it is not the upstream');
    t.ok(clock.now() - since <= TIMEOUT_MS + 50, `${clock.now() - since} ms`);
    t.match(bench.engine.upstreams(), [{ state: 'unknown', failures: 0, timeouts: 0 }]);
    const before = bench.counters.get(COUNT.UPSTREAM_UNSENT);
    const one = asked('one.test');
    while (bench.counters.get(COUNT.UPSTREAM_UNSENT) === before) await nextTurn();
    giveBack();
    await stepUntil(() => answer !== undefined);
    await one;
    t.match(answer, { rcode: RCODE.NOERROR, answers: [{ type: TYPE.AAAA }] });
    t.match(bench.engine.upstreams(), [{ state: 'up', failures: 0, timeouts: 0 }]);
  });
}

t.test('all down: stale at once, what is not known fails at once; back again: fresh', async (t) => {
  const clock = new FakeClock();
  const first = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1, 1)] }),
  );
  const second = await FakeUpstream.start(t, () => undefined);
  const upstreams = [first.config, second.config];
  const options = { clock, upstreams, forward: { timeoutMs: 400 }, cache: { serveStaleSeconds: 3600 } };
  const bench = await Bench.start(t, options);
  const edns = { udpSize: 1232 };
  await bench.ask('a.test');
  first.behaviour = () => undefined;
  for (let i = 0; bench.engine.upstreams().some(({ state }) => state !== 'down'); i++) {
    t.ok(i < 20, 'silent upstreams are known to be down');
    const sent = bench.counters.get(COUNT.UPSTREAM_SENT);
    const failed = bench.ask(`down${i}.test`);
    while (bench.counters.get(COUNT.UPSTREAM_SENT) === sent) await nextTurn();
    for (let passed = 0; passed < 400; passed += STEP_MS) clock.advance(STEP_MS);
    t.equal((await failed).rcode, RCODE.SERVFAIL);
  }
  const start = clock.now();
  const stale = await bench.ask('a.test', { edns });
  t.match(stale, { rcode: RCODE.NOERROR, answers: [{ ttl: 30 }] });
  t.equal(errorOf(stale), 3);
  const unknown = await bench.ask('b.test', { edns });
  t.equal(unknown.rcode, RCODE.SERVFAIL);
  t.equal(errorOf(unknown), 22);
  t.equal(clock.now(), start, 'both at once');
  first.behaviour = good;
  while (bench.engine.upstreams()[0]!.state !== 'up') {
    clock.advance(STEP_MS);
    await quiet();
  }
  t.ok(clock.now() - start < 6000, 'it was asked every five seconds at least');
  t.equal((await bench.ask('c.test')).rcode, RCODE.NOERROR);
});
