/**
 * The control-thread part of the proxy: keeps the pools and their members' states, runs the health checks, and publishes
 * a whole new snapshot whenever something data threads need has changed.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../core/clock.ts';
import { assert } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Random } from '../core/random.ts';
import { networkProbe, type Probe } from './check/probe.ts';
import type { MemberConfig, PoolConfig, ProxyConfig } from './config.ts';
import { Member, type MemberContext, type MemberOrigin } from './control/member.ts';
import { checkMember, checkWeight, memberKey, sameServer } from './control/member-config.ts';
import { type Keep, Memory, type RemovedMember, type Saved, type SavedMember } from './control/memory.ts';
import { newMembers, type Pool, poolSnapshot, poolStatus } from './control/pool.ts';
import { SlotAllocator, type SlotUse } from './control/slots.ts';
import type {
  AdminState,
  MemberEvent,
  MemberRemoved,
  MemberStatus,
  MemberWarning,
  PoolStatus,
} from './control/status.ts';
import { Taken } from './control/taken.ts';
import { listenerSlots, memberSlots } from './counters.ts';
import { ProxyError } from './errors.ts';
import type { ProxySnapshot } from './snapshot.ts';

export type {
  AdminState,
  MemberEvent,
  MemberRemoved,
  MemberStatus,
  MemberWarning,
  PoolStatus,
} from './control/status.ts';

/** How often a member that is being removed is looked at for sessions left. */
const leavePollMs = 1000;

/** What `ProxyControl` needs from above. */
export interface ProxyControlContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly publish: (snapshot: ProxySnapshot) => void;
  readonly emit: (event: MemberEvent | MemberWarning | MemberRemoved) => void;
  /** Use of the slots in the shared counters; without `busy` members to remove go at once, sessions or not. */
  readonly memberSlots?: SlotUse;
  readonly listenerSlots?: SlotUse;
  /** Keeps states and changes by API over a restart; without it they last until the next reload. */
  readonly keep?: Keep;
  /** How checks are made; for tests. */
  readonly probe?: Probe;
}

/** What `apply` changed: `pool/member` or listener names, and which orders of the operator's the new settings replaced. */
export interface ProxyChange {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly overridden: readonly string[];
}

export class ProxyControl {
  readonly #context: ProxyControlContext;
  readonly #memberContext: MemberContext;
  readonly #memberSlots: SlotAllocator;
  readonly #listenerSlots: SlotAllocator;
  readonly #listeners = new Map<string, number>();
  readonly #pools = new Map<string, Pool>();
  readonly #memory: Memory;
  readonly #taken = new Taken();
  /** As an earlier process left them, by pool and name; empty once started. */
  #saved = new Map<string, SavedMember>();
  #config: ProxyConfig | undefined;
  #version = 0;
  #depth = 0;
  #dirty = false;
  #leaveTimer: Timer | undefined;

  constructor(context: ProxyControlContext) {
    this.#context = context;
    this.#memberSlots = new SlotAllocator('member', context.memberSlots ?? { capacity: memberSlots });
    this.#listenerSlots = new SlotAllocator('listener', context.listenerSlots ?? { capacity: listenerSlots });
    this.#memory = new Memory(context.keep, context, () => this.#collect());
    this.#memberContext = {
      clock: context.clock,
      random: context.random,
      log: context.log,
      probe: context.probe ?? networkProbe,
      emit: context.emit,
      changed: () =>
        this.#batch(() => {
          this.#dirty = true;
        }),
    };
  }

  /**
   * Publishes the first snapshot and starts the checks.
   * @throws {ProxyError} code V6_PROXY_SLOTS
   */
  start(config: ProxyConfig): void {
    assert(this.#config === undefined, 'the proxy control is started once');
    const { members, removed } = this.#memory.read();
    this.#saved = new Map(members.map((member) => [memberKey(member.pool, member.config.name), member]));
    this.#taken.restore(removed);
    this.#batch(() => {
      this.apply(config);
      this.#restoreAdded();
    });
    this.#saved = new Map();
  }

  /**
   * Takes over a configuration: pools, members and listeners that stay keep slot, state and check results. A member
   * whose address or port changed is another one.
   * @throws {ProxyError} code V6_PROXY_SLOTS; nothing has changed then
   */
  apply(config: ProxyConfig): ProxyChange {
    const added: string[] = [];
    const removed: string[] = [];
    const overridden: string[] = [];
    this.#checkRoom(config);
    this.#batch(() => {
      this.#config = config;
      for (const [name, pool] of this.#pools) {
        if (config.pools.some((other) => other.name === name)) continue;
        for (const member of pool.members.values()) removed.push(this.#drop(pool, member));
        this.#pools.delete(name);
      }
      for (const poolConfig of config.pools) this.#applyPool(poolConfig, { added, removed, overridden });
      this.#applyListeners(config, added, removed);
      this.#dirty = true;
    });
    return { added, removed, overridden };
  }

  /** Pools and members as they are now. */
  pools(): PoolStatus[] {
    return [...this.#pools.values()].map(poolStatus);
  }

  /**
   * The operator's word: takes a member out (maint), lets its sessions end (drain), brings it back (ready), or weighs it.
   * @throws {ProxyError}
   */
  setMember(pool: string, member: string, order: { state?: AdminState; weight?: number }): MemberStatus {
    const found = this.#member(this.#pool(pool), member);
    if (order.weight !== undefined) checkWeight(order.weight);
    if (order.state !== undefined && !['ready', 'drain', 'maint'].includes(order.state)) {
      throw new ProxyError('V6_MEMBER_INVALID', `state "${order.state}" is not one of ready, drain, maint`);
    }
    this.#batch(() => found.order(order.state, order.weight));
    this.#memory.write();
    return found.status();
  }

  /**
   * Adds a member: for good if that can be kept, else until the next `apply`.
   * @throws {ProxyError}
   */
  addMember(pool: string, config: MemberConfig): MemberStatus {
    const to = this.#pool(pool);
    checkMember(config);
    const old = to.members.get(config.name);
    if (old !== undefined && !old.leaving) {
      throw new ProxyError('V6_MEMBER_EXISTS', `pool ${pool} has a member ${config.name} already`);
    }
    const slot = this.#memberSlots.take();
    const added = this.#batch(() => {
      if (old !== undefined) this.#drop(to, old);
      return this.#add(to, config, 'api', slot);
    });
    this.#taken.forget(pool, config.name);
    this.#memory.write();
    return added.status();
  }

  /**
   * Removes a member, by default after its sessions have ended; `force` doesn't wait.
   * @throws {ProxyError}
   */
  removeMember(pool: string, member: string, { force = false }: { force?: boolean } = {}): void {
    const from = this.#pool(pool);
    const found = this.#member(from, member);
    this.#batch(() => {
      if (force) this.#drop(from, found);
      else this.#leave(from, found);
    });
    if (found.origin === 'config') this.#taken.add(pool, found.config);
    this.#memory.write();
  }

  /**
   * Replaces the members that discovery found for a pool; those no longer found end as `removeMember` ends them.
   * @throws {ProxyError}
   */
  setDiscovered(pool: string, configs: readonly MemberConfig[]): void {
    const to = this.#pool(pool);
    for (const config of configs) checkMember(config);
    this.#memberSlots.require(newMembers(configs, to.members));
    this.#batch(() => {
      for (const member of [...to.members.values()]) {
        if (member.origin !== 'discovered' || configs.some((config) => sameServer(config, member.config))) continue;
        // The name goes to its new address now; else whoever was lost ends in peace.
        if (configs.some(({ name }) => name === member.config.name)) this.#drop(to, member);
        else this.#leave(to, member);
      }
      for (const config of configs) {
        const old = to.members.get(config.name);
        if (old === undefined) this.#add(to, config, 'discovered', this.#memberSlots.take());
        else if (old.origin === 'discovered' && sameServer(config, old.config)) {
          if (!isDeepStrictEqual(config, old.config)) this.#dirty = true;
          this.#stay(to, old, config);
        }
      }
    });
  }

  /** A data thread could not connect to a member: its next check runs at once. */
  reportConnectFailure(pool: string, member: string, code: string): void {
    // Reports cross threads: the member may be gone by now.
    this.#pools.get(pool)?.members.get(member)?.connectFailed(code);
  }

  /** A session ended as one does whose member cannot read the PROXY header: the member is asked. */
  reportHeaderSuspicion(pool: string, member: string): void {
    this.#pools.get(pool)?.members.get(member)?.headerSuspected();
  }

  /** Ends all checks; nothing is published any more. */
  stop(): void {
    this.#leaveTimer?.cancel();
    if (this.#config !== undefined) this.#memory.write();
    for (const { members } of this.#pools.values()) for (const member of members.values()) member.stop();
  }

  #applyPool(config: PoolConfig, change: { added: string[]; removed: string[]; overridden: string[] }): void {
    const pool = this.#pools.get(config.name) ?? { config, members: new Map<string, Member>() };
    this.#pools.set(config.name, pool);
    pool.config = config;
    const before = pool.members;
    // A new map, so that the order is that of the configuration.
    pool.members = new Map();
    for (const memberConfig of config.members) {
      const old = before.get(memberConfig.name);
      if (this.#taken.staysOut(config.name, memberConfig, this.#memory.lasts, change.overridden)) continue;
      if (old !== undefined && sameServer(old.config, memberConfig)) {
        before.delete(memberConfig.name);
        old.origin = 'config';
        pool.members.set(memberConfig.name, old);
        change.overridden.push(...old.reconfigure(config, memberConfig));
        if (old.leaving) this.#stay(pool, old, memberConfig);
      } else {
        this.#add(pool, memberConfig, 'config', this.#memberSlots.take());
        change.added.push(`${config.name}/${memberConfig.name}`);
      }
    }
    for (const old of before.values()) {
      if (old.origin === 'discovered' && config.discover !== undefined && !pool.members.has(old.config.name)) {
        pool.members.set(old.config.name, old);
        old.reconfigure(config, old.config);
        continue;
      }
      // Also those that drain because the API took them out.
      if ((old.origin === 'api' || old.leaving) && this.#memory.lasts && !pool.members.has(old.config.name)) {
        pool.members.set(old.config.name, old);
        old.reconfigure(config, old.config);
        continue;
      }
      if (old.origin === 'api') change.overridden.push(`${config.name}/${old.config.name}: added at run time, is gone`);
      old.stop();
      this.#memberSlots.free(old.slot);
      change.removed.push(`${config.name}/${old.config.name}`);
    }
  }

  /** Members that an earlier process had beside those of the configuration. */
  #restoreAdded(): void {
    for (const { pool: name, config, origin } of this.#saved.values()) {
      const pool = this.#pools.get(name);
      const wanted = origin === 'api' || (origin === 'discovered' && pool?.config.discover !== undefined);
      if (pool === undefined || !wanted || pool.members.has(config.name)) continue;
      if (!this.#memberSlots.has(1)) return;
      this.#add(pool, config, origin, this.#memberSlots.take());
    }
  }

  #collect(): Saved {
    const removed: RemovedMember[] = [];
    const members: SavedMember[] = [];
    for (const pool of this.#pools.values()) {
      for (const member of pool.members.values()) if (!member.leaving) members.push(member.saved());
      removed.push(...this.#taken.of(pool.config));
    }
    return { members, removed };
  }

  #applyListeners(config: ProxyConfig, added: string[], removed: string[]): void {
    const gone = [...this.#listeners].filter(([name]) => !config.listeners.some((listener) => listener.name === name));
    for (const { name } of config.listeners) {
      if (this.#listeners.has(name)) continue;
      this.#listeners.set(name, this.#listenerSlots.take());
      added.push(name);
    }
    for (const [name, slot] of gone) {
      this.#listeners.delete(name);
      this.#listenerSlots.free(slot);
      removed.push(name);
    }
  }

  /** Slots are counted before anything changes, so that a configuration applies as a whole or not at all. */
  #checkRoom(config: ProxyConfig): void {
    let members = 0;
    for (const pool of config.pools) members += newMembers(pool.members, this.#pools.get(pool.name)?.members);
    this.#memberSlots.require(members);
    this.#listenerSlots.require(config.listeners.filter(({ name }) => !this.#listeners.has(name)).length);
  }

  #add(pool: Pool, config: MemberConfig, origin: MemberOrigin, slot: number): Member {
    const member = new Member(this.#memberContext, pool.config, config, slot, origin);
    const saved = this.#saved.get(memberKey(pool.config.name, config.name));
    if (saved !== undefined && sameServer(saved.config, config)) member.restore(saved);
    pool.members.set(config.name, member);
    this.#dirty = true;
    member.start();
    return member;
  }

  #drop(pool: Pool, member: Member): string {
    member.stop();
    pool.members.delete(member.config.name);
    this.#memberSlots.free(member.slot);
    this.#dirty = true;
    const { clock, emit } = this.#context;
    emit({ kind: 'member-removed', pool: pool.config.name, member: member.config.name, at: clock.wall() });
    return `${pool.config.name}/${member.config.name}`;
  }

  #leave(pool: Pool, member: Member): void {
    if (this.#context.memberSlots?.busy?.(member.slot) !== true) {
      this.#drop(pool, member);
      return;
    }
    member.leaving = true;
    member.order('drain', undefined, 'is being removed');
    this.#leaveTimer ??= this.#context.clock.after(leavePollMs, () => this.#dropIdle());
  }

  #stay(pool: Pool, member: Member, config: MemberConfig): void {
    member.reconfigure(pool.config, config);
    if (member.leaving) {
      member.leaving = false;
      member.order('ready', undefined, 'is wanted again');
    }
  }

  #dropIdle(): void {
    this.#leaveTimer = undefined;
    this.#batch(() => {
      for (const pool of this.#pools.values()) {
        for (const member of [...pool.members.values()]) if (member.leaving) this.#leave(pool, member);
      }
    });
  }

  /** Runs changes and publishes once at the end of the outermost. */
  #batch<T>(run: () => T): T {
    this.#depth++;
    try {
      return run();
    } finally {
      this.#depth--;
      if (this.#depth === 0 && this.#dirty) {
        this.#dirty = false;
        this.#context.publish(this.#snapshot());
        this.#memory.touch();
      }
    }
  }

  #snapshot(): ProxySnapshot {
    const config = this.#config!;
    return {
      version: ++this.#version,
      timeouts: config.timeouts,
      maxConnections: config.maxConnections,
      listeners: config.listeners.map((listener) => ({ ...listener, slot: this.#listeners.get(listener.name)! })),
      pools: [...this.#pools.values()].map(poolSnapshot),
    };
  }

  #pool(name: string): Pool {
    const pool = this.#pools.get(name);
    if (pool === undefined) throw new ProxyError('V6_POOL_UNKNOWN', `there is no pool ${name}`);
    return pool;
  }

  #member(pool: Pool, name: string): Member {
    const member = pool.members.get(name);
    if (member === undefined) {
      throw new ProxyError('V6_MEMBER_UNKNOWN', `pool ${pool.config.name} has no member ${name}`);
    }
    return member;
  }
}
