import t, { type Test } from 'tap';
import { MemoryLogger } from '../../src/core/logger.ts';
import { SeededRandom } from '../../src/core/random.ts';
import type { QueryLogConfig } from '../../src/dns/config.ts';
import { QueryLog } from '../../src/dns/query-log.ts';
import { CLASS, TYPE } from '../../src/dns/wire/types.ts';
import { aaaa, askedName, Bench, FakeUpstream, query, reply, zone } from './peers.ts';

const edns = { udpSize: 1232, do: true };

async function logged(
  t: Test,
  queryLog: QueryLogConfig,
): Promise<{ bench: Bench; lines: () => Record<string, unknown>[] }> {
  const upstream = await FakeUpstream.start(t, ({ message }) =>
    reply(message, /^bad/i.test(askedName(message)) ? { rcode: 2 } : { answers: [aaaa(askedName(message), 1)] }),
  );
  const bench = await Bench.start(t, { upstreams: [upstream.config], settings: { queryLog } });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  const lines = () => bench.log.lines.filter(({ message }) => message === 'query').map(({ fields }) => fields);
  return { bench, lines };
}

t.test('a line a query: who, what, from where, how long', async (t) => {
  const { bench, lines } = await logged(t, { sample: 1, maxPerSecond: 1000 });
  const cases: [what: string, ask: () => Promise<unknown>, line: Record<string, unknown>][] = [
    [
      'a zone',
      () => bench.ask('A.own.test', { edns }),
      {
        name: 'A.own.test',
        type: 'AAAA',
        class: 'IN',
        rcode: 'NOERROR',
        source: 'zone',
        do: true,
        rd: true,
        cd: false,
      },
    ],
    ['the zone, cached', () => bench.ask('a.own.test'), { source: 'zone', do: false }],
    ['what is not there', () => bench.ask('b.own.test'), { rcode: 'NXDOMAIN', source: 'zone' }],
    ['an upstream', () => bench.ask('a.test'), { rcode: 'NOERROR', source: 'forwarded' }],
    ['the cache', () => bench.ask('a.test'), { rcode: 'NOERROR', source: 'cache' }],
    [
      'an upstream that fails',
      () => bench.ask('bad.test', { edns }),
      { rcode: 'SERVFAIL', source: 'none', extendedError: 23 },
    ],
    ['nobody to ask', () => bench.ask('c.test', { flags: 0 }), { rcode: 'REFUSED', source: 'none', rd: false }],
    ['class CH', () => bench.ask('x', { class: CLASS.CH, type: TYPE.TXT }), { class: 'CH', rcode: 'REFUSED' }],
    ['EDNS 1', () => bench.ask('a.test', { edns: { udpSize: 512, version: 1 } }), { rcode: 'BADVERS' }],
    ['no question', () => bench.exchange(query('a.test').fill(0, 4, 6).subarray(0, 12)), { rcode: 'FORMERR' }],
  ];
  for (const [what, ask, line] of cases) {
    const before = lines().length;
    await ask();
    t.equal(lines().length, before + 1, what);
    t.match(lines().at(-1), { client: /^127\.0\.0\.1:\d+$/, transport: 'udp', ...line });
    t.ok(Number(lines().at(-1)!.size) >= 12 && Number(lines().at(-1)!.ms) >= 0);
  }
  t.notOk('name' in lines().at(-1)!, 'a message without a question has no name');
});

t.test('off: none', async (t) => {
  const { bench, lines } = await logged(t, { sample: 0, maxPerSecond: 1000 });
  await bench.ask('a.own.test');
  await bench.ask('a.test');
  t.strictSame(lines(), []);
});

t.test('a sample, by chance', async (t) => {
  const log = new QueryLog(new MemoryLogger(), new SeededRandom(5));
  for (const sample of [0.5, 0.01]) {
    log.apply({ sample, maxPerSecond: 1e9 });
    let taken = 0;
    const gaps = new Set<number>();
    let gap = 0;
    for (let i = 0; i < 100_000; i++) {
      gap++;
      if (!log.takes(0)) continue;
      taken++;
      gaps.add(gap);
      gap = 0;
    }
    t.ok(Math.abs(taken / 100_000 - sample) < sample / 10, `${taken} of 100,000 at ${sample}`);
    t.ok(gaps.size > 5, 'at no fixed distance');
  }
});

t.test('more than so many a second are counted instead', async (t) => {
  const sink = new MemoryLogger();
  const log = new QueryLog(sink, new SeededRandom(5));
  log.apply({ sample: 1, maxPerSecond: 3 });
  t.strictSame(
    [0, 1, 2, 3, 4].map((now) => log.takes(now)),
    [true, true, true, false, false],
  );
  t.equal(log.takes(1000), true);
  t.match(sink.lines, [{ level: 'warn', fields: { suppressed: 2 } }]);
});
