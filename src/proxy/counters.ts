/**
 * The proxy's window of the shared counters: a global block, then a slot of fixed size for each listener, then one for each
 * pool member. A spec's place in its table is its offset within its block or slot; the gauges are laid out the same way.
 */
import type { MetricSpec } from '../core/counters.ts';

/** Listeners that have counters of their own at one time. */
export const listenerSlots = 256;
/** Pool members, over all pools, that have counters of their own at one time. */
export const memberSlots = 2048;
/** Pools that have a queue at one time. */
export const poolSlots = 256;

/** Offsets in the global counter block. */
export const ProxyCounter = { acceptErrors: 0, acceptPauses: 1, limitPauses: 2, listenerLimitPauses: 3 } as const;

export const proxyCounterSpecs: readonly MetricSpec[] = [
  { name: 'v6edge_proxy_accept_errors_total', help: 'accept4 calls that failed, apart from finding nothing.' },
  {
    name: 'v6edge_proxy_accept_pauses_total',
    help: 'Times accepting was paused.',
    labels: { cause: 'no_descriptors' },
  },
  {
    name: 'v6edge_proxy_accept_pauses_total',
    help: 'Times accepting was paused.',
    labels: { cause: 'max_connections' },
  },
  {
    name: 'v6edge_proxy_accept_pauses_total',
    help: 'Times accepting was paused.',
    labels: { cause: 'listener_max_connections' },
  },
];

/** Offsets in a listener's counter slot. */
export const ListenerCounter = {
  sessions: 0,
  bytesIn: 1,
  bytesOut: 2,
  denied: 3,
  rateLimited: 4,
  headerErrors: 5,
  noMember: 6,
  connectFailures: 7,
  queueTimeouts: 8,
  silent: 9,
  clientResets: 10,
  memberResets: 11,
  idleTimeouts: 12,
  finTimeouts: 13,
  killed: 14,
  resourceErrors: 15,
} as const;

const failed = 'v6edge_proxy_sessions_ended_total';
const failedHelp = 'Sessions that ended otherwise than by both sides closing, by cause.';

export const listenerCounterSpecs: readonly MetricSpec[] = [
  { name: 'v6edge_proxy_sessions_total', help: 'Connections accepted.' },
  { name: 'v6edge_proxy_bytes_in_total', help: 'Bytes received from clients.' },
  { name: 'v6edge_proxy_bytes_out_total', help: 'Bytes sent towards clients.' },
  { name: failed, help: failedHelp, labels: { cause: 'denied' } },
  { name: failed, help: failedHelp, labels: { cause: 'rate_limited' } },
  { name: failed, help: failedHelp, labels: { cause: 'bad_proxy_header' } },
  { name: failed, help: failedHelp, labels: { cause: 'no_member' } },
  { name: failed, help: failedHelp, labels: { cause: 'connect_failed' } },
  { name: failed, help: failedHelp, labels: { cause: 'queue_timeout' } },
  { name: 'v6edge_proxy_silent_clients_total', help: 'Sessions in which the client never sent a byte.' },
  { name: failed, help: failedHelp, labels: { cause: 'client_aborted' } },
  { name: failed, help: failedHelp, labels: { cause: 'member_aborted' } },
  { name: failed, help: failedHelp, labels: { cause: 'idle_timeout' } },
  { name: failed, help: failedHelp, labels: { cause: 'fin_timeout' } },
  { name: failed, help: failedHelp, labels: { cause: 'killed' } },
  { name: failed, help: failedHelp, labels: { cause: 'no_resources' } },
];

/** Offsets in a member's counter slot. */
export const MemberCounter = {
  sessions: 0,
  bytesIn: 1,
  bytesOut: 2,
  connectErrors: 3,
  connectTimeouts: 4,
  retries: 5,
  resets: 6,
} as const;

/** Further offsets there: how connections fared, of those that were looked at as they ended. */
export const MemberTcp = { samples: 7, rttSeconds: 8, segments: 9, retransmits: 10, lost: 11 } as const;

export const memberCounterSpecs: readonly MetricSpec[] = [
  { name: 'v6edge_proxy_member_sessions_total', help: 'Sessions connected to the member.' },
  {
    name: 'v6edge_proxy_member_bytes_in_total',
    help: 'Bytes from clients sent to the member, PROXY headers excluded.',
  },
  { name: 'v6edge_proxy_member_bytes_out_total', help: 'Bytes received from the member.' },
  {
    name: 'v6edge_proxy_member_connect_errors_total',
    help: 'Connects that failed.',
    labels: { cause: 'error' },
  },
  {
    name: 'v6edge_proxy_member_connect_errors_total',
    help: 'Connects that failed.',
    labels: { cause: 'timeout' },
  },
  {
    name: 'v6edge_proxy_member_retries_total',
    help: 'Sessions that went elsewhere, or tried again, after a failed connect.',
  },
  { name: 'v6edge_proxy_member_resets_total', help: 'Established sessions that the member reset.' },
  {
    name: 'v6edge_proxy_member_tcp_samples_total',
    help: 'Connections to the member that were looked at as they ended (TCP_INFO): all that lasted a second, others now and then.',
  },
  {
    name: 'v6edge_proxy_member_tcp_rtt_seconds_total',
    help: 'Sum of the smoothed round-trip times of these connections; divided by their number it is the mean.',
  },
  { name: 'v6edge_proxy_member_tcp_segments_total', help: 'Segments that these connections sent to the member.' },
  { name: 'v6edge_proxy_member_tcp_retransmits_total', help: 'Segments of these that were sent again.' },
  { name: 'v6edge_proxy_member_tcp_lost_total', help: 'Segments that counted as lost as these connections ended.' },
];

/** Offsets in the global gauge block. */
export const ProxyGauge = { sessions: 0 } as const;

export const proxyGaugeSpecs: readonly MetricSpec[] = [
  { name: 'v6edge_proxy_sessions', help: 'Sessions at this moment.' },
];

export const listenerGaugeSpecs: readonly MetricSpec[] = [
  { name: 'v6edge_proxy_listener_sessions', help: 'Sessions of the listener at this moment.' },
];

/** The first is what leastconn and maxConnections go by: exact over all threads, connects under way included. */
export const memberGaugeSpecs: readonly MetricSpec[] = [
  { name: 'v6edge_proxy_member_sessions', help: 'Sessions of the member at this moment, connects under way included.' },
];

export const poolGaugeSpecs: readonly MetricSpec[] = [
  { name: 'v6edge_proxy_pool_queued', help: 'Sessions that wait for a place at a member, or for a member.' },
];

const listenersAt = proxyCounterSpecs.length;
const membersAt = listenersAt + listenerSlots * listenerCounterSpecs.length;
const gaugeListenersAt = proxyGaugeSpecs.length;
const gaugeMembersAt = gaugeListenersAt + listenerSlots * listenerGaugeSpecs.length;
const gaugePoolsAt = gaugeMembersAt + memberSlots * memberGaugeSpecs.length;

/** Counters and gauges in the proxy's window. */
export const proxyCounters: number = membersAt + memberSlots * memberCounterSpecs.length;
export const proxyGauges: number = gaugePoolsAt + poolSlots * poolGaugeSpecs.length;

/** Where a listener's counters begin; add a `ListenerCounter`. `CounterTable.clear(base, listenerCounterSpecs.length)` empties the slot. */
export function listenerCounterBase(slot: number): number {
  return listenersAt + slot * listenerCounterSpecs.length;
}

/** Where a member's counters begin; add a `MemberCounter`. */
export function memberCounterBase(slot: number): number {
  return membersAt + slot * memberCounterSpecs.length;
}

/** A listener's gauge of current sessions. */
export function listenerGaugeBase(slot: number): number {
  return gaugeListenersAt + slot * listenerGaugeSpecs.length;
}

/** A member's gauge of current sessions. */
export function memberGaugeBase(slot: number): number {
  return gaugeMembersAt + slot * memberGaugeSpecs.length;
}

/** A pool's gauge of sessions that wait. */
export function poolGaugeBase(slot: number): number {
  return gaugePoolsAt + slot * poolGaugeSpecs.length;
}
