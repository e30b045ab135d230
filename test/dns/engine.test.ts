import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { formatEndpoint, parseAddress, parseCidr } from '../../src/core/address.ts';
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
import { soaTimers } from '../../src/dns/soa.ts';
import { readExpire } from '../../src/dns/wire/expire.ts';
import { parseMessage } from '../../src/dns/wire/message.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { CLASS, FLAG, RCODE, TYPE, typeToText } from '../../src/dns/wire/types.ts';
import { unavailableZone } from '../../src/dns/zone.ts';
import {
  aaaa,
  askedName,
  Bench,
  FakeUpstream,
  frame,
  query,
  readFrames,
  reply,
  settings,
  soa,
  txt,
  zone,
} from './peers.ts';

const run = promisify(execFile);

/** What dig prints, for a question to the bench. */
async function dig(bench: Bench, ...args: string[]): Promise<string> {
  const all = ['@127.0.0.1', '-p', String(bench.port), '+tries=1', '+timeout=3', ...args];
  return (await run('dig', all)).stdout;
}

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

t.test('forwarded, cached, counted down', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    message.questions[0]!.name.length > 8
      ? reply(message, { rcode: RCODE.NXDOMAIN, authority: [soa('test', 30, 20)] })
      : reply(message, { answers: [aaaa(askedName(message), 1, 100)] }),
  );
  const bench = await Bench.start(t, { clock, upstreams: [upstream.config] });
  const first = await bench.ask('A.tEst', { edns: { udpSize: 1232 } });
  t.match(first, { flags: FLAG.QR | FLAG.RD | FLAG.RA, edns: { udpSize: 1232 }, answers: [{ ttl: 100 }] });
  t.strictSame(first.questions[0]!.name, nameFromText('A.tEst'));
  clock.advance(40_000);
  t.match(await bench.ask('a.test'), { answers: [{ ttl: 60 }], edns: undefined });
  t.match(
    await bench.ask('a.test', { flags: 0 }),
    { flags: FLAG.QR | FLAG.RA, answers: [{}] },
    'cached: RD not needed',
  );
  t.equal(upstream.seen.length, 1);
  clock.advance(60_000);
  t.match(await bench.ask('a.test'), { answers: [{ ttl: 100 }] });
  t.equal(upstream.seen.length, 2, 'asked again after its TTL');

  t.match(await bench.ask('nothing.test'), { rcode: RCODE.NXDOMAIN, authority: [{ ttl: 20 }] });
  clock.advance(19_000);
  t.match(await bench.ask('nothing.test'), { rcode: RCODE.NXDOMAIN, authority: [{ ttl: 1 }] });
  t.equal(upstream.seen.length, 3);
  clock.advance(1000);
  await bench.ask('nothing.test');
  t.equal(upstream.seen.length, 4, 'a negative answer lasts as the SOA says (RFC 2308)');
  t.equal((await bench.ask('c.test', { flags: 0 })).rcode, RCODE.REFUSED, 'RD=0 and not in the cache');
  t.match(bench.engine.upstreams(), [{ state: 'up', answered: 4 }]);
  t.equal(bench.engine.flushCache(nameFromText('TEST')), 2);
  await bench.ask('a.test');
  t.equal(upstream.seen.length, 5);
});

t.test('CD and DO go to the upstream as they came, and are cached apart', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, {
      flags: FLAG.QR | FLAG.RA | FLAG.AD | FLAG.AA,
      answers: [aaaa(askedName(message), (message.flags & FLAG.CD ? 1 : 0) + (message.edns!.do ? 2 : 0))],
    }),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  for (const round of [1, 2]) {
    for (const value of [0, 1, 2, 3]) {
      const edns = { udpSize: 1232, do: value >= 2 };
      const answer = await bench.ask('a.test', { flags: FLAG.RD | (value & 1 ? FLAG.CD : 0), edns });
      t.equal(answer.answers[0]!.rdata[15], value, `round ${round}`);
      const ad = value >= 2 ? FLAG.AD : 0;
      t.equal(
        answer.flags,
        FLAG.QR | FLAG.RD | FLAG.RA | ad | (value & 1 ? FLAG.CD : 0),
        'flags: AA cleared, AD with DO',
      );
    }
  }
  t.match(await bench.ask('a.test', { flags: FLAG.RD | FLAG.AD }), { flags: FLAG.QR | FLAG.RD | FLAG.RA | FLAG.AD });
  t.equal(upstream.seen.length, 4);
});

t.test('an alias out of our zones goes on upstream', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) => reply(message, { answers: [aaaa('away.example', 9)] }));
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  const alias = { ...aaaa('www.own.test', 0), type: TYPE.CNAME, rdata: nameFromText('away.example') };
  bench.engine.setZone(zone('own.test', [alias]));
  for (const round of ['asked', 'cached']) {
    const answer = await bench.ask('www.own.test');
    t.match(
      answer,
      { flags: FLAG.QR | FLAG.AA | FLAG.RD | FLAG.RA, answers: [{ type: TYPE.CNAME }, { type: TYPE.AAAA }] },
      round,
    );
  }
  t.equal(upstream.seen.length, 1);
  t.match(await bench.ask('www.own.test', { flags: 0 }), { answers: [{ type: TYPE.CNAME }] }, 'RD=0: the alias alone');
});

t.test('a zone added takes what was forwarded below its name', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 9)] }),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config] });
  t.equal((await bench.ask('a.own.test')).answers[0]!.rdata[15], 9);
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  t.equal((await bench.ask('a.own.test')).answers[0]!.rdata[15], 1);
});

t.test('stale answers while the upstream is gone (RFC 8767)', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1, 10)] }),
  );
  const bench = await Bench.start(t, { clock, upstreams: [upstream.config], cache: { serveStaleSeconds: 3600 } });
  await bench.ask('a.test');
  await upstream.stop();
  clock.advance(11_000);
  t.match(await bench.ask('a.test'), { rcode: RCODE.NOERROR, answers: [{ ttl: 30 }] });
  t.match(await bench.ask('b.test'), { rcode: RCODE.SERVFAIL }, 'what was never known fails at once');
  t.match(bench.engine.upstreams(), [{ state: 'down', reason: 'connection refused' }]);
  t.equal(bench.counters.get(COUNT.STALE), 1);
});

t.test('prefetch: a popular name is asked again before it expires', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1, 100)] }),
  );
  const bench = await Bench.start(t, { clock, upstreams: [upstream.config], cache: { prefetch: true } });
  for (let i = 0; i < 3; i++) await bench.ask('a.test');
  clock.advance(95_000);
  t.match((await bench.ask('a.test')).answers, [{ ttl: 5 }]);
  while ((await bench.ask('a.test')).answers[0]!.ttl !== 100);
  t.equal(upstream.seen.length, 2);
  t.equal(bench.counters.get(COUNT.PREFETCH), 1);
});

t.test('handed over: UPDATE, NOTIFY, AXFR, IXFR, signed', async (t) => {
  const requests: HandoffRequest[] = [];
  const handoff = async (request: HandoffRequest) => {
    requests.push(request);
    const answer = Buffer.from(request.message);
    answer[2]! |= 0x80;
    return [answer];
  };
  const bench = await Bench.start(t, { handoff });
  const tsig = Buffer.concat([query('a.test'), Buffer.from('0000fa00ff000000000000', 'hex')]);
  tsig[11] = 1;
  const all = [
    patched(query('test', { type: TYPE.SOA }), [[2, 0x28]]),
    patched(query('test', { type: TYPE.SOA }), [[2, 0x20]]),
    query('test', { type: TYPE.AXFR }),
    query('test', { type: TYPE.IXFR }),
    tsig,
  ];
  for (const bytes of all) t.strictSame([...(await bench.exchange(bytes))].slice(3), [...bytes].slice(3));
  t.strictSame(
    requests.map(({ message }) => Buffer.from(message)),
    all.map((bytes) => Buffer.from(bytes)),
  );
  t.equal(requests[0]!.transport, 'udp');
  t.equal(formatEndpoint(requests[0]!.local), `127.0.0.1:${bench.port}`);
  t.strictSame(requests[0]!.client.address, parseAddress('127.0.0.1'));
  t.equal(bench.counters.get(COUNT.HANDOFF), all.length);
});

t.test('EXPIRE (RFC 7314): how long a zone that we were given is good yet', async (t) => {
  const clock = new FakeClock();
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1)] }),
  );
  const bench = await Bench.start(t, { clock, upstreams: [upstream.config] });
  const own = zone('own.test', [aaaa('a.own.test', 1)]);
  bench.engine.setZone(own);
  bench.engine.setZone({ ...zone('copy.test', []), expiresAt: clock.wall() + 50_999 });
  bench.engine.setZone(unavailableZone(nameFromText('gone.test')));
  const soaExpire = soaTimers(own.rrsets.find(({ rrset }) => rrset.type === TYPE.SOA)!.rrset.rdata[0]!).expire;
  const cookie = { code: 10, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) };
  const asking = { udpSize: 1232, options: [{ code: 9, data: new Uint8Array(0) }, cookie] };
  const rows: [name: string, type: number, expire: number | undefined][] = [
    ['own.test', TYPE.SOA, soaExpire],
    ['OWN.test', TYPE.SOA, soaExpire],
    ['copy.test', TYPE.SOA, 50],
    ['gone.test', TYPE.SOA, undefined],
    ['own.test', TYPE.NS, undefined],
    ['a.own.test', TYPE.SOA, undefined],
    ['10.in-addr.arpa', TYPE.SOA, undefined],
    ['elsewhere.test', TYPE.SOA, undefined],
  ];
  for (const [name, type, expire] of rows) {
    for (const way of ['anew', 'from the cache']) {
      const { edns } = await bench.ask(name, { type, edns: asking });
      t.equal(readExpire(edns), expire, `${name} ${type} ${way}`);
      t.ok(
        edns!.options.some(({ code }) => code === 10),
        'and the cookie',
      );
    }
    const { edns } = await bench.ask(name, { type, edns: { udpSize: 1232 } });
    t.notOk(
      edns!.options.some(({ code }) => code === 9),
      'nobody is told unasked',
    );
  }
  const left = async (name = 'copy.test') => readExpire((await bench.ask(name, { type: TYPE.SOA, edns: asking })).edns);
  clock.advance(30_000);
  t.equal(await left(), 20, 'time goes on');
  bench.engine.setExpiry(nameFromText('copy.test'), clock.wall() + 90_000_000_000);
  t.equal(await left(), soaExpire, 'a primary confirmed it: as the SOA has it at most');
  bench.engine.setExpiry(nameFromText('copy.test'), clock.wall() - 1);
  t.equal(await left(), 0);
  bench.engine.setExpiry(nameFromText('nowhere.test'), clock.wall());
});

t.test('a handoff that fails or gives nothing is no answer, and ends nothing', async (t) => {
  let fail = true;
  const handoff = async () => {
    if (fail) throw new Error('control thread gone');
    return [];
  };
  const bench = await Bench.start(t, { handoff });
  bench.send(query('test', { type: TYPE.AXFR }));
  while (!bench.log.lines.some(({ fields }) => String(fields.error) === 'control thread gone')) await nextTurn();
  fail = false;
  bench.send(query('test', { type: TYPE.AXFR }));
  t.equal((await bench.ask('a.test')).rcode, RCODE.REFUSED);
});

t.test(
  'rate limit: names that do not exist are one answer, however many they are; who is exempt has no limit',
  async (t) => {
    const upstream = await FakeUpstream.start(t, ({ message }) =>
      reply(message, { rcode: RCODE.NXDOMAIN, authority: [soa('away.test')] }),
    );
    const clock = new FakeClock();
    const limited = { responsesPerSecond: 10, slip: 1 };
    const options = { clock, upstreams: [upstream.config], settings: { rateLimit: limited } };
    const bench = await Bench.start(t, options);
    const made = [
      aaaa('*.one.own.test', 1),
      aaaa('*.two.own.test', 2),
      { ...aaaa('d.own.test', 0), type: TYPE.DNAME, rdata: nameFromText('elsewhere.example') },
    ];
    bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1), ...made]));
    const truncated = async (name: string, flags: number = FLAG.RD) =>
      ((await bench.ask(name, { flags })).flags & FLAG.TC) !== 0;
    const random = async (below: string, count: number, flags?: number) => {
      let slipped = 0;
      for (let i = 0; i < count; i++) if (await truncated(`r${i}.${below}`, flags)) slipped++;
      return slipped;
    };
    t.equal(await random('own.test', 30), 20, 'anew');
    t.equal(await random('own.test', 30), 30, 'from the cache');
    t.equal(await truncated('a.own.test'), false, 'a name that exists has its own share');
    t.equal(await random('one.own.test', 30), 20, 'what a wildcard makes is one answer');
    t.equal(await random('one.own.test', 30), 30, 'from the cache too');
    t.equal(await random('two.own.test', 30), 20, 'that of another is another');
    t.equal(await random('d.own.test', 30, 0), 20, 'and what a DNAME makes');
    t.equal(await random('away.test', 30), 0, 'what upstreams say only goes to who may ask them: name by name');
    bench.engine.apply(
      settings({ ...options, settings: { rateLimit: { ...limited, exempt: [parseCidr('127.0.0.0/8')] } } }),
    );
    t.equal(await random('own.test', 60), 0, 'exempt');
  },
);

t.test('rate limit: the rate is answered, then every second comes back truncated', async (t) => {
  const clock = new FakeClock();
  const bench = await Bench.start(t, { clock, settings: { rateLimit: { responsesPerSecond: 10, slip: 2 } } });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  const got: number[] = [];
  for (let i = 0; i < 10; i++) got.push((await bench.ask('a.own.test')).answers.length);
  t.strictSame(got, new Array(10).fill(1));
  const slipped = [];
  for (let i = 0; i < 3; i++) {
    bench.send(query('a.own.test'));
    slipped.push((await bench.ask('a.own.test')).flags & FLAG.TC);
  }
  t.strictSame(slipped, new Array(3).fill(FLAG.TC), 'of two one is dropped, one sent to TCP');
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1), aaaa('b.own.test', 2)]));
  t.equal((await bench.ask('b.own.test')).answers.length, 1, 'another name has its own share');
  t.match([bench.counters.get(COUNT.RATE_LIMITED), bench.counters.get(COUNT.SLIPPED)], [3, 3]);
  clock.advance(1000);
  t.equal((await bench.ask('a.own.test')).answers.length, 1);
  t.match(await dig(bench, '+tcp', '+short', 'a.own.test', 'AAAA'), /2001:db8::1/, 'TCP is not limited');
});

t.test('a client that asks too much: dropped by UDP, refused by TCP', async (t) => {
  const clock = new FakeClock();
  const bench = await Bench.start(t, { clock, settings: { clientLimit: { queriesPerSecond: 2 } } });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  for (let i = 0; i < 2; i++) t.equal((await bench.ask('a.own.test')).answers.length, 1);
  bench.send(query('a.own.test'));
  const socket = await bench.connect(t);
  const answer = new Promise<Buffer>((resolve) => readFrames(socket, (bytes) => resolve(Buffer.from(bytes))));
  socket.write(frame(query('a.own.test', { edns: { udpSize: 1232 } })));
  t.match(parseMessage(await answer), { rcode: RCODE.REFUSED, edns: { options: [{ code: 15 }] } });
  t.equal(bench.counters.get(COUNT.CLIENT_LIMITED), 2);
  clock.advance(1000);
  t.equal((await bench.ask('a.own.test')).answers.length, 1);
});

t.test('version and identity: what is configured, to who may ask', async (t) => {
  const bench = await Bench.start(t, { settings: { identity: { version: 'v6edge', id: '' } } });
  const chaos = { class: CLASS.CH, type: TYPE.TXT };
  const told = await bench.ask('VERSION.bind', { ...chaos, edns: { udpSize: 1232 } });
  t.match(told, { rcode: RCODE.NOERROR, flags: FLAG.QR | FLAG.AA | FLAG.RD, answers: [{ class: CLASS.CH, ttl: 0 }] });
  t.equal(Buffer.from(told.answers[0]!.rdata).toString('latin1'), '\x06v6edge');
  t.equal((await bench.ask('version.server', { ...chaos, type: TYPE.ANY })).answers.length, 1);
  t.match(await bench.ask('version.bind', { ...chaos, type: TYPE.A }), { rcode: RCODE.NOERROR, answers: [] });
  t.equal((await bench.ask('id.server', chaos)).rcode, RCODE.REFUSED, 'not configured');
  t.equal(
    (await bench.ask('version.bind', { type: TYPE.TXT })).rcode,
    RCODE.REFUSED,
    'in class IN it is a name like others',
  );
  t.match(await dig(bench, '+short', 'version.bind', 'TXT', 'CH'), /^"v6edge"$/m);
  bench.engine.apply(settings({ settings: { identity: { version: 'v6edge', id: 'edge-1' }, allow: [] } }));
  t.equal((await bench.ask('id.server', chaos)).rcode, RCODE.REFUSED, 'nor to others');
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

t.test('cookies (RFC 7873): given to who asks, and who shows one is not limited', async (t) => {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, { answers: [aaaa(askedName(message), 1)] }),
  );
  const rateLimit = { responsesPerSecond: 2, slip: 0 };
  const bench = await Bench.start(t, { upstreams: [upstream.config], settings: { rateLimit } });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1), txt('fits.own.test', 450)]));
  const withCookie = (name: string, cookie: string, type: number = TYPE.AAAA) =>
    Buffer.concat([query(name, { type, edns: { udpSize: 512 } }).subarray(0, -2), optionOf(cookie)]);
  const client = '0102030405060708';
  const cookieOf = (bytes: Uint8Array) => {
    const { edns } = parseMessage(bytes);
    return Buffer.from(edns!.options.find(({ code }) => code === 10)!.data).toString('hex');
  };
  const given = cookieOf(await bench.exchange(withCookie('a.own.test', client)));
  t.match(given, new RegExp(`^${client}01000000[0-9a-f]{24}$`));
  t.equal(cookieOf(await bench.exchange(withCookie('a.test', client))).length, 48, 'with an answer that took its time');
  for (let i = 0; i < 10; i++) await bench.exchange(withCookie('a.own.test', given));
  t.equal(bench.counters.get(COUNT.RATE_LIMITED), 0, 'ten, at two a second');
  const malformed = parseMessage(await bench.exchange(withCookie('b.own.test', `${client}00`)));
  t.equal(malformed.rcode, RCODE.FORMERR, 'of nine octets');
  const long = await bench.exchange(withCookie('fits.own.test', given, TYPE.TXT));
  t.ok(long.length <= 512, 'room for the cookie is kept');
  t.equal(parseMessage(long).flags & FLAG.TC, FLAG.TC);
  const wrong = given.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
  for (let i = 0; i < 5; i++) bench.send(withCookie('a.own.test', wrong));
  t.match(await dig(bench, '+cookie', 'other.own.test', 'AAAA'), /COOKIE: [0-9a-f]{48} \(good\)/, 'dig checks it');
  const alone = await dig(bench, '+header-only', '+cookie');
  t.match(
    alone,
    /status: NOERROR[\s\S]*QUERY: 0, ANSWER: 0[\s\S]*COOKIE: [0-9a-f]{48} \(good\)/,
    'without a question (§5.4)',
  );
  t.ok(bench.counters.get(COUNT.RATE_LIMITED) >= 2, 'one that is wrong counts for nothing');
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

/** The end of an OPT record: its length, and a cookie. */
function optionOf(cookie: string): Buffer {
  const data = Buffer.from(cookie, 'hex');
  const bytes = Buffer.from([0, data.length + 4, 0, 10, 0, data.length]);
  return Buffer.concat([bytes, data]);
}

function patched(bytes: Uint8Array, changes: readonly (readonly [at: number, value: number])[]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (const [at, value] of changes) copy[at] = value;
  return copy;
}
