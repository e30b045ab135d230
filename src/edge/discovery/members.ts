/** From what DNS says to the members of a pool. */
import { formatAddress, formatEndpoint, parseAddress } from '../../core/address.ts';
import type { MemberConfig, PoolConfig } from '../../proxy/config.ts';

/** A pool has at most so many members from DNS; records beyond are left out. */
export const maxDiscovered = 128;

/** The largest weight of a member; SRV weights go to 65535. */
const maxWeight = 256;
/** Weight of members whose records have none: as in the configuration. */
const defaultWeight = 100;

/** An address that DNS names for a service. */
export interface ServicePoint {
  /** Target of the SRV record; undefined when members come from addresses alone. */
  readonly host: string | undefined;
  /** As `formatAddress` writes it. */
  readonly address: string;
  readonly port: number;
  /** RFC 2782: the lowest is used first. */
  readonly priority: number;
  readonly weight: number;
}

/**
 * The members these make. The points of the lowest priority take traffic, all others are backups in tiers. Points that the pool
 * has as a static member are left out. `names` keeps each point's name, so that a member is the same at the next look.
 */
export function discoveredMembers(
  pool: Pick<PoolConfig, 'members' | 'discover'>,
  points: readonly ServicePoint[],
  names: Map<string, string>,
): MemberConfig[] {
  const { maxConnections = 0, slowStartMs = 0 } = pool.discover ?? {};
  const own = new Set(pool.members.map((member) => place(member)));
  const wanted = new Map<string, ServicePoint>();
  for (const point of [...points].sort(byPriorityAndPlace)) {
    const key = place(point);
    if (!own.has(key) && !wanted.has(key) && wanted.size < maxDiscovered) wanted.set(key, point);
  }
  const taken = new Set(pool.members.map(({ name }) => name));
  for (const [key, name] of names) {
    // A static member that a reload brought has its name first.
    if (!wanted.has(key) || taken.has(name)) names.delete(key);
  }
  for (const name of names.values()) taken.add(name);
  const priorities = [...new Set([...wanted.values()].map(({ priority }) => priority))].sort((a, b) => a - b);
  const heaviest = Math.max(0, ...[...wanted.values()].map(({ weight }) => weight));
  return [...wanted].map(([key, point]) => {
    const name = names.get(key) ?? freeName(point, taken);
    names.set(key, name);
    taken.add(name);
    return {
      name,
      address: point.address,
      port: point.port,
      weight: memberWeight(point.weight, heaviest),
      maxConnections,
      ...tierOf(priorities.indexOf(point.priority)),
      slowStartMs,
    };
  });
}

function tierOf(tier: number): { backup: boolean; tier?: number } {
  return tier === 0 ? { backup: false } : { backup: true, tier };
}

/** RFC 2782: all zero = no choice by weight; zero among others = a very small chance, not none. */
function memberWeight(weight: number, heaviest: number): number {
  if (heaviest === 0) return defaultWeight;
  return Math.max(1, heaviest > maxWeight ? Math.round((weight * maxWeight) / heaviest) : weight);
}

/** The target's name, or the address; with a number when another address of that name has it. */
function freeName({ host, address }: ServicePoint, taken: ReadonlySet<string>): string {
  const base = (host ?? address).replaceAll(/[^\w.-]/g, '-').slice(0, 240);
  let name = base;
  for (let n = 2; taken.has(name); n++) name = `${base}-${n}`;
  return name;
}

/** Address and port in one, however the address is written. */
export function place({ address, port }: { readonly address: string; readonly port: number }): string {
  return formatEndpoint({ kind: 'inet', address: parseAddress(address), port });
}

function byPriorityAndPlace(a: ServicePoint, b: ServicePoint): number {
  return a.priority - b.priority || (place(a) < place(b) ? -1 : 1);
}

/** An A or AAAA record's address as text. */
export function addressOf(rdata: Uint8Array): string {
  return formatAddress({ family: rdata.length === 4 ? 4 : 6, bytes: rdata });
}
