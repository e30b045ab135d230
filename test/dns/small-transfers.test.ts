/** Zones that a data thread sends whole by itself, and all that it leaves to the control thread. */
import type net from 'node:net';
import t, { type Test } from 'tap';
import { parseCidr } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { COUNT } from '../../src/dns/counters.ts';
import { makeKey } from '../../src/dns/keyfile.ts';
import type { HandoffRequest, ZoneData } from '../../src/dns/snapshot.ts';
import { signRequest } from '../../src/dns/tsig.ts';
import { type Message, parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE, typeToText } from '../../src/dns/wire/types.ts';
import { aaaa, Bench, type EngineOptions, frame, query, readFrames, txt, zone } from './peers.ts';

const open = { 'own.test': [parseCidr('127.0.0.0/8')], 'far.test': [parseCidr('10.0.0.0/8')] };
const hosts = (count: number) => Array.from({ length: count }, (_, i) => aaaa(`h${i}.own.test`, i));
/** What the control thread says here, to be told from an answer of the data thread's. */
const handedOver = RCODE.NOTIMP;

async function server(t: Test, data: ZoneData, settings: EngineOptions['settings'] = {}) {
  const requests: HandoffRequest[] = [];
  const bench = await Bench.start(t, {
    clock: new FakeClock(),
    settings: { openTransfers: open, ...settings },
    handoff: async (request) => {
      requests.push(request);
      const reply = Buffer.from(request.message.subarray(0, 12));
      reply.set([0x80, handedOver, 0, 0, 0, 0, 0, 0, 0, 0], 2);
      return [reply];
    },
  });
  bench.engine.setZone(data);
  const socket = await bench.connect(t);
  return { bench, requests, ask: (bytes: Uint8Array) => exchange(socket, bytes) };
}

function exchange(socket: net.Socket, bytes: Uint8Array): Promise<Message> {
  return new Promise((resolve) => {
    socket.removeAllListeners('data');
    readFrames(socket, (message) => resolve(parseMessage(message)));
    socket.write(frame(bytes));
  });
}

const axfr = (name: string, options: Parameters<typeof query>[1] = {}) => query(name, { type: TYPE.AXFR, ...options });
const recordsOf = ({ answers }: Message) => answers.map(({ name, type }) => `${nameToText(name)} ${typeToText(type)}`);

t.test('a zone that fits one message: all of it, between its SOA twice', async (t) => {
  const { bench, requests, ask } = await server(t, zone('own.test', [...hosts(100), txt('T.Own.Test', 300)]));
  const reply = await ask(axfr('oWn.test', { id: 4711, flags: 0 }));
  t.match(reply, {
    id: 4711,
    opcode: 0,
    rcode: RCODE.NOERROR,
    flags: FLAG.QR | FLAG.AA,
    authority: [],
    additional: [],
  });
  t.equal(reply.edns, undefined, 'no OPT unless there was one');
  t.same(
    reply.questions.map(({ name, type }) => [nameToText(name), type]),
    [['oWn.test', TYPE.AXFR]],
    'the question as it was written',
  );
  const names = [...hosts(100).map(({ name }) => `${nameToText(name)} AAAA`), 'T.Own.Test TXT'];
  t.same(recordsOf(reply), ['own.test SOA', ...names, 'own.test SOA']);
  t.same(reply.answers[1]!.rdata, hosts(1)[0]!.rdata);
  t.same(requests, [], 'nobody else was asked');
  t.equal(bench.counters.get(COUNT.TRANSFER), 1);
  const { message, fields } = bench.log.lines.at(-1)!;
  t.equal(message, 'zone transferred');
  t.match(fields, { zone: 'own.test', kind: 'axfr', serial: 1, messages: 1, client: /^127\.0\.0\.1:\d+$/ });

  bench.engine.applyDelta({
    name: nameFromText('own.test'),
    changes: [{ owner: nameFromText('h7.own.test'), type: TYPE.AAAA, rrset: undefined }],
  });
  t.notOk(recordsOf(await ask(axfr('own.test'))).includes('h7.own.test AAAA'), 'as the zone is now');
});

t.test('EDNS: OPT where there was one, EXPIRE where it was asked for (RFC 7314 §3)', async (t) => {
  const { ask } = await server(t, zone('own.test', hosts(2)));
  const plain = await ask(axfr('own.test', { edns: { udpSize: 4096 } }));
  t.same([plain.edns?.options, plain.answers.length], [[], 4]);
  const expire = await ask(
    axfr('own.test', { edns: { udpSize: 512, options: [{ code: 9, data: new Uint8Array(0) }] } }),
  );
  t.same(
    expire.edns?.options.map(({ code, data }) => [code, ...data]),
    [[9, 0, 1, 0x51, 0x80]],
  );
});

t.test('what is the control thread’s', async (t) => {
  const key = makeKey('k', 'hmac-sha256', Buffer.alloc(32).toString('base64'));
  const small = zone('own.test', hosts(2));
  const large = (name: string) => txt(name, 40_000);
  const rows: [string, ZoneData, Uint8Array][] = [
    [
      'a zone that is longer than a message',
      zone('own.test', [large('a.own.test'), large('b.own.test')]),
      axfr('own.test'),
    ],
    ['a zone of many names', zone('own.test', hosts(1600)), axfr('own.test')],
    ['a zone without data', { ...small, unavailable: true }, axfr('own.test')],
    ['a client that may not have it', zone('far.test', []), axfr('far.test')],
    ['a zone that needs a key, or is nobody’s', zone('keyed.test', []), axfr('keyed.test')],
    ['a name that is no zone', small, axfr('h1.own.test')],
    ['another class', small, axfr('own.test', { class: CLASS.CH })],
    ['differences', small, query('own.test', { type: TYPE.IXFR })],
    ['a signature', small, signRequest(axfr('own.test'), key, new FakeClock())],
    ['a later EDNS', small, axfr('own.test', { edns: { udpSize: 512, version: 1 } })],
  ];
  for (const [name, data, bytes] of rows) {
    const { bench, requests, ask } = await server(t, data);
    t.equal((await ask(bytes)).rcode, handedOver, name);
    t.same(
      requests.map(({ message }) => Buffer.from(message)),
      [Buffer.from(bytes)],
      `${name}: as it came`,
    );
    t.equal(bench.counters.get(COUNT.TRANSFER), 0);
  }
});

t.test('by UDP, and by who may not ask at all', async (t) => {
  const { bench, requests } = await server(t, zone('own.test', hosts(2)));
  t.equal((await bench.ask('own.test', { type: TYPE.AXFR })).rcode, handedOver, 'FORMERR is the control thread’s');
  t.equal(requests.length, 1);
  const stranger = await server(t, zone('own.test', hosts(2)), { allow: [parseCidr('10.0.0.0/8')] });
  t.equal((await stranger.ask(axfr('own.test'))).rcode, RCODE.REFUSED);
  const peer = await server(t, zone('own.test', hosts(2)), {
    allow: [parseCidr('10.0.0.0/8')],
    zonePeers: [parseCidr('127.0.0.1/32')],
  });
  t.equal((await peer.ask(axfr('own.test'))).answers.length, 4, 'a secondary outside dns.allow has its zone');
});

t.test('many at once, from a client that takes its time', async (t) => {
  const { bench } = await server(t, zone('own.test', hosts(200)));
  const socket = await bench.connect(t);
  socket.pause();
  const asked = 100;
  for (let id = 0; id < asked; id++) socket.write(frame(axfr('own.test', { id })));
  const ids: number[] = [];
  await new Promise<void>((resolve) => {
    readFrames(socket, (message) => {
      ids.push(message.readUInt16BE(0));
      if (message.readUInt16BE(6) !== 202) t.fail(`${message.readUInt16BE(6)} records`);
      if (ids.length === asked) resolve();
    });
    socket.resume();
  });
  t.same(
    ids,
    Array.from({ length: asked }, (_, id) => id),
  );
});
