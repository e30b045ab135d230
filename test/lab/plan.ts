/**
 * The lab's network: who is there and with which addresses.
 *
 *   client ───┐                                  198.51.100.0/24 and 2001:db8:1::/64: "the internet"
 *   upstream ─┤ public
 *             ├────────────── edge
 *   master1 ──┤                │
 *   worker1 ──┤ private ───────┘                 fd00:6:6::/64: addresses by SLAAC, from the edge's advertisements
 *   worker2 ──┘
 *
 * The cluster's nodes hang on both: they reach the internet by the public network (IPv6 only), and are reached by the edge
 * through the private one. Both networks are bridges in a namespace of their own.
 */

export type NodeName = 'edge' | 'master1' | 'worker1' | 'worker2' | 'client' | 'upstream';

export interface NodePlan {
  readonly name: NodeName;
  /** Last byte of both its MAC addresses. */
  readonly host: number;
  /** Addresses of pub0. */
  readonly public: readonly string[];
  /** Addresses of prv0; `slaac`: it has none but what it learns; absent: not on the private network. */
  readonly private?: readonly string[] | 'slaac';
}

export const nodePlans: readonly NodePlan[] = [
  { name: 'edge', host: 0x01, public: ['198.51.100.1/24', '2001:db8:1::1/64'], private: ['fd00:6:6::1/64'] },
  { name: 'master1', host: 0x11, public: ['2001:db8:1::11/64'], private: 'slaac' },
  { name: 'worker1', host: 0x21, public: ['2001:db8:1::21/64'], private: 'slaac' },
  { name: 'worker2', host: 0x22, public: ['2001:db8:1::22/64'], private: 'slaac' },
  { name: 'client', host: 0x64, public: ['198.51.100.100/24', '2001:db8:1::64/64'] },
  { name: 'upstream', host: 0x53, public: ['2001:db8:1::53/64'] },
];

export const clusterNodes = ['master1', 'worker1', 'worker2'] as const;
export const workers = ['worker1', 'worker2'] as const;

export const prefix = 'fd00:6:6::/64';
export const edgePrivate = 'fd00:6:6::1';
export const edgePublic6 = '2001:db8:1::1';
export const edgePublic4 = '198.51.100.1';
export const client4 = '198.51.100.100';
export const client6 = '2001:db8:1::64';
/** The DNS64 upstream; also where the nodes' default route points, as a provider's router would be. */
export const upstream6 = '2001:db8:1::53';
/** RFC 6052 network-specific prefix of the upstream's DNS64. */
export const nat64Prefix = '2001:db8:64:64::/96';
export const zone = 'cluster.test';
export const reverseZone = '0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa';
/**
 * Edge ports. `sum` goes to a peer that sums what it receives until end of file, the `judge` ports to HAProxy as a receiver
 * of PROXY headers v1 and v2; the members of `found` are those that SRV records name.
 */
export const ports = {
  http: 80,
  https: 443,
  kubeApi: 6443,
  sum: 7000,
  judgeV1: 7001,
  judgeV2: 7002,
  found: 7003,
} as const;

export function planOf(name: NodeName): NodePlan {
  return nodePlans.find((plan) => plan.name === name)!;
}

export function macOf(plan: NodePlan, network: 'public' | 'private'): string {
  const host = plan.host.toString(16).padStart(2, '0');
  return network === 'public' ? `02:00:00:01:01:${host}` : `02:00:00:06:06:${host}`;
}

/** The address the kernel makes of our prefix and the private interface's MAC (modified EUI-64, RFC 4291 appendix A). */
export function slaacAddress(name: NodeName): string {
  return `fd00:6:6::ff:fe06:6${planOf(name).host.toString(16).padStart(2, '0')}`;
}
