/** Metrics, their page, and what stands on them: alert rules and the Grafana dashboard. promtool is the judge. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { describedMetrics, metricsPage } from '../../../src/edge/metrics-page.ts';
import { DaemonHome, freePort } from '../daemon-process.ts';

const root = join(import.meta.dirname, '../../..');
const monitoring = join(root, 'examples/monitoring');
const known = new Set(
  describedMetrics().flatMap(({ name, type }) =>
    type === 'histogram' ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
);

function promtool(...args: string[]) {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}

t.test('docs/metrics.md is what the daemon registers', (t) => {
  t.equal(readFileSync(join(root, 'docs/metrics.md'), 'utf8'), metricsPage(), 'run: node scripts/reference.ts');
  t.end();
});

t.test('what a daemon tells is what is described, and promtool finds no fault with it', async (t) => {
  const home = new DaemonHome(t);
  home.configure(
    `proxy: { listeners: [{ name: web, bind: ["127.0.0.1:${await freePort()}"], pool: web }],
  pools: { web: { members: [{ name: w1, address: 127.0.0.1, port: 9 }] } } }
dns: { listen: ["127.0.0.1:${await freePort()}"], allow: [127.0.0.0/8], forward: { upstreams: ["127.0.0.1:9"] },
  zones: [{ name: a.test, ns: [edge.a.test] }] }`,
    1,
  );
  await home.start();
  const { body } = await home.api('GET', '/metrics');
  const told = [...body.matchAll(/^# TYPE (v6edge_\S+) (\S+)$/gm)].map(([, name, type]) => `${name} ${type}`);
  t.strictSame(
    told.sort(),
    describedMetrics()
      .map(({ name, type }) => `${name} ${type}`)
      .sort(),
  );
  const checked = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' });
  const ours = checked.stderr.split('\n').filter((line) => line.startsWith('v6edge_'));
  t.strictSame(ours, [], 'names and help by the conventions of Prometheus');
});

t.test('alert rules: well-formed, and each fires when it should', (t) => {
  const rules = join(monitoring, 'v6edge-alerts.yaml');
  t.match(promtool('check', 'rules', rules), { status: 0 });
  t.match(promtool('test', 'rules', join(import.meta.dirname, 'alerts.test.yaml')), { status: 0, output: /SUCCESS/ });
  t.end();
});

t.test('rules and dashboard name metrics that are there', (t) => {
  for (const file of ['v6edge-alerts.yaml', 'grafana-dashboard.json']) {
    const names = new Set(readFileSync(join(monitoring, file), 'utf8').match(/\bv6edge_\w+/g));
    t.ok(names.size > 10, file);
    for (const name of names) t.ok(known.has(name), `${file}: ${name}`);
  }
  const dashboard = JSON.parse(readFileSync(join(monitoring, 'grafana-dashboard.json'), 'utf8')) as {
    panels: { id: number; title: string; targets: { expr: string }[] }[];
  };
  t.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
  // Grafana's variables are put in first; a rule is the shortest thing that promtool parses an expression in.
  const rules = dashboard.panels.flatMap(({ targets }) =>
    targets.map(({ expr }) => ({
      record: 'x',
      expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*'),
    })),
  );
  const file = join(t.testdir(), 'expressions.yaml');
  writeFileSync(file, JSON.stringify({ groups: rules.map((rule, i) => ({ name: `g${i}`, rules: [rule] })) }));
  t.match(promtool('check', 'rules', file), { status: 0 });
  t.end();
});
