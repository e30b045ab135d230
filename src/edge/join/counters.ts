/** What the join listener counts. */
import type { MetricSpec } from '../../core/counters.ts';

const results = [
  'script',
  'bundle',
  'done',
  'report',
  'material',
  'refused',
  'conflict',
  'limited',
  'malformed',
  'failed',
] as const;

export type JoinResult = (typeof results)[number];

/** Counters in the order of their index. */
export const joinCounters: readonly MetricSpec[] = [
  ...results.map((result) => ({
    name: 'v6edge_join_requests_total',
    help: 'Requests of nodes to the join listener, by result; refused = no token or secret that is good',
    labels: { result },
  })),
  {
    name: 'v6edge_join_connections_refused_total',
    help: 'Connections to the join listener from outside join.allow, or beyond its limits',
  },
];

/** Index of the counter of requests with a result. */
export function joinCounter(result: JoinResult): number {
  return results.indexOf(result);
}

export const CONNECTIONS_REFUSED = results.length;
