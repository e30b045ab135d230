/** Primaries that misbehave: each ends in a reason that tells what is wrong, and in no more than its time. */
import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import { parseInetEndpoint } from '../../../src/core/address.ts';
import { FakeClock } from '../../../src/core/clock.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import { type PrimaryRequest, primaryAsker } from '../../../src/dns/secondary/transfer-client.ts';
import { encodeSoa } from '../../../src/dns/soa.ts';
import { Keyring, verifyRequest } from '../../../src/dns/tsig.ts';
import { encodeExpire } from '../../../src/dns/wire/expire.ts';
import {
  type EdnsOption,
  encodeMessage,
  type Message,
  parseMessage,
  type ResourceRecord,
} from '../../../src/dns/wire/message.ts';
import { nameFromText } from '../../../src/dns/wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE, typeToText } from '../../../src/dns/wire/types.ts';
import { testKey } from '../control-server.ts';
import { frame, readFrames } from '../peers.ts';

const apex = nameFromText('test');
const numbers = { refreshSeconds: 1, retrySeconds: 1, expireSeconds: 1, minimumSeconds: 1 };
const soa = (serial: number): ResourceRecord => ({
  name: apex,
  type: TYPE.SOA,
  class: CLASS.IN,
  ttl: 60,
  rdata: encodeSoa({ mname: 'm.test', rname: 'r.test', ...numbers }, serial),
});
const host = (i: number): ResourceRecord => ({
  name: nameFromText(`h${i}.test`),
  type: TYPE.A,
  class: CLASS.IN,
  ttl: 60,
  rdata: Uint8Array.of(192, 0, 2, i),
});

type Answer = Partial<Message> | Uint8Array | 'close' | 'silence';
/** What is answered to a question of a type. */
type Behaviour = (type: string, asked: Message) => Answer | Answer[];

class Primary {
  readonly asked: string[] = [];
  readonly clock = new FakeClock();
  readonly #server = net.createServer((socket) => this.#serve(socket));
  #behaviour: Behaviour = () => 'silence';
  connections = 0;

  static async start(t: Test): Promise<Primary> {
    const primary = new Primary();
    primary.#server.listen(0, '::1');
    await once(primary.#server, 'listening');
    t.teardown(() => void primary.#server.close());
    return primary;
  }

  get endpoint() {
    return parseInetEndpoint(`[::1]:${(this.#server.address() as net.AddressInfo).port}`);
  }

  ask(behaviour: Behaviour, request: Partial<PrimaryRequest> = {}) {
    this.#behaviour = behaviour;
    this.asked.length = 0;
    this.connections = 0;
    const ask = primaryAsker({ clock: this.clock, random: new SeededRandom(1) });
    const { signal } = new AbortController();
    return ask({ primary: this.endpoint, zone: apex, key: undefined, soa: undefined, signal, ...request });
  }

  #serve(socket: net.Socket): void {
    this.connections++;
    socket.on('error', () => {});
    readFrames(socket, (bytes) => {
      const outcome = verifyRequest(bytes, new Keyring([testKey]), this.clock);
      const asked = parseMessage(outcome.kind === 'verified' ? outcome.message : bytes);
      const type = typeToText(asked.questions[0]!.type);
      this.asked.push(type);
      for (const answer of [this.#behaviour(type, asked)].flat()) {
        if (answer === 'silence') continue;
        if (answer === 'close') {
          socket.end();
          return;
        }
        if (answer instanceof Uint8Array) {
          socket.write(answer);
          continue;
        }
        const { id, questions } = asked;
        const base = { id, questions, opcode: 0, rcode: 0, flags: FLAG.QR | FLAG.AA };
        const message = encodeMessage({ ...base, answers: [], authority: [], additional: [], ...answer });
        socket.write(frame(outcome.kind === 'verified' ? outcome.signer.sign(message) : message));
      }
    });
  }
}

const zone5 = (type: string): Answer =>
  type === 'SOA' ? { answers: [soa(5)] } : { answers: [soa(5), host(1), soa(5)] };

t.test('what a good primary gives', async (t) => {
  const primary = await Primary.start(t);
  t.match(await primary.ask(zone5), { kind: 'axfr', serial: 5, rrsets: { length: 2 } });
  t.strictSame(primary.asked, ['SOA', 'AXFR']);
  t.equal(primary.connections, 1);
  for (const [serial, kind] of [
    [5, 'current'],
    [6, 'older'],
  ] as const) {
    t.match(await primary.ask(zone5, { soa: soa(serial).rdata }), { kind, serial: 5 });
    t.strictSame(primary.asked, ['SOA'], 'nothing to transfer');
  }
  const steps = { answers: [soa(5), soa(4), soa(5), host(1), soa(5)] };
  const ixfr: Behaviour = (type) => (type === 'SOA' ? { answers: [soa(5)] } : steps);
  t.match(await primary.ask(ixfr, { soa: soa(4).rdata }), { kind: 'ixfr', serial: 5, steps: { length: 1 } });
  t.strictSame(primary.asked, ['SOA', 'IXFR']);
  t.match(await primary.ask(zone5, { soa: soa(4).rdata }), { kind: 'axfr' }, 'the whole zone for differences');
  t.match(await primary.ask(zone5, { key: testKey }), { kind: 'axfr' }, 'signed');
});

t.test('EDNS: how long the zone is good yet (RFC 7314); without where it is not known', async (t) => {
  const primary = await Primary.start(t);
  const edns = (...options: EdnsOption[]) => ({ udpSize: 1232, extendedRcode: 0, version: 0, do: false, options });
  const told = (soa?: number, transfer?: number): Behaviour => {
    return (type, asked) => {
      t.strictSame(asked.edns?.options, [{ code: 9, data: new Uint8Array(0) }], `${type} asks`);
      const seconds = type === 'SOA' ? soa : transfer;
      return { ...(zone5(type) as Message), edns: seconds === undefined ? edns() : edns(encodeExpire(seconds)) };
    };
  };
  const rows: [soa: number | undefined, transfer: number | undefined, expire: number | undefined][] = [
    [undefined, undefined, undefined],
    [100, undefined, 100],
    [100, 90, 90],
    [undefined, 0, 0],
  ];
  for (const [soa, transfer, expire] of rows) {
    t.equal((await primary.ask(told(soa, transfer))).expire, expire, `SOA ${soa}, transfer ${transfer}`);
  }
  t.match(await primary.ask(told(100), { soa: soa(5).rdata, key: testKey }), { kind: 'current', expire: 100 });
  const cut = { code: 9, data: Uint8Array.of(1, 2) };
  t.equal((await primary.ask((type) => ({ ...(zone5(type) as Message), edns: edns(cut) }))).expire, undefined, 'cut');

  for (const rcode of [RCODE.FORMERR, RCODE.NOTIMP]) {
    const old: Behaviour = (type, asked) => (asked.edns === undefined ? zone5(type) : { rcode, questions: [] });
    t.match(await primary.ask(old), { kind: 'axfr', expire: undefined });
    t.strictSame(primary.asked, ['SOA', 'SOA', 'AXFR'], `${rcode} to EDNS`);
    await t.rejects(
      primary.ask(() => ({ rcode })),
      { message: /SOA: it answers/ },
      'to everything',
    );
    t.strictSame(primary.asked, ['SOA', 'SOA'], 'asked twice and no more');
  }
});

t.test('no IXFR there: AXFR', async (t) => {
  const primary = await Primary.start(t);
  const rows: [name: string, answer: Answer][] = [
    ['NOTIMP', { rcode: RCODE.NOTIMP }],
    ['FORMERR without a question', { rcode: RCODE.FORMERR, questions: [] }],
    ['differences that are none', { answers: [soa(5), soa(3), soa(5), soa(5)] }],
    ['something else', { answers: [host(1)] }],
  ];
  for (const [name, answer] of rows) {
    const behaviour: Behaviour = (type) => (type === 'IXFR' ? answer : zone5(type));
    t.match(await primary.ask(behaviour, { soa: soa(4).rdata }), { kind: 'axfr' }, name);
    t.strictSame(primary.asked, ['SOA', 'IXFR', 'SOA', 'AXFR'], name);
  }
});

t.test('what is no answer', async (t) => {
  const primary = await Primary.start(t);
  const transfer =
    (answer: Answer | Answer[]): Behaviour =>
    (type) =>
      type === 'SOA' ? zone5(type) : answer;
  const rows: [name: string, behaviour: Behaviour, error: RegExp, request?: Partial<PrimaryRequest>][] = [
    ['it refuses', () => ({ rcode: RCODE.REFUSED }), /SOA: it answers REFUSED/],
    ['another id', () => ({ id: 1, answers: [soa(5)] }), /no answer/],
    ['another question', () => ({ questions: [{ name: nameFromText('x'), type: TYPE.SOA, class: 1 }] }), /no answer/],
    ['a query', () => ({ flags: 0, answers: [soa(5)] }), /no answer/],
    ['not authoritative', () => ({ flags: FLAG.QR, answers: [soa(5)] }), /not authoritative/],
    ['no SOA', () => ({}), /no SOA/],
    ['the SOA of another zone', () => ({ answers: [{ ...soa(5), name: nameFromText('x') }] }), /no SOA/],
    ['an SOA that is cut', () => ({ answers: [{ ...soa(5), rdata: Uint8Array.of(0) }] }), /parse|no SOA/],
    ['not DNS', () => frame(Buffer.from('HTTP/1.1 400')), /does not parse/],
    ['it closes', () => 'close', /closed the connection/],
    ['it closes in the middle', transfer([{ answers: [soa(5), host(1)] }, 'close']), /closed the connection/],
    ['it refuses the transfer', transfer({ rcode: RCODE.REFUSED }), /AXFR: it answers REFUSED/],
    ['truncated', transfer({ flags: FLAG.QR | FLAG.TC, answers: [soa(5)] }), /truncated/],
    ['another zone', transfer({ answers: [{ ...soa(5), name: nameFromText('x') }] }), /none of this zone/],
    [
      'unsigned where it must be',
      (_, { id, questions }) => frame(encodeMessage({ ...zoneMessage, id, questions, answers: [soa(5)] })),
      /does not verify: it is not signed/,
      { key: testKey },
    ],
    [
      'the last message unsigned',
      (type, { id, questions }) =>
        type === 'SOA'
          ? zone5(type)
          : [
              { answers: [soa(5), host(1)] },
              frame(encodeMessage({ ...zoneMessage, id, questions, answers: [soa(5)] })),
            ],
      /last message is not signed/,
      { key: testKey },
    ],
  ];
  for (const [name, behaviour, message, request] of rows) {
    await t.rejects(primary.ask(behaviour, request), { code: 'V6_DNS_PRIMARY', message }, name);
  }
});

const zoneMessage = { flags: FLAG.QR | FLAG.AA, opcode: 0, rcode: 0, authority: [], additional: [] };

t.test('silence, before and in the middle; a stop', async (t) => {
  const primary = await Primary.start(t);
  for (const [name, behaviour, asked] of [
    ['from the start', () => 'silence', 1],
    ['after a part', (type: string) => (type === 'SOA' ? zone5(type) : { answers: [soa(5), host(1)] }), 2],
  ] as [string, Behaviour, number][]) {
    const done = t.rejects(primary.ask(behaviour), { message: /silent for 20 s/ }, name);
    while (primary.asked.length < asked) await turn();
    // What was sent may still be on its way: the silence begins anew with what arrives.
    for (let i = 0; i < 50; i++) await turn();
    primary.clock.advance(20_000);
    await done;
  }
  const stop = new AbortController();
  const done = t.rejects(
    primary.ask(() => 'silence', { signal: stop.signal }),
    { code: 'V6_DNS_PRIMARY' },
  );
  while (primary.asked.length === 0) await turn();
  stop.abort();
  await done;
  await t.rejects(primary.ask(zone5, { signal: stop.signal }), { message: /given up/ });
});

t.test('a trickle that never ends is ended', async (t) => {
  const primary = await Primary.start(t);
  let going = true;
  const done = t.rejects(
    primary.ask((type) => (type === 'SOA' ? zone5(type) : { answers: [soa(5), host(1)] })),
    { code: 'V6_DNS_PRIMARY' },
  );
  void done.then(() => {
    going = false;
  });
  while (primary.asked.length < 2) await turn();
  primary.clock.advance(30 * 60_000);
  while (going) await turn();
  await done;
});

t.test('nobody listens', async (t) => {
  const primary = await Primary.start(t);
  const ask = primaryAsker({ clock: primary.clock, random: new SeededRandom(1) });
  const { signal } = new AbortController();
  const nobody = parseInetEndpoint('[::1]:1');
  await t.rejects(ask({ primary: nobody, zone: apex, key: undefined, soa: undefined, signal }), {
    message: /cannot connect to \[::1\]:1: ECONNREFUSED/,
  });
});

const turn = () => new Promise((resolve) => setImmediate(resolve));
