/** What the DNS control thread counts. */
import type { MetricSpec } from '../core/counters.ts';
import { countedRcodes } from './counters.ts';
import { RCODE } from './wire/types.ts';

const tsigErrors = ['BADSIG', 'BADKEY', 'BADTIME', 'BADTRUNC', 'FORMERR'] as const;
const transfers = ['axfr', 'ixfr', 'current', 'refused'] as const;
const inbound = ['axfr', 'ixfr', 'current', 'older', 'failed'] as const;
const notifies = ['accepted', 'refused'] as const;
const forwarded = ['answered', 'failed', 'refused'] as const;

/** Counters in the order of their index. */
export const controlCounters: readonly MetricSpec[] = [
  ...countedRcodes.map((rcode) => ({
    name: 'v6edge_dns_updates_total',
    help: 'DNS updates answered, by response code',
    labels: { rcode },
  })),
  ...tsigErrors.map((error) => ({
    name: 'v6edge_dns_tsig_failures_total',
    help: 'Signed DNS messages whose signature did not hold, by TSIG error',
    labels: { error },
  })),
  ...transfers.map((kind) => ({
    name: 'v6edge_dns_transfers_total',
    help: 'Zone transfers answered, by kind',
    labels: { kind },
  })),
  { name: 'v6edge_dns_store_commits_total', help: 'Commits to the zone store; one may carry many updates' },
  { name: 'v6edge_dns_store_failures_total', help: 'Commits to the zone store that failed' },
  ...inbound.map((result) => ({
    name: 'v6edge_dns_primary_queries_total',
    help: 'Times a primary was asked for a secondary zone, by what came of it',
    labels: { result },
  })),
  ...notifies.map((result) => ({
    name: 'v6edge_dns_notifies_received_total',
    help: 'NOTIFY messages for secondary zones, by result',
    labels: { result },
  })),
  ...forwarded.map((result) => ({
    name: 'v6edge_dns_updates_forwarded_total',
    help: 'Updates for secondary zones, by whether a primary answered them',
    labels: { result },
  })),
];

/** Index of the counter of updates answered with a response code. */
export function updateCounter(rcode: number): number {
  return countedRcodes.findIndex((name) => RCODE[name] === rcode);
}

/** Index of the counter of a TSIG error; FORMERR for a message whose TSIG does not parse. */
export function tsigCounter(error: number): number {
  return countedRcodes.length + tsigErrors.findIndex((name) => RCODE[name] === error);
}

export function transferCounter(kind: (typeof transfers)[number]): number {
  return countedRcodes.length + tsigErrors.length + transfers.indexOf(kind);
}

export const STORE_COMMITS = countedRcodes.length + tsigErrors.length + transfers.length;
export const STORE_FAILURES = STORE_COMMITS + 1;

const INBOUND = STORE_FAILURES + 1;

/** Index of the counter of what came of asking a primary. */
export function inboundCounter(result: (typeof inbound)[number]): number {
  return INBOUND + inbound.indexOf(result);
}

export function notifyCounter(result: (typeof notifies)[number]): number {
  return INBOUND + inbound.length + notifies.indexOf(result);
}

export function forwardedCounter(result: (typeof forwarded)[number]): number {
  return INBOUND + inbound.length + notifies.length + forwarded.indexOf(result);
}
