import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type InetEndpoint, parseInetEndpoint } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { nullLogger } from '../../src/core/logger.ts';
import { SeededRandom } from '../../src/core/random.ts';
import type { TsigKey } from '../../src/dns/config.ts';
import { type Notification, Notifier } from '../../src/dns/notify.ts';
import { encodeSoa, soaSerial } from '../../src/dns/soa.ts';
import { Keyring, verifyRequest } from '../../src/dns/tsig.ts';
import { encodeMessage, type ParsedMessage, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { rdataFromText } from '../../src/dns/wire/rdata.ts';
import { CLASS, FLAG, OPCODE, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { startBind } from './bind.ts';
import { startControlServer, testConfig, testKey, zoneConfig } from './control-server.ts';
import { axfrLines } from './dns-client.ts';

const zone = nameFromText('cluster.test');
const { soa } = zoneConfig('cluster.test');

function news(serial: number, targets: readonly InetEndpoint[], key?: TsigKey): Notification {
  const rrset = { type: TYPE.SOA, ttl: 60, rdata: [encodeSoa(soa, serial)] };
  return { zone, soa: { owner: zone, rrset }, targets, key };
}

/** A secondary that keeps what it gets, and answers when told to. */
class Secondary {
  readonly got: { bytes: Uint8Array; message: ParsedMessage; port: number }[] = [];
  readonly #socket: dgram.Socket;
  readonly #waiting: (() => void)[] = [];

  private constructor(socket: dgram.Socket) {
    this.#socket = socket;
    socket.on('message', (data, from) => {
      const bytes = Uint8Array.from(data);
      this.got.push({ bytes, message: parseMessage(bytes), port: from.port });
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  static async start(t: Test): Promise<Secondary> {
    const socket = dgram.createSocket('udp6').bind(0, '::1');
    await once(socket, 'listening');
    t.teardown(() => socket.close());
    return new Secondary(socket);
  }

  get endpoint(): InetEndpoint {
    return parseInetEndpoint(`[::1]:${this.#socket.address().port}`);
  }

  get serials(): number[] {
    return this.got.map(({ message }) => soaSerial(message.answers[0]!.rdata));
  }

  async has(count: number): Promise<void> {
    while (this.got.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Answers the newest message, `change` as an answer should not be. */
  async answer(change: Partial<ParsedMessage> = {}): Promise<void> {
    const { message, port } = this.got.at(-1)!;
    const reply = encodeMessage({ ...message, flags: FLAG.QR | FLAG.AA, answers: [], ...change, additional: [] });
    await new Promise((resolve) => this.#socket.send(reply, port, '::1', resolve));
  }
}

function setup(t: Test) {
  const clock = new FakeClock();
  const notifier = new Notifier({ clock, random: new SeededRandom(1), log: nullLogger });
  t.teardown(() => notifier.stop());
  return { clock, notifier };
}

/** Runs the event loop until something is so. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => setImmediate(resolve));
}

t.test('what is sent (RFC 1996 §3.6, §3.7)', async (t) => {
  const secondary = await Secondary.start(t);
  const { notifier } = setup(t);
  notifier.notify(news(7, [secondary.endpoint]));
  await secondary.has(1);
  const { message } = secondary.got[0]!;
  t.match(message, {
    opcode: OPCODE.NOTIFY,
    flags: FLAG.AA,
    rcode: 0,
    questions: [{ type: TYPE.SOA, class: CLASS.IN }],
  });
  t.equal(nameToText(message.questions[0]!.name), 'cluster.test');
  t.same(secondary.serials, [7]);
});

t.test('sent again with growing intervals, then no more', async (t) => {
  const secondary = await Secondary.start(t);
  const { clock, notifier } = setup(t);
  notifier.notify(news(7, [secondary.endpoint]));
  const waits: (number | undefined)[] = [];
  for (let n = 1; n <= 5; n++) {
    await secondary.has(n);
    waits.push(clock.next);
    clock.advance(clock.next!);
  }
  t.same(waits, [2000, 4000, 8000, 16_000, 32_000]);
  t.equal(new Set(secondary.got.map(({ message }) => message.id)).size, 1, 'one id for all of them');
  clock.advance(600_000);
  t.equal(clock.pending, 0);
  t.equal(secondary.got.length, 5);
});

t.test('an answer ends it, whatever its rcode; what is none does not', async (t) => {
  const rows: [name: string, change: Partial<ParsedMessage>, ends: boolean][] = [
    ['an answer', {}, true],
    ['a refusal', { rcode: RCODE.REFUSED }, true],
    ['an error without the question', { rcode: RCODE.NOTIMP, questions: [] }, true],
    ['another id', { id: -1 }, false],
    ['another zone', { questions: [{ name: nameFromText('other'), type: TYPE.SOA, class: CLASS.IN }] }, false],
    ['another opcode', { opcode: OPCODE.QUERY }, false],
    ['a request', { flags: FLAG.AA }, false],
    ['an answer without the question', { questions: [] }, false],
  ];
  for (const [name, change, ends] of rows) {
    const secondary = await Secondary.start(t);
    const { clock, notifier } = setup(t);
    notifier.notify(news(7, [secondary.endpoint]));
    await secondary.has(1);
    const id = change.id === undefined ? {} : { id: (secondary.got[0]!.message.id + 1) & 0xffff };
    await secondary.answer({ ...change, ...id });
    if (!ends) await secondary.answer();
    await until(() => clock.next === 1000);
    clock.advance(1000);
    t.equal(clock.pending, 0, name);
    t.equal(secondary.got.length, 1, name);
  }
});

t.test('a burst of changes is told by one message more', async (t) => {
  const secondary = await Secondary.start(t);
  const { clock, notifier } = setup(t);
  for (let serial = 1; serial <= 100; serial++) notifier.notify(news(serial, [secondary.endpoint]));
  await secondary.has(1);
  t.same(secondary.serials, [1]);
  await secondary.answer();
  await until(() => clock.next === 1000);
  clock.advance(1000);
  await secondary.has(2);
  t.same(secondary.serials, [1, 100]);
  await secondary.answer();
  await until(() => clock.next === 1000);
  clock.advance(1000);
  t.equal(clock.pending, 0);
});

t.test('signed where the transfer is; only a signed answer counts', async (t) => {
  const secondary = await Secondary.start(t);
  const { clock, notifier } = setup(t);
  notifier.notify(news(7, [secondary.endpoint], testKey));
  await secondary.has(1);
  const outcome = verifyRequest(secondary.got[0]!.bytes, new Keyring([testKey]), clock);
  t.equal(outcome.kind, 'verified');
  await secondary.answer();
  clock.advance(2000);
  await secondary.has(2);
  t.equal(secondary.got.length, 2, 'the unsigned answer was passed over');
});

t.test('stopped, it says nothing more', async (t) => {
  const secondary = await Secondary.start(t);
  const { clock, notifier } = setup(t);
  notifier.notify(news(7, [secondary.endpoint]));
  notifier.stop();
  notifier.notify(news(8, [secondary.endpoint]));
  t.equal(clock.pending, 0);
});

t.test('BIND as secondary has a change as soon as it is made', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-notify-'));
  const server = await startControlServer(dir, testConfig());
  t.teardown(async () => {
    await server.close();
    rmSync(dir, { recursive: true });
  });
  const primaries = `primaries { ::1 port ${server.port} key node-key; }`;
  // A short refresh would bring the change as well: this one is an hour.
  const bind = await startBind([testKey], [{ name: 'cluster.test', statements: `${primaries};` }]);
  t.teardown(() => bind.stop());
  const notify = [parseInetEndpoint(`[::1]:${bind.port}`)];
  const transfer = { allow: [], key: testKey.name, notify };
  await server.control.apply(testConfig({ zones: [zoneConfig('cluster.test', { transfer })] }));
  const addresses = [rdataFromText(TYPE.AAAA, 'fd00:6:6::5')];
  for (const name of ['a', 'b']) {
    await server.control.edits.setRRset('cluster.test', nameFromText(`${name}.cluster.test`), TYPE.AAAA, 60, addresses);
    const wanted = await axfrLines(server.port, 'cluster.test', testKey);
    const deadline = Date.now() + 10_000;
    let found: string[] = [];
    while (JSON.stringify(found) !== JSON.stringify(wanted) && Date.now() < deadline) {
      // Until it has the zone it answers SERVFAIL.
      found = await axfrLines(bind.port, 'cluster.test', testKey).catch(() => []);
    }
    t.same(found, wanted, `BIND has ${name}`);
  }
  t.match(bind.log(), /received notify for zone 'cluster.test': TSIG 'node-key'/);
});
