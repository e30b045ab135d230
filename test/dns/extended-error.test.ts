/**
 * Which extended error (RFC 8914 §4) stands with each REFUSED, SERVFAIL, NOTAUTH and NOTIMP of the data threads and of the
 * control thread. Only who sent EDNS is told; a reply that is a header alone, as its message could not be trusted, has none.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { FakeClock, systemClock } from '../../src/core/clock.ts';
import { EDE } from '../../src/dns/extended-error.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { encodeMessage, type Message, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, OPCODE, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { startControlServer, testConfig, testKey, zoneConfig } from './control-server.ts';
import {
  aaaa,
  askedName,
  Bench,
  type EngineOptions,
  FakeUpstream,
  frame,
  query,
  readFrames,
  reply,
  zone,
} from './peers.ts';

const edns = { udpSize: 1232 };

/** Undefined without the option. */
function errorOf({ edns: opt }: Message): number | undefined {
  const option = opt?.options.find(({ code }) => code === 15);
  return option === undefined ? undefined : Buffer.from(option.data).readUInt16BE();
}

/** Zones: `own.test` with an alias out of it, `gone.test` whose data are too old. */
async function bench(t: Parameters<typeof Bench.start>[0], options: EngineOptions = {}): Promise<Bench> {
  const made = await Bench.start(t, options);
  const own = zone('own.test', [aaaa('a.own.test', 1)]);
  const alias = { type: TYPE.CNAME, ttl: 60, rdata: [nameFromText('www.example.org')] };
  made.engine.setZone({ ...own, rrsets: [...own.rrsets, { owner: nameFromText('alias.own.test'), rrset: alias }] });
  made.engine.setZone({ ...zone('gone.test', []), unavailable: true });
  return made;
}

t.test('of data threads', async (t) => {
  const failing = await FakeUpstream.start(t, ({ message }) =>
    askedName(message).toLowerCase().startsWith('private')
      ? reply(message, {
          answers: [{ ...aaaa(askedName(message), 1), rdata: Buffer.from('fd'.padEnd(32, '0'), 'hex') }],
        })
      : reply(message, { rcode: RCODE.SERVFAIL }),
  );
  const says = await FakeUpstream.start(t, ({ message }) => {
    const options = [{ code: 15, data: Uint8Array.of(0, 6) }];
    return reply(message, { rcode: RCODE.SERVFAIL, edns: { ...message.edns!, options } });
  });
  const silent = await FakeUpstream.start(t, () => undefined);
  const nobody = await FakeUpstream.closedPort(t);
  const local = {};
  const fails = { upstreams: [failing.config] };
  const rows: {
    name: string;
    options: EngineOptions;
    ask: string;
    with?: { type?: number; class?: number; flags?: number };
    /** Asked before. */
    first?: string;
    rcode: number;
    error: number;
  }[] = [
    {
      name: 'client outside allow',
      options: { settings: { allow: [] } },
      ask: 'a.own.test',
      rcode: RCODE.REFUSED,
      error: EDE.PROHIBITED,
    },
    {
      name: 'no zone of ours, nothing forwarded',
      options: local,
      ask: 'a.test',
      rcode: RCODE.REFUSED,
      error: EDE.NOT_AUTHORITATIVE,
    },
    {
      name: 'recursion not desired',
      options: fails,
      ask: 'a.test',
      with: { flags: 0 },
      rcode: RCODE.REFUSED,
      error: EDE.NOT_AUTHORITATIVE,
    },
    {
      name: 'class CH, nothing to tell',
      options: local,
      ask: 'version.bind',
      with: { class: CLASS.CH, type: TYPE.TXT },
      rcode: RCODE.REFUSED,
      error: EDE.NOT_SUPPORTED,
    },
    {
      name: 'class HS',
      options: local,
      ask: 'a.own.test',
      with: { class: 4 },
      rcode: RCODE.REFUSED,
      error: EDE.NOT_SUPPORTED,
    },
    {
      name: 'type MAILB',
      options: local,
      ask: 'a.own.test',
      with: { type: TYPE.MAILB },
      rcode: RCODE.NOTIMP,
      error: EDE.NOT_SUPPORTED,
    },
    {
      name: 'zone whose data are too old',
      options: local,
      ask: 'a.gone.test',
      rcode: RCODE.SERVFAIL,
      error: EDE.INVALID_DATA,
    },
    { name: 'upstream fails', options: fails, ask: 'a.test', rcode: RCODE.SERVFAIL, error: EDE.NETWORK_ERROR },
    {
      name: 'upstream failed',
      options: fails,
      first: 'a.test',
      ask: 'a.test',
      rcode: RCODE.SERVFAIL,
      error: EDE.CACHED_ERROR,
    },
    {
      name: 'upstream says why',
      options: { upstreams: [says.config] },
      ask: 'a.test',
      rcode: RCODE.SERVFAIL,
      error: 6,
    },
    { name: 'private address', options: fails, ask: 'private.test', rcode: RCODE.SERVFAIL, error: EDE.BLOCKED },
    {
      name: 'nobody there',
      options: { upstreams: [nobody] },
      ask: 'a.test',
      rcode: RCODE.SERVFAIL,
      error: EDE.NETWORK_ERROR,
    },
    {
      name: 'all down',
      options: { upstreams: [nobody] },
      first: 'a.test',
      ask: 'b.test',
      rcode: RCODE.SERVFAIL,
      error: EDE.NO_REACHABLE_AUTHORITY,
    },
    {
      name: 'silence',
      options: { upstreams: [silent.config], forward: { timeoutMs: 100 } },
      ask: 'a.test',
      rcode: RCODE.SERVFAIL,
      error: EDE.NO_REACHABLE_AUTHORITY,
    },
    {
      name: 'alias of ours, its end fails',
      options: fails,
      ask: 'alias.own.test',
      rcode: RCODE.SERVFAIL,
      error: EDE.NETWORK_ERROR,
    },
    {
      name: 'alias of ours, its end failed',
      options: fails,
      first: 'www.example.org',
      ask: 'alias.own.test',
      rcode: RCODE.SERVFAIL,
      error: EDE.CACHED_ERROR,
    },
    {
      name: 'alias of ours, all down',
      options: { upstreams: [nobody] },
      first: 'a.test',
      ask: 'alias.own.test',
      rcode: RCODE.SERVFAIL,
      error: EDE.NO_REACHABLE_AUTHORITY,
    },
  ];
  for (const { name, options, ask, first, rcode, error, with: more } of rows) {
    const server = await bench(t, options);
    if (first !== undefined) await server.ask(first);
    const answer = await server.ask(ask, { edns, ...more });
    t.strictSame([answer.rcode, errorOf(answer)], [rcode, error], name);
    if (first === undefined) {
      const plain = await (await bench(t, options)).ask(ask, more);
      t.strictSame([plain.rcode, plain.edns], [rcode, undefined], `${name}: without EDNS no OPT`);
    }
  }
});

t.test('of data threads: NOTIMP to an opcode, a limit, too much that waits', async (t) => {
  const server = await bench(t);
  const status = query('a.own.test', { edns });
  status[2]! |= OPCODE.STATUS << 3;
  const refused = parseMessage(await server.exchange(status));
  t.strictSame([refused.rcode, errorOf(refused)], [RCODE.NOTIMP, EDE.NOT_SUPPORTED]);

  const limited = await bench(t, { clock: new FakeClock(), settings: { clientLimit: { queriesPerSecond: 1 } } });
  await limited.ask('a.own.test');
  const socket = await limited.connect(t);
  const answered = new Promise<Buffer>((resolve) => readFrames(socket, (bytes) => resolve(Buffer.from(bytes))));
  socket.write(frame(query('a.own.test', { edns })));
  const answer = parseMessage(await answered);
  t.strictSame([answer.rcode, errorOf(answer)], [RCODE.REFUSED, EDE.PROHIBITED], 'too many queries, by TCP');

  const silent = await FakeUpstream.start(t, () => undefined);
  const busy = await bench(t, { clock: new FakeClock(), upstreams: [silent.config], forward: { timeoutMs: 5000 } });
  for (let i = 0; i < 1024; i += 64) {
    for (let j = 0; j < 64; j++) busy.send(query(`n${i + j}.test`));
    while (silent.seen.length < i + 64) await nextTurn();
  }
  const one = await busy.ask('more.test', { edns });
  t.strictSame([one.rcode, errorOf(one)], [RCODE.SERVFAIL, EDE.OTHER], 'a client has 1,024 questions that wait');
});

t.test('of the control thread', async (t) => {
  const secondary = {
    primaries: [parseInetEndpoint('[::1]:1')],
    key: undefined,
    allowNotify: [],
    allowUpdateForwarding: [],
  };
  const zones = [...testConfig().zones, zoneConfig('gone.test', { secondary })];
  const { control, close } = await startControlServer(t.testdir(), testConfig({ zones }));
  t.teardown(close);
  const other = { ...testKey, name: 'other-key' };
  const rows: {
    name: string;
    opcode?: number;
    zone: string;
    type?: number;
    class?: number;
    key?: typeof testKey;
    rcode: number;
    error: number | undefined;
  }[] = [
    {
      name: 'UPDATE without a signature',
      opcode: OPCODE.UPDATE,
      zone: 'cluster.test',
      rcode: RCODE.REFUSED,
      error: EDE.PROHIBITED,
    },
    {
      name: 'UPDATE, no zone of ours',
      opcode: OPCODE.UPDATE,
      zone: 'other.test',
      key: testKey,
      rcode: RCODE.NOTAUTH,
      error: EDE.NOT_AUTHORITATIVE,
    },
    {
      name: 'UPDATE, class CH',
      opcode: OPCODE.UPDATE,
      zone: 'cluster.test',
      class: CLASS.CH,
      key: testKey,
      rcode: RCODE.NOTAUTH,
      error: EDE.NOT_AUTHORITATIVE,
    },
    {
      name: 'UPDATE of a secondary zone',
      opcode: OPCODE.UPDATE,
      zone: 'gone.test',
      key: testKey,
      rcode: RCODE.REFUSED,
      error: EDE.PROHIBITED,
    },
    {
      name: 'UPDATE that is good',
      opcode: OPCODE.UPDATE,
      zone: 'cluster.test',
      key: testKey,
      rcode: RCODE.NOERROR,
      error: undefined,
    },
    {
      name: 'UPDATE with a key we have not',
      opcode: OPCODE.UPDATE,
      zone: 'cluster.test',
      key: other,
      rcode: RCODE.NOTAUTH,
      error: undefined,
    },
    {
      name: 'NOTIFY, no zone of ours',
      opcode: OPCODE.NOTIFY,
      zone: 'other.test',
      rcode: RCODE.NOTAUTH,
      error: EDE.NOT_AUTHORITATIVE,
    },
    {
      name: 'NOTIFY to the primary',
      opcode: OPCODE.NOTIFY,
      zone: 'cluster.test',
      rcode: RCODE.REFUSED,
      error: EDE.PROHIBITED,
    },
    {
      name: 'NOTIFY from no primary',
      opcode: OPCODE.NOTIFY,
      zone: 'gone.test',
      rcode: RCODE.REFUSED,
      error: EDE.PROHIBITED,
    },
    {
      name: 'AXFR without the key',
      zone: 'cluster.test',
      type: TYPE.AXFR,
      rcode: RCODE.REFUSED,
      error: EDE.PROHIBITED,
    },
    {
      name: 'AXFR, no zone of ours',
      zone: 'other.test',
      type: TYPE.AXFR,
      key: testKey,
      rcode: RCODE.NOTAUTH,
      error: EDE.NOT_AUTHORITATIVE,
    },
    {
      name: 'AXFR of a zone whose data never came',
      zone: 'gone.test',
      type: TYPE.AXFR,
      key: testKey,
      rcode: RCODE.SERVFAIL,
      error: EDE.INVALID_DATA,
    },
    {
      name: 'signed query for no zone of ours',
      zone: 'a.other.test',
      type: TYPE.AAAA,
      key: testKey,
      rcode: RCODE.REFUSED,
      error: EDE.NOT_AUTHORITATIVE,
    },
    {
      name: 'signed query, type MAILB',
      zone: 'cluster.test',
      type: TYPE.MAILB,
      key: testKey,
      rcode: RCODE.NOTIMP,
      error: EDE.NOT_SUPPORTED,
    },
    {
      name: 'signed query for a zone whose data never came',
      zone: 'a.gone.test',
      type: TYPE.AAAA,
      key: testKey,
      rcode: RCODE.SERVFAIL,
      error: EDE.INVALID_DATA,
    },
  ];
  const client = parseInetEndpoint('[2001:db8::9]:4000');
  for (const {
    name,
    opcode = OPCODE.QUERY,
    zone: owner,
    type = TYPE.SOA,
    class: cls = CLASS.IN,
    key,
    rcode,
    error,
  } of rows) {
    const plain: Message = {
      id: 7,
      flags: opcode === OPCODE.NOTIFY ? FLAG.AA : 0,
      opcode,
      rcode: 0,
      questions: [{ name: nameFromText(owner), type, class: cls }],
      answers: [],
      authority: [],
      additional: [],
    };
    for (const told of [true, false]) {
      const bytes = encodeMessage(
        told ? { ...plain, edns: { ...edns, extendedRcode: 0, version: 0, do: false, options: [] } } : plain,
      );
      const message = key === undefined ? bytes : signRequest(bytes, key, systemClock);
      const [first] = await control.handle({ message, client, local: client, transport: 'tcp' });
      const answer = parseMessage(first!);
      t.strictSame([answer.rcode, errorOf(answer)], [rcode, told ? error : undefined], name);
    }
  }
});
