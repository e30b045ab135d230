import { globSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CounterTable, type MetricSpec } from '../../src/core/counters.ts';
import { histogramSize, observe } from '../../src/core/histogram.ts';
import { Metrics } from '../../src/edge/metrics.ts';
import { NamedSlots } from '../../src/edge/named-slots.ts';

const root = join(import.meta.dirname, '../..');

/** Every sample line of ours, sorted. */
async function samples(metrics: Metrics): Promise<string[]> {
  const text = await metrics.text();
  return text
    .split('\n')
    .filter((line) => line.startsWith('v6edge_'))
    .sort();
}

t.test('bad names and double meanings are our own fault', (t) => {
  const add = (metrics: Metrics, name: string, type: 'counter' | 'gauge', help = 'h') =>
    metrics.addTable([{ name, help }], () => 0, type);
  t.throws(() => add(new Metrics(), 'edge_x_total', 'counter'), { code: 'V6_ASSERT', message: /needs v6edge_/ });
  t.throws(() => add(new Metrics(), 'v6edge_x', 'counter'), { message: /_total/ });
  t.throws(() => add(new Metrics(), 'v6edge_x_total', 'gauge'), { message: /_total/ });
  const metrics = new Metrics();
  add(metrics, 'v6edge_x', 'gauge');
  t.throws(() => add(metrics, 'v6edge_x', 'gauge', 'other'), { message: /two meanings/ });
  t.end();
});

t.test('tables and slots', async (t) => {
  const table = new CounterTable({ threads: 2, counters: 4, gauges: 1 });
  const [a, b] = [table.stripe(0), table.stripe(1)];
  const metrics = new Metrics();
  const specs: MetricSpec[] = [
    { name: 'v6edge_test_total', help: 'h', labels: { kind: 'x' } },
    { name: 'v6edge_test_total', help: 'h', labels: { kind: 'y' } },
  ];
  metrics.addTable(specs, (index) => table.counter(index), 'counter');
  metrics.addTable([{ name: 'v6edge_now', help: 'h' }], (index) => table.gauge(index), 'gauge');
  let members = ['w1', 'w"2'];
  metrics.addSlots(
    [
      { name: 'v6edge_member_total', help: 'h' },
      { name: 'v6edge_member_errors_total', help: 'h', labels: { cause: 'c' } },
    ],
    ['pool', 'member'],
    () => members.map((member, slot) => ({ labels: { pool: 'p', member }, read: (offset) => slot * 10 + offset })),
    'counter',
  );
  metrics.addSamples(
    { name: 'v6edge_info', help: 'h' },
    ['version'],
    () => [{ labels: { version: '1' }, value: 1 }],
    'gauge',
  );
  a.add(0, 5);
  b.add(0, 7);
  a.gaugeAdd(0, 3);
  b.gaugeAdd(0, 4);
  const first = [
    'v6edge_info{version="1"} 1',
    'v6edge_member_errors_total{pool="p",member="w1",cause="c"} 1',
    'v6edge_member_errors_total{pool="p",member="w\\"2",cause="c"} 11',
    'v6edge_member_total{pool="p",member="w1"} 0',
    'v6edge_member_total{pool="p",member="w\\"2"} 10',
    'v6edge_now 7',
    'v6edge_test_total{kind="x"} 12',
    'v6edge_test_total{kind="y"} 0',
  ];
  t.strictSame(await samples(metrics), first);
  t.strictSame(await samples(metrics), first, 'a second scrape adds nothing');
  members = [];
  a.add(1);
  const later = await samples(metrics);
  t.notMatch(later.join('\n'), /member/, 'a member that is gone is gone');
  t.ok(later.includes('v6edge_test_total{kind="y"} 1'));
  t.match(await metrics.text(), /^process_cpu_seconds_total/m);
  t.match(await metrics.text(), /^# TYPE v6edge_test_total counter$/m);
  t.match(metrics.contentType, /^text\/plain; version=0\.0\.4/);
});

t.test('the tables of all engines: names, and no two samples alike', async (t) => {
  const modules = globSync('src/{proxy,dns,ra}/**/*counters.ts', { cwd: root });
  t.ok(modules.length > 0);
  const seen = new Set<string>();
  const helps = new Map<string, string>();
  for (const path of modules) {
    const module = (await import(join(root, path))) as Record<string, unknown>;
    for (const [name, specs] of Object.entries(module)) {
      if (!Array.isArray(specs) || typeof specs[0]?.name !== 'string') continue;
      for (const spec of specs as MetricSpec[]) {
        t.match(spec.name, /^v6edge_(proxy|dns|ra)_[a-z0-9_]+$/, `${path} ${name}`);
        t.equal(spec.name.endsWith('_total'), !/gauge/i.test(name), `${spec.name} of ${path} ${name}`);
        const sample = `${spec.name} ${JSON.stringify(spec.labels ?? {})}`;
        t.notOk(seen.has(sample), sample);
        seen.add(sample);
        t.equal(helps.get(spec.name) ?? spec.help, spec.help, `one help text for ${spec.name}`);
        helps.set(spec.name, spec.help);
        for (const label of Object.keys(spec.labels ?? {})) t.match(label, /^[a-z_]+$/);
      }
    }
  }
});

t.test('histograms are cumulative, with sum and count', async (t) => {
  const table = new CounterTable({ threads: 2, counters: histogramSize, gauges: 0 });
  const [a, b] = [table.stripe(0), table.stripe(1)];
  observe(a, 0, 0.05);
  observe(a, 0, 0.06, 3);
  observe(b, 0, 2500);
  observe(b, 0, 60_000);
  const metrics = new Metrics();
  metrics.addHistogram({ name: 'v6edge_wait_seconds', help: 'h' }, ['source'], () => [
    { labels: { source: 'x' }, read: (offset) => table.counter(offset) },
  ]);
  const text = await metrics.text();
  t.match(text, '# TYPE v6edge_wait_seconds histogram');
  const lines = (await samples(metrics)).filter(
    (line) => !line.includes('_bucket') || /le="(0.00005|0.0001|1|2.5|.Inf)"/.test(line),
  );
  t.strictSame(lines, [
    'v6edge_wait_seconds_bucket{source="x",le="+Inf"} 6',
    'v6edge_wait_seconds_bucket{source="x",le="0.00005"} 1',
    'v6edge_wait_seconds_bucket{source="x",le="0.0001"} 4',
    'v6edge_wait_seconds_bucket{source="x",le="1"} 4',
    'v6edge_wait_seconds_bucket{source="x",le="2.5"} 5',
    'v6edge_wait_seconds_count{source="x"} 6',
    'v6edge_wait_seconds_sum{source="x"} 62.50023',
  ]);
});

t.test('names keep their slots, freed ones are given on from zero', (t) => {
  const cleared: number[] = [];
  const slots = new NamedSlots(2, (slot) => cleared.push(slot));
  slots.apply(['a', 'b', 'c', 'a']);
  t.strictSame(
    [...slots.slots],
    [
      ['a', 0],
      ['b', 1],
    ],
  );
  slots.apply(['c', 'b']);
  t.strictSame(
    [...slots.slots],
    [
      ['b', 1],
      ['c', 0],
    ],
  );
  t.strictSame(cleared, [0, 1, 0]);
  t.end();
});
