/** What the admin API shows of pools: plain data. */
import type { CheckResult } from '../check/result.ts';
import type { HealthStatus } from '../check/state.ts';
import type { BalanceAlgorithm, CheckType, ProxyProtocol } from '../config.ts';
import type { MemberSnapshot, MemberState } from '../snapshot.ts';
import type { CheckTotals } from './check-figures.ts';
import type { MemberOrigin } from './member.ts';
import type { Server } from './member-config.ts';

/** The operator's word on a member, in HAProxy's terms (`set server … state`). */
export type AdminState = 'ready' | 'drain' | 'maint';

/** A check's result and when it came, wall-clock milliseconds. */
export interface LastCheck extends CheckResult {
  readonly at: number;
}

export interface MemberStatus extends MemberSnapshot {
  /** As configured; `weight` is what counts now (operator's word, slow start). */
  readonly configuredWeight: number;
  /** What counts once a slow start is over: the operator's weight, or else the configured one, and the limit. */
  readonly full: Pick<MemberSnapshot, 'weight' | 'maxConnections'>;
  readonly admin: AdminState;
  readonly health: HealthStatus;
  readonly origin: MemberOrigin;
  readonly leaving: boolean;
  /** Wall-clock milliseconds of the last change of state, and how long ago that was. */
  readonly since: number;
  readonly inStateMs: number;
  /** Why the member is in its state, in plain words. */
  readonly reason: string;
  readonly lastCheck: LastCheck | undefined;
  /** Sums since the member is here, as it was before a restart left out. */
  readonly checks: CheckTotals;
  /** What is wrong with the member's settings, or kept sessions from it lately, whatever its state; undefined: nothing that is known. */
  readonly warning: string | undefined;
}

export interface PoolStatus {
  readonly name: string;
  readonly slot: number;
  readonly balance: BalanceAlgorithm;
  readonly proxyProtocol: ProxyProtocol;
  readonly check: CheckType;
  /** Members that take new sessions. */
  readonly up: number;
  readonly members: readonly MemberStatus[];
  /** Members of the configuration that the admin API took out, for good; one of the name at another address may stand in for it. */
  readonly removed: readonly Server[];
}

/** A member changed its state; `unknown` before its first check has ended. */
export interface MemberEvent {
  readonly kind: 'member';
  readonly pool: string;
  readonly member: string;
  readonly from: MemberState | 'unknown';
  readonly to: MemberState;
  readonly reason: string;
  /** Wall-clock milliseconds. */
  readonly at: number;
}

/** A pool has no member left that takes sessions, or has one again. */
export interface PoolEvent {
  readonly kind: 'pool';
  readonly pool: string;
  readonly state: 'serving' | 'empty';
  /** How its members are. */
  readonly reason: string;
  /** Wall-clock milliseconds. */
  readonly at: number;
}

/** Something is wrong with a member's settings, or keeps sessions from it, in plain words. */
export interface MemberWarning {
  readonly kind: 'member-warning';
  readonly pool: string;
  readonly member: string;
  readonly reason: string;
  /** Wall-clock milliseconds. */
  readonly at: number;
}

/** A member is no more in its pool: it was taken out, and has no session left unless it went by force. */
export interface MemberRemoved {
  readonly kind: 'member-removed';
  readonly pool: string;
  readonly member: string;
  /** Wall-clock milliseconds. */
  readonly at: number;
}
