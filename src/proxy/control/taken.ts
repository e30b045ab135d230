/** Members of the configuration that the API took out: they stay out over reloads and restarts, if that can be kept. */
import type { MemberConfig, PoolConfig } from '../config.ts';
import { memberKey, type Server, sameServer } from './member-config.ts';
import type { RemovedMember } from './memory.ts';

export class Taken {
  /** By pool and name. */
  readonly #servers = new Map<string, Server>();

  /** As an earlier process left it. */
  restore(removed: readonly RemovedMember[]): void {
    for (const { pool, ...server } of removed) this.add(pool, server);
  }

  add(pool: string, server: Server): void {
    this.#servers.set(memberKey(pool, server.name), server);
  }

  /** The member is wanted again. */
  forget(pool: string, name: string): void {
    this.#servers.delete(memberKey(pool, name));
  }

  /**
   * Whether the API took this very member out, for good.
   * @param lasts whether what the API does outlives a reload
   */
  staysOut(pool: string, config: MemberConfig, lasts: boolean, overridden: string[]): boolean {
    const place = memberKey(pool, config.name);
    const taken = this.#servers.get(place);
    if (taken === undefined) return false;
    if (lasts && sameServer(taken, config)) return true;
    this.#servers.delete(place);
    overridden.push(`${place}: removed at run time, is back`);
    return false;
  }

  /** Those of a pool's configuration. */
  of(pool: PoolConfig): RemovedMember[] {
    return pool.members.flatMap(({ name }) => {
      const taken = this.#servers.get(memberKey(pool.name, name));
      return taken === undefined ? [] : [{ pool: pool.name, name, address: taken.address, port: taken.port }];
    });
  }
}
