/** What the doctor says: findings with stable ids, what they rest on, and what to run. Times are wall-clock milliseconds. */

/** `error`: something does not work; `warning`: it will not, or not always; `note`: worth knowing. */
export type Severity = 'error' | 'warning' | 'note';

/** Every finding there is: ids are stable, and stand in docs/doctor.md. */
export const findingIds = [
  'node-unknown',
  'resolver-elsewhere',
  'address-lost',
  'node-silent',
  'clock-off',
  'clock-drifts',
  'key-refused',
  'update-refused',
  'dns-refused',
  'two-routers',
  'check-failing',
  'member-out',
  'not-announced',
  'no-ptr',
  'lease-ending',
  'upstream-down',
  'upstreams-down',
  'port-held',
  'file-limit',
  'interface-silent',
  'accept-ra',
  'state-dir',
  'disk-full',
  'clock-unsynchronised',
  'dns64-missing',
  'thread-ill',
  'zone-missing',
  'pool-empty',
  'daemon-down',
  'configuration-bad',
] as const;

export type FindingId = (typeof findingIds)[number];

export interface Finding {
  readonly id: FindingId;
  readonly severity: Severity;
  /** What it is about: an address, a member, an interface, an upstream. */
  readonly subject: string;
  /** What is wrong and why it is believed, in words. */
  readonly text: string;
  /** What mends it, a line each: commands, or what to change in the configuration. */
  readonly run: readonly string[];
  /** Where that is done. */
  readonly where: 'node' | 'edge';
}

/** One address of a node. */
export interface AddressReport {
  readonly address: string;
  /** What the kernel holds of it: `reachable`, `stale`, `failed`; `unknown` = nothing. */
  readonly neighbour: string;
  readonly mac: string | undefined;
  readonly interface: string | undefined;
  /** Lies in a prefix that we advertise. */
  readonly advertised: boolean;
}

/** A node, from all that is known of it. */
export interface NodeReport {
  readonly node: string;
  readonly healthy: boolean;
  /** Since when things are counted. */
  readonly since: number;
  readonly names: readonly string[];
  readonly addresses: readonly AddressReport[];
  readonly solicitations: { readonly count: number; readonly last: number | undefined };
  /** Queries, with those that were refused. */
  readonly queries: { readonly count: number; readonly refused: number; readonly last: number | undefined };
  readonly updates: { readonly accepted: number; readonly refused: number; readonly last: number | undefined };
  /** Its members, `pool/member`. */
  readonly members: readonly { readonly member: string; readonly state: string; readonly reason: string }[];
  /** Sessions to it now. */
  readonly sessions: number;
  readonly findings: readonly Finding[];
}

/** A node in the edge's list. */
export interface NodeLine {
  readonly node: string;
  readonly healthy: boolean;
  readonly findings: readonly FindingId[];
  /** The gravest finding in words, or that there is none. */
  readonly text: string;
}

/** The edge itself. */
export interface EdgeReport {
  readonly healthy: boolean;
  readonly since: number;
  readonly findings: readonly Finding[];
  readonly nodes: readonly NodeLine[];
  /** Nodes beyond those listed. */
  readonly more: number;
}

/** Whether nothing needs mending. */
export function isHealthy(findings: readonly Finding[]): boolean {
  return findings.every(({ severity }) => severity === 'note');
}

const order: readonly Severity[] = ['error', 'warning', 'note'];

/** The gravest first. */
export function sorted(findings: readonly Finding[]): Finding[] {
  return [...findings].sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
}
