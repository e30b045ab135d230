/** The reference page of the metrics, made from what the daemon registers. */
import type { Edge } from './edge.ts';
import { edgeMetrics } from './metric-sources.ts';
import type { MetricDescription } from './metrics.ts';

/** Areas by the word behind `v6edge_`, in the order of the page; what has none of these is the daemon's. */
const areas: readonly [prefix: string, title: string][] = [
  ['v6edge_proxy_', 'Proxy'],
  ['v6edge_dns_', 'DNS'],
  ['v6edge_ra_', 'Router advertisements'],
  ['v6edge_join_', 'Nodes that join'],
  ['v6edge_', 'The daemon'],
];

/** Our metrics, by name; nothing is read of a daemon before a scrape, so that none is needed. */
export function describedMetrics(): MetricDescription[] {
  return edgeMetrics({} as Edge).describe();
}

/** The page, Markdown. */
export function metricsPage(): string {
  const all = describedMetrics();
  const parts = areas.map(([prefix, title], index) => {
    const others = areas.slice(0, index).map(([each]) => each);
    const own = all.filter(({ name }) => name.startsWith(prefix) && !others.some((each) => name.startsWith(each)));
    return `## ${title}\n\n${table(own)}`;
  });
  return `${head}\n${parts.join('\n')}`;
}

const head = `<!-- Made from the metrics that the daemon registers by scripts/reference.ts: change it there. -->

# Metrics

\`GET /metrics\` of the admin API, in Prometheus’ text format, without a token. Beside these there are \`process_*\` and \`nodejs_*\` of
prom-client. Counters are sums since the start. Alert rules and a Grafana dashboard: [examples/monitoring](../examples/monitoring).
`;

function table(metrics: readonly MetricDescription[]): string {
  const rows = metrics.map(({ name, type, labels, help }) => [
    `\`${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    help.replaceAll('|', '\\|'),
  ]);
  const columns = ['metric', 'type', 'labels', 'what it says'];
  const widths = columns.map((column, i) => Math.max(column.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |\n`;
  return `${line(columns)}${line(widths.map((width) => '-'.repeat(width)))}${rows.map(line).join('')}`;
}
