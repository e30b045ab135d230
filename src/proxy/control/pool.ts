/** A pool in the control thread, and what is told of it. */
import type { Pace } from '../check/pace.ts';
import type { MemberConfig, PoolConfig } from '../config.ts';
import { type PoolSnapshot, takesSessions } from '../snapshot.ts';
import type { Member } from './member.ts';
import { type Server, sameServer } from './member-config.ts';
import type { PoolStatus } from './status.ts';

export interface Pool {
  readonly slot: number;
  config: PoolConfig;
  members: Map<string, Member>;
  readonly pace: Pace;
}

/** For data threads. */
export function poolSnapshot({ slot, config, members }: Pool): PoolSnapshot {
  const { check: _check, discover: _discover, members: _members, ...settings } = config;
  const list = [...members.values()].map((member) => member.snapshot());
  return { ...settings, slot, members: list, pending: [...members.values()].some((member) => member.pending) };
}

/** For the admin API. @param removed those of the configuration that were taken out */
export function poolStatus({ slot, config, members }: Pool, removed: readonly Server[]): PoolStatus {
  const list = [...members.values()].map((member) => member.status());
  return {
    name: config.name,
    slot,
    balance: config.balance,
    proxyProtocol: config.proxyProtocol,
    check: config.check.type,
    up: list.filter(takesSessions).length,
    members: list,
    removed: removed.map(({ name, address, port }) => ({ name, address, port })),
  };
}

/** How many of these settings make members that are not known yet. */
export function newMembers(configs: readonly MemberConfig[], known: ReadonlyMap<string, Member> | undefined): number {
  return configs.filter((config) => {
    const old = known?.get(config.name);
    return old === undefined || !sameServer(old.config, config);
  }).length;
}
