/**
 * What the control thread tells data threads: plain data, passed by structured clone, replaced as a whole.
 * `slot` numbers index the shared counters (`proxy/counters.ts`) and stay with their listener, pool or member for its life.
 */
import { type Networks, networksOf } from '../core/networks.ts';
import type { ListenerConfig, PoolConfig, ProxyTimeouts } from './config.ts';

/** up and down are the health check's words; drain and maint the operator's. Only `up` gets new sessions, unless it has weight 0. */
export type MemberState = 'up' | 'down' | 'drain' | 'maint';

export interface MemberSnapshot {
  readonly name: string;
  readonly slot: number;
  readonly address: string;
  readonly port: number;
  /** Effective weight, of which there are hundredths during `slowStart`; 0 = no new sessions. */
  readonly weight: number;
  readonly maxConnections: number;
  readonly backup: boolean;
  /** 0 = no backup; members of the lowest tier serve of which any is up. */
  readonly tier: number;
  readonly state: MemberState;
}

/** Whether new sessions go to the member, places left or not. */
export function takesSessions({ state, weight }: Pick<MemberSnapshot, 'state' | 'weight'>): boolean {
  return state === 'up' && weight > 0;
}

/** `timeouts` that are undefined are the snapshot's. */
export interface PoolSnapshot extends Omit<PoolConfig, 'check' | 'members' | 'discover'> {
  readonly slot: number;
  readonly members: readonly MemberSnapshot[];
  /** Some member's first check has not ended: whoever finds none that is up waits for it. */
  readonly pending: boolean;
}

export interface ListenerSnapshot extends Omit<ListenerConfig, 'trusted' | 'allow' | 'deny'> {
  readonly slot: number;
  readonly trusted: Networks;
  readonly allow: Networks;
  readonly deny: Networks;
}

export function listenerSnapshot(config: ListenerConfig, slot: number): ListenerSnapshot {
  const { trusted, allow, deny, ...rest } = config;
  return { ...rest, slot, trusted: networksOf(trusted), allow: networksOf(allow), deny: networksOf(deny) };
}

export interface ProxySnapshot {
  readonly version: number;
  readonly timeouts: ProxyTimeouts;
  readonly maxConnections: number;
  readonly listeners: readonly ListenerSnapshot[];
  readonly pools: readonly PoolSnapshot[];
}
