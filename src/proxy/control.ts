/**
 * The control-thread part of the proxy: keeps the pools and their members' states, runs the health checks, and publishes
 * a whole new snapshot whenever something data threads need has changed.
 */
import type { Clock } from '../core/clock.ts';
import { assert } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Random } from '../core/random.ts';
import { networkProbe, type Probe } from './check/probe.ts';
import type { MemberConfig, ProxyConfig } from './config.ts';
import { checkMember, checkWeight } from './control/member-config.ts';
import { type Keep, Memory } from './control/memory.ts';
import { poolSnapshot, poolStatus } from './control/pool.ts';
import { PoolWatch } from './control/pool-watch.ts';
import { Roster } from './control/roster.ts';
import { SlotAllocator, type SlotUse } from './control/slots.ts';
import type {
  AdminState,
  MemberEvent,
  MemberRemoved,
  MemberStatus,
  MemberWarning,
  PoolEvent,
  PoolStatus,
} from './control/status.ts';
import { listenerSlots, memberSlots, poolSlots } from './counters.ts';
import { ProxyError } from './errors.ts';
import { type ListenerSnapshot, listenerSnapshot, type ProxySnapshot } from './snapshot.ts';

export type {
  AdminState,
  MemberEvent,
  MemberRemoved,
  MemberStatus,
  MemberWarning,
  PoolEvent,
  PoolStatus,
} from './control/status.ts';

/** What `ProxyControl` needs from above. */
export interface ProxyControlContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly publish: (snapshot: ProxySnapshot) => void;
  readonly emit: (event: MemberEvent | MemberWarning | MemberRemoved) => void;
  /** A pool has no member left that takes sessions, or has one again. */
  readonly poolChanged?: (event: PoolEvent) => void;
  /** Use of the slots in the shared counters; without `busy` members to remove go at once, sessions or not. */
  readonly memberSlots?: SlotUse;
  readonly listenerSlots?: SlotUse;
  readonly poolSlots?: SlotUse;
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
  readonly #roster: Roster;
  readonly #listenerSlots: SlotAllocator;
  readonly #listeners = new Map<string, number>();
  #listenerSnapshots: readonly ListenerSnapshot[] = [];
  readonly #memory: Memory;
  readonly #watch: PoolWatch | undefined;
  #config: ProxyConfig | undefined;
  #version = 0;
  #depth = 0;
  #dirty = false;

  constructor(context: ProxyControlContext) {
    this.#context = context;
    this.#listenerSlots = new SlotAllocator('listener', context.listenerSlots ?? { capacity: listenerSlots });
    this.#memory = new Memory(context.keep, context, () => this.#roster.saved());
    const { poolChanged } = context;
    this.#watch = poolChanged && new PoolWatch(context, poolChanged);
    const changed = () =>
      this.#batch(() => {
        this.#dirty = true;
      });
    const { clock, random, log, emit, probe = networkProbe } = context;
    this.#roster = new Roster({
      members: { clock, random, log, probe, emit, changed },
      slots: context.memberSlots ?? { capacity: memberSlots },
      poolSlots: context.poolSlots ?? { capacity: poolSlots },
      changed,
      batch: (run) => this.#batch(run),
      removed: emit,
      lasts: () => this.#memory.lasts,
    });
  }

  /**
   * Publishes the first snapshot and starts the checks.
   * @throws {ProxyError} code V6_PROXY_SLOTS
   */
  start(config: ProxyConfig): void {
    assert(this.#config === undefined, 'the proxy control is started once');
    this.#roster.restore(this.#memory.read());
    this.#batch(() => {
      this.apply(config);
      this.#roster.restoreAdded();
    });
  }

  /**
   * Takes over a configuration: pools, members and listeners that stay keep slot, state and check results. A member
   * whose address or port changed is another one.
   * @throws {ProxyError} code V6_PROXY_SLOTS; nothing has changed then
   */
  apply(config: ProxyConfig): ProxyChange {
    const change = { added: [], removed: [], overridden: [] };
    this.#roster.requireRoom(config.pools);
    this.#listenerSlots.require(config.listeners.filter(({ name }) => !this.#listeners.has(name)).length);
    this.#batch(() => {
      this.#config = config;
      this.#roster.apply(config.pools, change);
      this.#applyListeners(config, change);
      this.#dirty = true;
    });
    return change;
  }

  /** Pools and members as they are now. */
  pools(): PoolStatus[] {
    return [...this.#roster.pools].map((pool) => poolStatus(pool, this.#roster.removed(pool)));
  }

  /**
   * The operator's word: takes a member out (maint), lets its sessions end (drain), brings it back (ready), or weighs it.
   * @throws {ProxyError}
   */
  setMember(pool: string, member: string, order: { state?: AdminState; weight?: number }): MemberStatus {
    const found = this.#roster.member(this.#roster.pool(pool), member);
    if (order.weight !== undefined) checkWeight(order.weight);
    if (order.state !== undefined && !['ready', 'drain', 'maint'].includes(order.state)) {
      throw new ProxyError('V6_MEMBER_INVALID', `state "${order.state}" is not one of ready, drain, maint`);
    }
    if (found.leaving && order.state === 'ready') {
      throw new ProxyError('V6_MEMBER_LEAVING', `member ${member} is being removed: add it to have it back`);
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
    this.#roster.pool(pool);
    checkMember(config);
    const added = this.#batch(() => this.#roster.addByApi(pool, config));
    this.#memory.write();
    return added.status();
  }

  /**
   * Removes a member, by default after its sessions have ended; `force` doesn't wait.
   * @throws {ProxyError}
   */
  removeMember(pool: string, member: string, { force = false }: { force?: boolean } = {}): void {
    const from = this.#roster.pool(pool);
    const found = this.#roster.member(from, member);
    this.#batch(() => {
      if (force) this.#roster.drop(from, found);
      else this.#roster.leave(from, found);
    });
    this.#roster.takenByApi(from, found);
    this.#memory.write();
  }

  /**
   * The members of a pool that discovery found, also those of an earlier process, but for any that are on their way out.
   * @throws {ProxyError} code V6_POOL_UNKNOWN
   */
  discovered(pool: string): MemberConfig[] {
    const members = [...this.#roster.pool(pool).members.values()];
    return members.filter(({ origin, leaving }) => origin === 'discovered' && !leaving).map(({ config }) => config);
  }

  /**
   * Replaces the members that discovery found for a pool; those no longer found end as `removeMember` ends them.
   * @throws {ProxyError}
   */
  setDiscovered(pool: string, configs: readonly MemberConfig[]): void {
    this.#roster.pool(pool);
    for (const config of configs) checkMember(config);
    this.#batch(() => this.#roster.setDiscovered(pool, configs));
  }

  /** A data thread could not connect to a member: its next check runs at once. */
  reportConnectFailure(pool: string, member: string, code: string): void {
    this.#roster.find(pool, member)?.connectFailed(code);
  }

  /** A data thread could not begin to connect to a member, for want of a local port or the like: people are told. */
  reportConnectShortage(pool: string, member: string, code: string): void {
    this.#roster.find(pool, member)?.connectShort(code);
  }

  /** A session ended as one does whose member cannot read the PROXY header: the member is asked. */
  reportHeaderSuspicion(pool: string, member: string): void {
    this.#roster.find(pool, member)?.headerSuspected();
  }

  /** Ends all checks; nothing is published any more. */
  stop(): void {
    if (this.#config !== undefined) this.#memory.write();
    this.#roster.stop();
  }

  #applyListeners(config: ProxyConfig, { added, removed }: { added: string[]; removed: string[] }): void {
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
    this.#listenerSnapshots = config.listeners.map((each) => listenerSnapshot(each, this.#listeners.get(each.name)!));
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
        this.#watch?.look(this.#roster.pools);
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
      listeners: this.#listenerSnapshots,
      pools: [...this.#roster.pools].map(poolSnapshot),
    };
  }
}
