/**
 * Tells when a pool has no member left that takes sessions, so that clients are turned away, and when it has one again: HAProxy's
 * "backend … has no server available!".
 */
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import { takesSessions } from '../snapshot.ts';
import type { Pool } from './pool.ts';
import type { MemberStatus, PoolEvent } from './status.ts';

/** Members whose state stands in the reason; a pool may have hundreds. */
const namedMembers = 5;

export class PoolWatch {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #tell: (event: PoolEvent) => void;
  /** Whether each pool served when it was last told of, or is taken to have. */
  readonly #serves = new Map<string, boolean>();

  constructor(context: { clock: Clock; log: Logger }, tell: (event: PoolEvent) => void) {
    this.#clock = context.clock;
    this.#log = context.log;
    this.#tell = tell;
  }

  /** Something about members has changed. */
  look(pools: Iterable<Pool>): void {
    const gone = new Set(this.#serves.keys());
    for (const pool of pools) {
      gone.delete(pool.config.name);
      this.#look(pool);
    }
    for (const name of gone) this.#serves.delete(name);
  }

  #look({ config, members }: Pool): void {
    const { name } = config;
    const before = this.#serves.get(name);
    const list = [...members.values()];
    const serves = list.some((member) => takesSessions(member.snapshot()));
    // Nobody knows yet: the first check of some member is still to come, or DNS has yet to name one.
    if (!serves && (list.some(({ pending }) => pending) || (before === undefined && list.length === 0))) return;
    this.#serves.set(name, serves);
    if (serves === (before ?? true)) return;
    const statuses = list.map((member) => member.status());
    const reason = reasonOf(serves ? statuses.filter(takesSessions) : statuses);
    this.#tell({ kind: 'pool', pool: name, state: serves ? 'serving' : 'empty', reason, at: this.#clock.wall() });
    if (serves) this.#log.info({ pool: name, reason }, 'pool serves again');
    else this.#log.error({ pool: name, reason }, 'pool has no member that takes sessions: clients are turned away');
  }
}

function reasonOf(members: readonly MemberStatus[]): string {
  if (members.length === 0) return 'it has no members';
  const named = members.slice(0, namedMembers).map(({ name, state, weight, reason }) => {
    return state === 'up' && weight === 0 ? `${name} has weight 0` : `${name} ${state}: ${reason}`;
  });
  const more = members.length - named.length;
  return `${named.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
