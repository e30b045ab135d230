import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { histogramSize, histogramSum } from '../../src/core/histogram.ts';
import { COUNT, questionCounter, responseCounter } from '../../src/dns/counters.ts';
import {
  FORWARDED_WAIT,
  LOCAL_WAIT,
  OTHER_ZONES,
  UPSTREAM,
  upstreamCounterBase,
  zoneCounter,
} from '../../src/dns/slot-counters.ts';
import type { HandoffRequest } from '../../src/dns/snapshot.ts';
import { parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE, typeToText } from '../../src/dns/wire/types.ts';
import { dig, patched, run } from './engine-queries.ts';
import { aaaa, askedName, Bench, FakeUpstream, query, reply, settings, soa, txt, zone } from './peers.ts';

t.test('what is not allowed or not understood', async (t) => {
  const bench = await Bench.start(t);
  const plain = query('a.test');
  const cases: { name: string; bytes: Uint8Array; rcode: number; counter?: number }[] = [
    { name: 'no zone and no forwarder', bytes: plain, rcode: RCODE.REFUSED },
    { name: 'opcode STATUS', bytes: patched(plain, [[2, 0x10]]), rcode: RCODE.NOTIMP },
    { name: 'opcode 15', bytes: patched(plain, [[2, 0x78]]), rcode: RCODE.NOTIMP },
    {
      name: 'no question',
      bytes: patched(plain, [[5, 0]]).subarray(0, 12),
      rcode: RCODE.FORMERR,
      counter: COUNT.COUNTS,
    },
    { name: 'two questions', bytes: patched(plain, [[5, 2]]), rcode: RCODE.FORMERR, counter: COUNT.COUNTS },
    { name: 'an answer promised', bytes: patched(plain, [[7, 1]]), rcode: RCODE.FORMERR, counter: COUNT.RECORDS },
    { name: 'name cut off', bytes: plain.subarray(0, 15), rcode: RCODE.FORMERR, counter: COUNT.NAME },
    { name: 'a pointer for a name', bytes: patched(plain, [[12, 0xc0]]), rcode: RCODE.FORMERR, counter: COUNT.NAME },
    {
      name: 'a byte too many',
      bytes: Buffer.concat([plain, Buffer.of(0)]),
      rcode: RCODE.FORMERR,
      counter: COUNT.RECORDS,
    },
    { name: 'class CH', bytes: query('version.bind', { class: CLASS.CH, type: TYPE.TXT }), rcode: RCODE.REFUSED },
    { name: 'type OPT asked for', bytes: query('a.test', { type: TYPE.OPT }), rcode: RCODE.FORMERR },
    { name: 'type MAILB asked for', bytes: query('a.test', { type: TYPE.MAILB }), rcode: RCODE.NOTIMP },
  ];
  for (const { name, bytes, rcode, counter } of cases) {
    const before = counter === undefined ? 0 : bench.counters.get(counter);
    const answer = await bench.exchange(bytes);
    t.equal(answer[3]! & 15, rcode, name);
    t.equal(answer.readUInt16BE(0), 0x1234, 'id');
    t.ok(answer[2]! & 0x80, 'QR');
    t.equal(answer[2]! & 0x79, bytes[2]! & 0x79, 'opcode and RD come back');
    if (counter !== undefined) t.equal(bench.counters.get(counter), before + 1, 'counted');
  }
  // RFC 6891 §6.1.1: a reply without OPT says that we do not speak EDNS at all.
  const withOpt = query('a.test', { edns: { udpSize: 1232, do: true } });
  const opt = withOpt.subarray(plain.length);
  const counted: [string, Uint8Array][] = [
    ['no question', Buffer.concat([patched(withOpt, [[5, 0]]).subarray(0, 12), opt])],
    ['two questions', Buffer.concat([patched(withOpt, [[5, 2]]).subarray(0, plain.length), plain.subarray(12), opt])],
  ];
  for (const [name, bytes] of counted) {
    const answer = parseMessage(await bench.exchange(bytes));
    t.match(answer, { rcode: RCODE.FORMERR, questions: [], edns: { version: 0, do: true } }, `${name}, and OPT`);
  }
  const lost = parseMessage(await bench.exchange(patched(withOpt, [[5, 3]])));
  t.match(lost, { rcode: RCODE.FORMERR, edns: undefined }, 'no OPT that can be read');
  const badVersion = await bench.ask('a.test', { edns: { udpSize: 1232, version: 1 } });
  t.match(badVersion, { rcode: RCODE.BADVERS, edns: { version: 0 } });
  const short = bench.counters.get(COUNT.SHORT);
  const response = bench.counters.get(COUNT.RESPONSE);
  bench.send(plain.subarray(0, 11));
  bench.send(patched(plain, [[2, 0x81]]));
  await bench.ask('a.test');
  t.equal(bench.counters.get(COUNT.SHORT), short + 1, 'short: no answer');
  t.equal(bench.counters.get(COUNT.RESPONSE), response + 1, 'a response: no answer');
  t.ok(bench.counters.get(responseCounter(RCODE.FORMERR)) >= 6);
});

t.test('clients outside allow are REFUSED, whatever they ask', async (t) => {
  let handed = 0;
  const handoff = async () => {
    handed++;
    return [];
  };
  const bench = await Bench.start(t, { handoff, settings: { allow: [parseCidr('192.0.2.0/24')] } });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  t.equal((await bench.ask('a.own.test')).rcode, RCODE.REFUSED);
  t.equal((await bench.ask('own.test', { type: TYPE.AXFR })).rcode, RCODE.REFUSED);
  t.equal(handed, 0);
  t.equal(bench.counters.get(COUNT.NOT_ALLOWED), 2);
  bench.engine.apply(settings({}));
  t.equal((await bench.ask('a.own.test')).rcode, RCODE.NOERROR, 'allowed from the next settings on');
});

t.test(
  'who has to do with our zones reaches the control thread from outside allow, and nothing else does',
  async (t) => {
    const handed: string[] = [];
    const handoff = async ({ message }: HandoffRequest) => {
      const asked = parseMessage(message);
      handed.push(typeToText(asked.questions[0]?.type ?? 0));
      return [reply(asked, { rcode: RCODE.NOTAUTH })];
    };
    const bench = await Bench.start(t, {
      handoff,
      settings: { allow: [], zonePeers: [parseCidr('192.0.2.0/24'), parseCidr('127.0.0.1/32')] },
    });
    for (const type of [TYPE.SOA, TYPE.IXFR]) t.equal((await bench.ask('own.test', { type })).rcode, RCODE.NOTAUTH);
    t.same(handed, ['SOA', 'IXFR']);
    t.equal((await bench.ask('own.test', { class: CLASS.CH })).rcode, RCODE.REFUSED, 'another class');
    t.equal((await bench.ask('own.test', { type: TYPE.MAILB })).rcode, RCODE.REFUSED, 'no type of data');
    bench.engine.apply(settings({ settings: { allow: [], zonePeers: [parseCidr('192.0.2.0/24')] } }));
    t.equal((await bench.ask('own.test', { type: TYPE.SOA })).rcode, RCODE.REFUSED, 'somebody else');
    t.equal(handed.length, 2);
  },
);

t.test('answers from zones', async (t) => {
  const bench = await Bench.start(t);
  const { engine } = bench;
  engine.setZone(zone('own.test', [aaaa('a.own.test', 1), txt('big.own.test', 2000)]));
  for (const round of ['first', 'from the cache']) {
    const answer = await bench.ask('A.own.TEST');
    t.match(answer, { rcode: RCODE.NOERROR, flags: FLAG.QR | FLAG.AA | FLAG.RD }, round);
    t.strictSame(answer.questions[0]!.name, nameFromText('A.own.TEST'), 'the question comes back as it was written');
    t.equal(answer.answers[0]!.rdata[15], 1);
    t.equal(answer.edns, undefined, 'no OPT for a client that sent none');
    const nothing = await bench.ask('b.own.test', { edns: { udpSize: 4096, do: true } });
    t.match(nothing, {
      rcode: RCODE.NXDOMAIN,
      edns: { udpSize: 1232, do: true },
      authority: [{ type: TYPE.SOA, ttl: 60 }],
    });
    const cut = await bench.ask('big.own.test', { type: TYPE.TXT, edns: { udpSize: 4096 } });
    t.equal(cut.flags & FLAG.TC, FLAG.TC, 'larger than a datagram');
    t.equal(cut.answers.length, 0);
  }
  engine.applyDelta({
    name: nameFromText('own.test'),
    changes: [
      { owner: nameFromText('a.own.test'), type: TYPE.AAAA, rrset: { type: 28, ttl: 9, rdata: [aaaa('x', 2).rdata] } },
      { owner: nameFromText('own.test'), type: TYPE.SOA, rrset: { type: 6, ttl: 9, rdata: [soa('own.test').rdata] } },
    ],
  });
  t.match((await bench.ask('a.own.test')).answers, [{ ttl: 9 }], 'a change is seen at once');
  engine.applyDelta({ name: nameFromText('other.test'), changes: [] });
  engine.removeZone(nameFromText('own.test'));
  t.equal((await bench.ask('a.own.test')).rcode, RCODE.REFUSED);
});

t.test(
  'NSID (RFC 5001): to who asks for it and may ask, beside cookie and error, of zones and of upstreams',
  async (t) => {
    const upstream = await FakeUpstream.start(t, ({ message }) =>
      reply(message, { answers: [aaaa(askedName(message), 1)] }),
    );
    const identity = { version: '', id: 'edge-1' };
    const bench = await Bench.start(t, { upstreams: [upstream.config], settings: { identity } });
    bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
    const nsid = { code: 3, data: new Uint8Array(0) };
    const cookie = { code: 10, data: Buffer.from('0102030405060708', 'hex') };
    const told = async (name: string, ...options: { code: number; data: Uint8Array }[]) => {
      const { edns } = await bench.ask(name, { edns: { udpSize: 1232, options } });
      return edns?.options.map(({ code, data }) => [code, code === 3 ? Buffer.from(data).toString() : data.length]);
    };
    const id = [3, 'edge-1'];
    t.strictSame(await told('a.own.test', nsid), [id], 'zone');
    t.strictSame(await told('none.own.test', nsid), [id], 'a name that is not there');
    t.strictSame(await told('a.own.test'), [], 'who does not ask');
    t.strictSame(await told('a.own.test', { ...nsid, data: Buffer.from('x') }), [id], 'what it sends is ignored');
    t.strictSame(await told('a.own.test', cookie, nsid), [[10, 24], id]);
    t.strictSame(await told('www.world.test', nsid), [id], 'forwarded');
    t.strictSame(await told('www.world.test', nsid), [id], 'cached');
    t.match(await dig(bench, '+nsid', 'a.own.test', 'AAAA'), /NSID: .*\("edge-1"\)/);
    const long = 'é'.repeat(127);
    bench.engine.apply(settings({ settings: { identity: { version: '', id: long } } }));
    t.strictSame(
      await told('a.own.test', cookie, nsid),
      [
        [10, 24],
        [3, 'é'.repeat(80)],
      ],
      'cut',
    );
    bench.engine.apply(settings({ settings: { identity, allow: [] } }));
    t.notMatch(await told('a.own.test', nsid), [id], 'not to others');
    bench.engine.apply(settings({ settings: { identity: { version: '', id: '' } } }));
    t.strictSame(await told('a.own.test', nsid), [], 'not configured');
  },
);

t.test('what is counted: by type, by zone, by upstream, and how long it took', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1)] }),
  );
  const name = `127.0.0.1:${upstream.port}`;
  const slots = { zones: { 'own.test': 3 }, upstreams: { [name]: 5 } };
  const bench = await Bench.start(t, { upstreams: [upstream.config], settings: { slots } });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  const get = (index: number) => bench.counters.get(index);
  const waited = (base: number) =>
    Array.from({ length: histogramSize - 1 }, (_, i) => get(base + i)).reduce((a, b) => a + b);
  const asked: [string, number?][] = [
    ['a.own.test'],
    ['a.own.test'],
    ['b.own.test'],
    ['a.own.test', TYPE.SRV],
    ['x.localhost', TYPE.A],
  ];
  for (const [each, type = TYPE.AAAA] of asked) await bench.ask(each, { type });
  t.equal(get(questionCounter(TYPE.AAAA)), 3);
  t.equal(get(questionCounter(TYPE.SRV)), 1);
  t.equal(get(zoneCounter(3, RCODE.NOERROR)), 3, 'made, cached, and NODATA');
  t.equal(get(zoneCounter(3, RCODE.NXDOMAIN)), 1);
  t.equal(get(zoneCounter(OTHER_ZONES, RCODE.NOERROR)), 1, 'special-use names');
  t.equal(waited(LOCAL_WAIT), 5);
  t.equal(waited(FORWARDED_WAIT), 0);
  await bench.ask('a.test');
  t.equal(waited(FORWARDED_WAIT), 1);
  t.ok(get(FORWARDED_WAIT + histogramSum) > 0);
  const base = upstreamCounterBase(5);
  t.strictSame([get(base + UPSTREAM.SENT), get(base + UPSTREAM.ANSWERED), waited(base + UPSTREAM.RTT)], [1, 1, 1]);
  upstream.behaviour = ({ message }) => reply(message, { rcode: RCODE.SERVFAIL });
  await bench.ask('b.test');
  t.equal(get(base + UPSTREAM.ERROR), 1);
  bench.engine.apply(settings({ upstreams: [upstream.config] }));
  await bench.ask('a.own.test');
  await bench.ask('c.test');
  t.equal(get(zoneCounter(3, RCODE.NOERROR)), 3, 'without a slot it counts with the others');
  t.equal(get(zoneCounter(OTHER_ZONES, RCODE.NOERROR)), 2);
  t.equal(get(base + UPSTREAM.SENT), 2);
});

t.test('dig and kdig are content', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [txt(askedName(message), 3000)] }),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  const own = await dig(bench, 'a.own.test', 'AAAA');
  t.match(own, /status: NOERROR/);
  t.match(own, /flags: qr aa rd ra;/);
  t.match(own, /a\.own\.test\.\s+300\s+IN\s+AAAA\s+2001:db8::1/);
  t.notMatch(own, /WARNING|malformed/i);
  const big = await dig(bench, 'big.test', 'TXT');
  t.match(big, /Truncated, retrying in TCP mode/);
  t.match(big, /status: NOERROR/);
  t.notMatch(big, /WARNING|malformed/i);
  const kdig = await run('kdig', ['@127.0.0.1', '-p', String(bench.port), '+edns', 'A.own.test', 'AAAA']);
  t.match(kdig.stdout, /status: NOERROR/);
  t.notMatch(kdig.stderr + kdig.stdout, /WARNING|malformed/i);
});

t.test('an address that is taken is told, tried again, and gone without a trace when not wanted', async (t) => {
  const clock = new FakeClock();
  const bench = await Bench.start(t, { clock });
  const taken = (await import('node:net')).createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const endpoint = { kind: 'inet' as const, address: parseAddress('127.0.0.1'), port };
  bench.engine.apply(settings({ settings: { listen: [endpoint] } }));
  t.match(bench.engine.listening, [
    { transport: 'udp', bound: { port }, error: undefined },
    { transport: 'tcp', bound: undefined, error: /EADDRINUSE/ },
  ]);
  taken.close();
  await once(taken, 'close');
  clock.advance(1000);
  t.match(bench.engine.listening[1], { bound: { port }, error: undefined });
  bench.engine.apply(settings({ settings: { listen: [] } }));
  t.strictSame(bench.engine.listening, []);
});

t.test('stop waits for answers under way, close does not', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1)] }),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  const asked = bench.exchange(query('a.test'));
  while (bench.counters.get(COUNT.UPSTREAM_SENT) === 0) await nextTurn();
  await bench.engine.stop(5000);
  t.equal(parseMessage(await asked).rcode, RCODE.NOERROR);
  await bench.engine.stop(10);
  bench.engine.close();
});

t.test('random and broken datagrams: never a throw, always alive', async (t) => {
  const upstream = await FakeUpstream.start(t, () => undefined);
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  const bases = [
    query('a.own.test'),
    query('a.own.test', { edns: { udpSize: 1232, do: true } }),
    query('x.test', { type: TYPE.ANY }),
    query('own.test', { type: TYPE.AXFR }),
  ];
  const broken = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc
      .record({ base: fc.constantFrom(...bases), cut: fc.nat(60), at: fc.nat(50), value: fc.nat(255) })
      .map(({ base, cut, at, value }) => {
        const bytes = Uint8Array.from(base.subarray(0, cut));
        if (at < bytes.length) bytes[at] = value;
        return bytes;
      }),
  );
  let sent = 0;
  for (const bytes of fc.sample(broken, { seed: 20261123, numRuns: 3000 })) {
    bench.send(bytes);
    // Answers to broken ones come before the answer to a good one; a few at a time, so that no queue runs over.
    if (++sent % 50 !== 0) continue;
    const good = await bench.exchangeUntil(
      query('a.own.test', { id: 0xbeef }),
      (answer) => answer.readUInt16BE(0) === 0xbeef,
    );
    if ((good[3]! & 15) !== RCODE.NOERROR) t.fail('a good query is still answered');
  }
  t.ok(bench.counters.get(COUNT.SHORT) > 100);
});
