/** What data threads count about DNS: a spec's place in its table is its index. */
import type { MetricSpec } from '../core/counters.ts';
import { TYPE } from './wire/types.ts';

/** Response codes that have a counter of their own. */
export const countedRcodes = [
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
const rcodes = [...countedRcodes, 'OTHER'] as const;
/** Types that have a counter of their own: what nodes and their resolvers ask for. */
const types = [
  'A',
  'NS',
  'CNAME',
  'SOA',
  'PTR',
  'MX',
  'TXT',
  'AAAA',
  'SRV',
  'NAPTR',
  'DS',
  'DNSKEY',
  'TLSA',
  'SVCB',
  'HTTPS',
  'ANY',
  'CAA',
  'OTHER',
] as const;
const malformed = ['short', 'response', 'count', 'name', 'records', 'too_long'] as const;

const answers = (source: string): MetricSpec => ({
  name: 'v6edge_dns_answers_total',
  help: 'Queries answered, by where the answer came from',
  labels: { source },
});
const dropped = (reason: string): MetricSpec => ({
  name: 'v6edge_dns_dropped_total',
  help: 'Queries left unanswered',
  labels: { reason },
});
const upstream = (event: string): MetricSpec => ({
  name: 'v6edge_dns_upstream_total',
  help: 'What happened with queries sent to upstreams',
  labels: { event },
});

export const dnsCounters: readonly MetricSpec[] = [
  { name: 'v6edge_dns_queries_total', help: 'DNS messages received from clients', labels: { transport: 'udp' } },
  { name: 'v6edge_dns_queries_total', help: 'DNS messages received from clients', labels: { transport: 'tcp' } },
  ...rcodes.map((rcode) => ({
    name: 'v6edge_dns_responses_total',
    help: 'DNS responses sent, by response code',
    labels: { rcode },
  })),
  ...malformed.map((reason) => ({
    name: 'v6edge_dns_malformed_total',
    help: 'DNS messages received that are broken',
    labels: { reason },
  })),
  answers('cache'),
  answers('stale'),
  answers('zone'),
  answers('forwarded'),
  answers('handoff'),
  { name: 'v6edge_dns_cache_misses_total', help: 'Queries for other zones that the cache could not answer' },
  { name: 'v6edge_dns_prefetches_total', help: 'Popular answers fetched anew before they expired' },
  { name: 'v6edge_dns_refused_total', help: 'Messages from clients outside allow' },
  dropped('rate_limit'),
  dropped('send'),
  dropped('overload'),
  { name: 'v6edge_dns_rate_limit_slipped_total', help: 'Rate-limited queries answered truncated, to be asked by TCP' },
  { name: 'v6edge_dns_truncated_total', help: 'Answers that did not fit a datagram' },
  { name: 'v6edge_dns_handoffs_total', help: 'Messages handed to the control thread' },
  upstream('sent'),
  upstream('answered'),
  upstream('timeout'),
  upstream('refused'),
  upstream('error_answer'),
  upstream('unmatched'),
  upstream('tcp_retry'),
  upstream('failed'),
  upstream('private'),
  upstream('stray'),
  upstream('given_up'),
  upstream('looped'),
  upstream('unsent'),
  { name: 'v6edge_dns_tcp_accepted_total', help: 'DNS over TCP connections accepted' },
  { name: 'v6edge_dns_tcp_rejected_total', help: 'DNS over TCP connections closed because there were too many' },
  { name: 'v6edge_dns_tcp_timeouts_total', help: 'DNS over TCP connections closed for silence' },
  dropped('client_limit'),
  { name: 'v6edge_dns_queries_total', help: 'DNS messages received from clients', labels: { transport: 'tls' } },
  { name: 'v6edge_dns_tls_failures_total', help: 'TLS connections of clients that came to nothing' },
  answers('transfer'),
  ...types.map((type) => ({
    name: 'v6edge_dns_questions_total',
    help: 'Questions of class IN from clients that may ask, by type',
    labels: { type },
  })),
];

export const dnsGauges: readonly MetricSpec[] = [
  { name: 'v6edge_dns_tcp_connections', help: 'Open DNS over TCP connections' },
  { name: 'v6edge_dns_in_flight', help: 'Questions that wait for an upstream' },
];

const firstResponse = 2;
const firstMalformed = firstResponse + rcodes.length;
const firstAnswer = firstMalformed + malformed.length;

/** Indexes of `dnsCounters`. */
export const COUNT = {
  UDP: 0,
  TCP: 1,
  RESPONSES: firstResponse,
  SHORT: firstMalformed,
  RESPONSE: firstMalformed + 1,
  COUNTS: firstMalformed + 2,
  NAME: firstMalformed + 3,
  RECORDS: firstMalformed + 4,
  TOO_LONG: firstMalformed + 5,
  CACHE_HIT: firstAnswer,
  STALE: firstAnswer + 1,
  ZONE: firstAnswer + 2,
  FORWARDED: firstAnswer + 3,
  HANDOFF_ANSWERED: firstAnswer + 4,
  CACHE_MISS: firstAnswer + 5,
  PREFETCH: firstAnswer + 6,
  NOT_ALLOWED: firstAnswer + 7,
  RATE_LIMITED: firstAnswer + 8,
  UNSENT: firstAnswer + 9,
  OVERLOAD: firstAnswer + 10,
  SLIPPED: firstAnswer + 11,
  TRUNCATED: firstAnswer + 12,
  HANDOFF: firstAnswer + 13,
  UPSTREAM_SENT: firstAnswer + 14,
  UPSTREAM_ANSWERED: firstAnswer + 15,
  UPSTREAM_TIMEOUT: firstAnswer + 16,
  UPSTREAM_REFUSED: firstAnswer + 17,
  UPSTREAM_ERROR: firstAnswer + 18,
  UPSTREAM_UNMATCHED: firstAnswer + 19,
  UPSTREAM_TCP: firstAnswer + 20,
  UPSTREAM_FAILED: firstAnswer + 21,
  UPSTREAM_PRIVATE: firstAnswer + 22,
  UPSTREAM_STRAY: firstAnswer + 23,
  UPSTREAM_GIVEN_UP: firstAnswer + 24,
  UPSTREAM_LOOPED: firstAnswer + 25,
  UPSTREAM_UNSENT: firstAnswer + 26,
  TCP_ACCEPTED: firstAnswer + 27,
  TCP_REJECTED: firstAnswer + 28,
  TCP_TIMEOUT: firstAnswer + 29,
  CLIENT_LIMITED: firstAnswer + 30,
  TLS: firstAnswer + 31,
  TLS_FAILED: firstAnswer + 32,
  TRANSFER: firstAnswer + 33,
  QUESTIONS: firstAnswer + 34,
} as const;

/** Indexes of `dnsGauges`. */
export const GAUGE = { TCP_CONNECTIONS: 0, IN_FLIGHT: 1 } as const;

const OTHER_RCODE = rcodes.length - 1;

/** The counter of a response code. */
export function responseCounter(rcode: number): number {
  return firstResponse + Math.min(rcode, OTHER_RCODE);
}

const typeOffsets = new Uint8Array(512).fill(types.length - 1);
for (const [offset, type] of types.entries()) if (type !== 'OTHER') typeOffsets[TYPE[type]] = offset;

/** The counter of a question's type. */
export function questionCounter(type: number): number {
  return COUNT.QUESTIONS + (type < typeOffsets.length ? typeOffsets[type]! : types.length - 1);
}
