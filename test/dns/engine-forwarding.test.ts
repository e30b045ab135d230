import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { COUNT } from '../../src/dns/counters.ts';
import { nameFromText } from '../../src/dns/wire/name.ts';
import { FLAG, RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { aaaa, askedName, Bench, FakeUpstream, reply, soa, zone } from './peers.ts';

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
