import type { MetricSpec } from '../core/counters.ts';

const sent = (to: string): MetricSpec => ({
  name: 'v6edge_ra_advertisements_sent_total',
  help: 'Router advertisements sent (packets), by destination',
  labels: { to },
});
const invalid = (message: string, reason: string): MetricSpec => ({
  name: 'v6edge_ra_invalid_total',
  help: 'Messages discarded by the checks of RFC 4861 section 6.1 and RFC 6980 section 5, by message and reason',
  labels: { message, reason },
});

/** Place of each counter in the engine's window. */
export const RaCounter = {
  sentMulticast: 0,
  sentUnicast: 1,
  sendFailures: 2,
  solicitations: 3,
  rateLimited: 4,
  notAClient: 5,
  otherAdvertisements: 6,
  contradictions: 7,
  invalidSolicitation: 8,
  invalidAdvertisement: 14,
  pastNeighbours: 20,
} as const;

/** Reasons in the order of the counters that begin at `invalidSolicitation` and at `invalidAdvertisement`. */
export const invalidReasons: Readonly<Record<string, number>> = {
  V6_ND_HOP_LIMIT: 0,
  V6_ND_LENGTH: 1,
  V6_ND_CODE: 2,
  V6_ND_OPTION_ZERO: 3,
  V6_ND_OPTION_LENGTH: 3,
  V6_ND_SOURCE: 4,
  V6_ND_FRAGMENT: 5,
};

const reasons = ['hop_limit', 'length', 'code', 'option', 'source', 'fragment'];

/** Counters of the engine; a spec's place is its index. */
export const raCounters: readonly MetricSpec[] = [
  sent('multicast'),
  sent('unicast'),
  { name: 'v6edge_ra_send_failures_total', help: 'Router advertisements that the kernel did not take' },
  { name: 'v6edge_ra_solicitations_total', help: 'Valid router solicitations received' },
  {
    name: 'v6edge_ra_rate_limited_total',
    help: 'Solicitations not answered on their own: their source, or all together, asked too often',
  },
  { name: 'v6edge_ra_not_a_client_total', help: 'Solicitations not answered: the source is not among the clients' },
  { name: 'v6edge_ra_other_advertisements_total', help: "Valid router advertisements received, of other routers'" },
  {
    name: 'v6edge_ra_contradictions_total',
    help: 'Contradictions to ours newly found in advertisements of other routers (RFC 4861 section 6.2.7)',
  },
  ...reasons.map((reason) => invalid('solicitation', reason)),
  ...reasons.map((reason) => invalid('advertisement', reason)),
  {
    name: 'v6edge_ra_neighbour_table_full_total',
    help: "Multicasts that the kernel's neighbour table had no room for (net.ipv6.neigh.default.gc_thresh3), sent past it",
  },
];

/** Place of each gauge in the engine's window. */
export const RaGauge = { advertising: 0, otherRouters: 1 } as const;

/** Gauges of the engine. */
export const raGauges: readonly MetricSpec[] = [
  { name: 'v6edge_ra_advertising_interfaces', help: 'Interfaces that advertise now' },
  { name: 'v6edge_ra_other_routers', help: 'Other routers remembered' },
];
