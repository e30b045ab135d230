/**
 * What data threads count beside `dnsCounters`, in the same window behind them: how long clients waited, and a slot of fixed
 * size for each zone and each upstream. A spec's place in its table is its offset within the slot.
 */
import type { MetricSpec } from '../core/counters.ts';
import { histogramSize } from '../core/histogram.ts';
import { dnsCounters } from './counters.ts';
import { RCODE } from './wire/types.ts';

/** Zones and upstreams that have counters of their own at one time; more are counted with all others alone. */
export const zoneSlots = 64;
export const upstreamSlots = 32;
/** The slot of what is answered by nature: special-use names (RFC 6761, RFC 6303), ingress names, zones beyond the slots. */
export const OTHER_ZONES: number = zoneSlots;

/** How long an answer took: `local` = at once, from reading the batch a query came in to sending it; else the client's wait. */
export const waits = ['local', 'forwarded'] as const;
export const waitSpec: MetricSpec = {
  name: 'v6edge_dns_response_seconds',
  help: 'Time from query to response, by whether an upstream had to be asked',
};

const zoneRcodes = ['NOERROR', 'NXDOMAIN', 'OTHER'] as const;

export const zoneCounterSpecs: readonly MetricSpec[] = zoneRcodes.map((rcode) => ({
  name: 'v6edge_dns_zone_responses_total',
  help: 'Responses from each zone, by response code',
  labels: { rcode },
}));

/** Offsets in an upstream's slot; the histogram of its round trips begins at `RTT`. */
export const UPSTREAM = { SENT: 0, ANSWERED: 1, TIMEOUT: 2, ERROR: 3, FAILED: 4, RTT: 5 } as const;

const event = (name: string): MetricSpec => ({
  name: 'v6edge_dns_upstream_queries_total',
  help: 'Queries to each upstream, by what became of them',
  labels: { event: name },
});

export const upstreamCounterSpecs: readonly MetricSpec[] = [
  'sent',
  'answered',
  'timeout',
  'error_answer',
  'failed',
].map(event);

export const upstreamRttSpec: MetricSpec = {
  name: 'v6edge_dns_upstream_seconds',
  help: 'Round trips to each upstream',
};

const waitBase = dnsCounters.length;
const zoneBase = waitBase + waits.length * histogramSize;
const upstreamBase = zoneBase + (zoneSlots + 1) * zoneRcodes.length;
const upstreamSize = UPSTREAM.RTT + histogramSize;

/** Where the histogram of a kind of wait begins. */
export const LOCAL_WAIT: number = waitBase;
export const FORWARDED_WAIT: number = waitBase + histogramSize;

/** Counters of a slot, and of the whole window. */
export const zoneSlotSize: number = zoneRcodes.length;
export const upstreamSlotSize: number = upstreamSize;
export const dnsCounterCount: number = upstreamBase + upstreamSlots * upstreamSize;

/** First counter of a zone's slot. */
export function zoneCounterBase(slot: number): number {
  return zoneBase + slot * zoneRcodes.length;
}

/** The counter of a response code in a zone's slot. */
export function zoneCounter(slot: number, rcode: number): number {
  return zoneCounterBase(slot) + (rcode === RCODE.NOERROR ? 0 : rcode === RCODE.NXDOMAIN ? 1 : 2);
}

/** First counter of an upstream's slot. */
export function upstreamCounterBase(slot: number): number {
  return upstreamBase + slot * upstreamSize;
}
