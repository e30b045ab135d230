/** What places.test.ts and its threads agree on. */
import type { CounterLayout } from '../../src/core/counters.ts';
import type { MemberSnapshot, PoolSnapshot } from '../../src/proxy/snapshot.ts';
import { member as memberOf, pool } from './harness.ts';

export const memberCount = 3;
export const queueLength = 12;

export interface PlacesSetting {
  readonly thread: number;
  readonly seed: number;
  /** Of the random script. */
  readonly steps: number;
  readonly layout: CounterLayout;
  readonly counters: SharedArrayBuffer;
  readonly queues: SharedArrayBuffer;
  /** Sessions at each member as the threads count them themselves, then threads whose script is over: i32 each. */
  readonly shared: SharedArrayBuffer;
}

/** The most that the limit of a member is in the script. */
export function limitOf(slot: number): number {
  return slot + 1;
}

export function member(slot: number): MemberSnapshot {
  return memberOf(`m${slot}`, 80, { maxConnections: limitOf(slot) });
}

export function poolOf(members: readonly MemberSnapshot[]): PoolSnapshot {
  return pool(members, { balance: 'leastconn', queue: { timeoutMs: 1000, length: queueLength } });
}
