/** What the DNS control thread counts. */
import type { MetricSpec } from '../core/counters.ts';
import { RCODE } from './wire/types.ts';

const rcodes = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
] as const;
const tsigErrors = ['BADSIG', 'BADKEY', 'BADTIME', 'BADTRUNC', 'FORMERR'] as const;
const transfers = ['axfr', 'ixfr', 'current', 'refused'] as const;

/** Counters in the order of their index. */
export const controlCounters: readonly MetricSpec[] = [
  ...rcodes.map((rcode) => ({
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
];

/** Index of the counter of updates answered with a response code. */
export function updateCounter(rcode: number): number {
  return rcodes.findIndex((name) => RCODE[name] === rcode);
}

/** Index of the counter of a TSIG error; FORMERR for a message whose TSIG does not parse. */
export function tsigCounter(error: number): number {
  return rcodes.length + tsigErrors.findIndex((name) => RCODE[name] === error);
}

export function transferCounter(kind: (typeof transfers)[number]): number {
  return rcodes.length + tsigErrors.length + transfers.indexOf(kind);
}

export const STORE_COMMITS = rcodes.length + tsigErrors.length + transfers.length;
export const STORE_FAILURES = STORE_COMMITS + 1;
