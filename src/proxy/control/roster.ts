/**
 * Who is in which pool: members that the configuration, the admin API or DNS named come, stay, leave in peace or go at once. Each
 * has a slot in the shared counters for as long as it is here.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Timer } from '../../core/clock.ts';
import { Pace } from '../check/pace.ts';
import type { MemberConfig, PoolConfig } from '../config.ts';
import { ProxyError } from '../errors.ts';
import { takesSessions } from '../snapshot.ts';
import { Absent } from './absent.ts';
import { Member, type MemberContext, type MemberOrigin } from './member.ts';
import { memberKey, sameServer } from './member-config.ts';
import type { RemovedMember, Saved, SavedMember } from './memory.ts';
import { newMembers, type Pool } from './pool.ts';
import { SlotAllocator, type SlotUse } from './slots.ts';
import type { MemberRemoved } from './status.ts';
import { Taken } from './taken.ts';

/** How often a member that is being removed is looked at for sessions left. */
const leavePollMs = 1000;

/** `pool/member` of those that a configuration brought and took, and which orders of the operator's it replaced. */
export interface RosterChange {
  readonly added: string[];
  readonly removed: string[];
  readonly overridden: string[];
}

export interface RosterContext {
  readonly members: Omit<MemberContext, 'firstCheckMs'>;
  readonly slots: SlotUse;
  /** Of pools. */
  readonly poolSlots: SlotUse;
  /** Who is here has changed; several changes of one `batch` are published as one. */
  readonly changed: () => void;
  readonly batch: (run: () => void) => void;
  readonly removed: (event: MemberRemoved) => void;
  /** Whether what the API does outlives a reload. */
  readonly lasts: () => boolean;
}

export class Roster {
  readonly #context: RosterContext;
  readonly #slots: SlotAllocator;
  readonly #poolSlots: SlotAllocator;
  readonly #pools = new Map<string, Pool>();
  readonly #taken = new Taken();
  readonly #absent = new Absent();
  /** As an earlier process left them, by pool and name; empty once they are back. */
  #saved = new Map<string, SavedMember>();
  #started = false;
  #leaveTimer: Timer | undefined;

  constructor(context: RosterContext) {
    this.#context = context;
    this.#slots = new SlotAllocator('member', context.slots);
    this.#poolSlots = new SlotAllocator('pool', context.poolSlots);
  }

  get pools(): Iterable<Pool> {
    return this.#pools.values();
  }

  /** @throws {ProxyError} code V6_POOL_UNKNOWN */
  pool(name: string): Pool {
    const pool = this.#pools.get(name);
    if (pool === undefined) throw new ProxyError('V6_POOL_UNKNOWN', `there is no pool ${name}`);
    return pool;
  }

  /** @throws {ProxyError} code V6_MEMBER_UNKNOWN */
  member(pool: Pool, name: string): Member {
    const member = pool.members.get(name);
    if (member === undefined) {
      throw new ProxyError('V6_MEMBER_UNKNOWN', `pool ${pool.config.name} has no member ${name}`);
    }
    return member;
  }

  /** The member, if it is here: what other threads say of one may come when it is gone. */
  find(pool: string, member: string): Member | undefined {
    return this.#pools.get(pool)?.members.get(member);
  }

  /** As an earlier process left it; members of the next `apply` go on from there. */
  restore({ members, removed, absent }: Saved): void {
    for (const member of absent) this.#absent.keep(member);
    this.#saved = new Map(members.map((member) => [memberKey(member.pool, member.config.name), member]));
    this.#taken.restore(removed);
  }

  /** Members that the earlier process had beside those of the configuration; ends what `restore` began. */
  restoreAdded(): void {
    for (const { pool: name, config, origin } of this.#saved.values()) {
      const pool = this.#pools.get(name);
      const wanted = origin === 'api' || (origin === 'discovered' && pool?.config.discover !== undefined);
      if (pool === undefined || !wanted || pool.members.has(config.name)) continue;
      if (!this.#slots.has(1)) break;
      this.#add(pool, config, origin, this.#slots.take());
    }
    this.#saved = new Map();
    this.#started = true;
  }

  /** Members of a pool's configuration that the operator's word took out. */
  removed(pool: Pool): RemovedMember[] {
    return this.#taken.of(pool.config);
  }

  /** What is to be kept over a restart. */
  saved(): Saved {
    const removed: RemovedMember[] = [];
    const members: SavedMember[] = [];
    for (const pool of this.#pools.values()) {
      for (const member of pool.members.values()) if (!member.leaving) members.push(member.saved());
      removed.push(...this.removed(pool));
    }
    return { members, removed, absent: this.#absent.members };
  }

  /**
   * Slots are counted before anything changes, so that a configuration applies as a whole or not at all.
   * @throws {ProxyError} code V6_PROXY_SLOTS
   */
  requireRoom(pools: readonly PoolConfig[]): void {
    this.#slots.require(
      pools.reduce((sum, { name, members }) => sum + newMembers(members, this.#pools.get(name)?.members), 0),
    );
    this.#poolSlots.require(pools.filter(({ name }) => !this.#pools.has(name)).length);
  }

  /** Takes over the pools of a configuration. */
  apply(pools: readonly PoolConfig[], change: RosterChange): void {
    for (const [name, pool] of this.#pools) {
      if (pools.some((other) => other.name === name)) continue;
      for (const member of pool.members.values()) change.removed.push(this.drop(pool, member));
      this.#pools.delete(name);
      this.#poolSlots.free(pool.slot);
    }
    for (const config of pools) this.#applyPool(config, change);
  }

  /**
   * Adds one by the operator's word.
   * @throws {ProxyError} code V6_MEMBER_EXISTS or V6_PROXY_SLOTS
   */
  addByApi(name: string, config: MemberConfig): Member {
    const pool = this.pool(name);
    const old = pool.members.get(config.name);
    if (old !== undefined && !old.leaving) {
      throw new ProxyError('V6_MEMBER_EXISTS', `pool ${name} has a member ${config.name} already`);
    }
    const stays = old !== undefined && sameServer(old.config, config);
    const slot = stays ? old.slot : this.#slots.take();
    const configured = pool.config.members.find((each) => each.name === config.name);
    // With another address it stands in for that of the configuration, which stays out.
    if (configured === undefined || sameServer(configured, config)) this.#taken.forget(name, config.name);
    if (stays) {
      // The sessions it still has count as ever.
      old.origin = 'api';
      this.#stay(pool, old, config, true);
      return old;
    }
    const others = this.#serves(pool.members);
    if (old !== undefined) this.drop(pool, old);
    return this.#add(pool, config, 'api', slot, others);
  }

  /** The operator's word took a member out: one of the configuration stays out, also if he had added it again himself. */
  takenByApi({ config }: Pool, member: Member): void {
    if (config.members.some((each) => sameServer(each, member.config))) this.#taken.add(config.name, member.config);
  }

  /**
   * Replaces the members that discovery found for a pool.
   * @throws {ProxyError} code V6_PROXY_SLOTS or V6_POOL_UNKNOWN, and nothing has changed then
   */
  setDiscovered(name: string, configs: readonly MemberConfig[]): void {
    const pool = this.pool(name);
    this.#slots.require(newMembers(configs, pool.members));
    const others = this.#serves(pool.members);
    for (const member of [...pool.members.values()]) {
      if (member.origin !== 'discovered' || configs.some((config) => sameServer(config, member.config))) continue;
      this.#absent.keep(member.saved());
      // The name goes to its new address now; else whoever was lost ends in peace.
      if (configs.some((config) => config.name === member.config.name)) this.drop(pool, member);
      else this.leave(pool, member);
    }
    for (const config of configs) {
      const old = pool.members.get(config.name);
      if (old === undefined) this.#add(pool, config, 'discovered', this.#slots.take(), others);
      else if (old.origin === 'discovered' && sameServer(config, old.config)) {
        if (!isDeepStrictEqual(config, old.config)) this.#context.changed();
        this.#stay(pool, old, config);
      }
    }
  }

  /** Takes a member out now; returns `pool/member`. */
  drop(pool: Pool, member: Member): string {
    member.stop();
    pool.members.delete(member.config.name);
    this.#slots.free(member.slot);
    this.#context.changed();
    const place = { pool: pool.config.name, member: member.config.name };
    this.#context.removed({ kind: 'member-removed', ...place, at: this.#context.members.clock.wall() });
    return `${place.pool}/${place.member}`;
  }

  /** Takes a member out once its sessions have ended. */
  leave(pool: Pool, member: Member): void {
    if (this.#context.slots.busy?.(member.slot) !== true) {
      this.drop(pool, member);
      return;
    }
    member.leave();
    this.#leaveTimer ??= this.#context.members.clock.after(leavePollMs, () => this.#dropIdle());
  }

  /** Ends all checks. */
  stop(): void {
    this.#leaveTimer?.cancel();
    for (const { members } of this.#pools.values()) for (const member of members.values()) member.stop();
  }

  #applyPool(config: PoolConfig, change: RosterChange): void {
    const known = this.#pools.get(config.name);
    const pool: Pool = known ?? this.#newPool(config);
    this.#pools.set(config.name, pool);
    pool.config = config;
    const lasts = this.#context.lasts();
    const before = pool.members;
    const others = this.#serves(before);
    // A new map, so that the order is that of the configuration.
    pool.members = new Map();
    for (const memberConfig of config.members) {
      const old = before.get(memberConfig.name);
      if (this.#taken.staysOut(config.name, memberConfig, lasts, change.overridden)) continue;
      if (old !== undefined && sameServer(old.config, memberConfig)) {
        before.delete(memberConfig.name);
        if (old.origin === 'api' && !isDeepStrictEqual(old.config, memberConfig)) {
          change.overridden.push(
            `${config.name}/${memberConfig.name}: added at run time with other settings, is as configured`,
          );
        }
        old.origin = 'config';
        pool.members.set(memberConfig.name, old);
        change.overridden.push(...old.reconfigure(config, memberConfig));
        if (old.leaving) this.#stay(pool, old, memberConfig);
      } else {
        this.#add(pool, memberConfig, 'config', this.#slots.take(), others);
        change.added.push(`${config.name}/${memberConfig.name}`);
      }
    }
    for (const old of before.values()) {
      const { name } = old.config;
      const found = old.origin === 'discovered' && config.discover !== undefined;
      // Also those that drain because the API took them out.
      const kept = (old.origin === 'api' || old.leaving) && lasts;
      if ((found || kept) && !pool.members.has(name)) {
        pool.members.set(name, old);
        old.reconfigure(config, old.config);
        continue;
      }
      if (old.origin === 'api') change.overridden.push(`${config.name}/${name}: added at run time, is gone`);
      old.stop();
      this.#slots.free(old.slot);
      change.removed.push(`${config.name}/${name}`);
    }
  }

  #newPool(config: PoolConfig): Pool {
    return { slot: this.#poolSlots.take(), config, members: new Map(), pace: new Pace(this.#context.members) };
  }

  /** Whether some of them take sessions, so that whoever joins them may begin slowly. */
  #serves(members: ReadonlyMap<string, Member>): boolean {
    return this.#started && [...members.values()].some((member) => takesSessions(member.snapshot()));
  }

  /** @param others whether the pool serves without it */
  #add(pool: Pool, config: MemberConfig, origin: MemberOrigin, slot: number, others = false): Member {
    const context = { ...this.#context.members, firstCheckMs: (longestMs: number) => pool.pace.next(longestMs) };
    const member = new Member(context, pool.config, config, slot, origin);
    const saved = this.#saved.get(memberKey(pool.config.name, config.name));
    if (saved !== undefined && sameServer(saved.config, config)) member.restore(saved);
    else if (origin === 'discovered') {
      const before = this.#absent.take(pool.config.name, config);
      if (before !== undefined) member.obey(before);
    }
    pool.members.set(config.name, member);
    this.#context.changed();
    member.start(others);
    return member;
  }

  #stay(pool: Pool, member: Member, config: MemberConfig, fresh = false): void {
    this.#absent.take(pool.config.name, config);
    member.reconfigure(pool.config, config);
    if (member.leaving) member.stay(fresh);
  }

  #dropIdle(): void {
    this.#leaveTimer = undefined;
    this.#context.batch(() => {
      for (const pool of this.#pools.values()) {
        for (const member of [...pool.members.values()]) if (member.leaving) this.leave(pool, member);
      }
    });
  }
}
