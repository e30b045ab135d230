/**
 * Brings transactions to disk in groups: while one group is being written, the next is collected, so parallel updates
 * share an fsync and a lone one waits for nobody.
 *
 * Between them stand two overlays a zone. Updates see zone + group being written + group being collected; queries see the
 * zone alone, which takes a group in when it is on disk. If a write fails, both groups are dropped and their updates
 * answered with SERVFAIL: the second was worked out on top of the first.
 */
import type { Clock } from '../core/clock.ts';
import type { LeaseSet } from './leases.ts';
import { Overlay, type RRsetChange, type ZoneView } from './overlay.ts';
import type { ZoneDelta } from './snapshot.ts';
import type { ZoneCommit, ZoneStore } from './store.ts';
import type { NameKey } from './wire/name.ts';
import type { Zone } from './zone.ts';

/** A reply waits no longer than this for data threads to have taken the change in. */
const PUBLISH_WAIT_MS = 250;

/** Data threads that are asked something wait for what is announced: the control thread does not announce more than takes it a moment. */
const MAX_ANNOUNCED_CHANGES = 100;

/** Changes of one zone in one transaction. */
export interface ZoneTransaction {
  readonly zone: Zone;
  readonly changes: readonly RRsetChange[];
  readonly seed?: string;
  /** What is to be kept of leases; may stand without changes. */
  readonly leases?: readonly LeaseSet[];
  /** As in `ZoneCommit`. */
  readonly refreshed?: number;
}

interface Pending {
  readonly zone: Zone;
  readonly overlay: Overlay;
  seed: string | undefined;
  /** The newest of each RRset counts. */
  readonly leases: LeaseSet[];
  refreshed: number | undefined;
}

/**
 * What a transaction waits for beyond the disk. `told`: every data thread was told; a message that is sent to one of them
 * later reaches it later. `taken`: they have taken it in, or a short while has passed.
 */
export type Until = 'told' | 'taken';

interface Waiter {
  readonly until: Until;
  readonly durable: (() => void) | undefined;
  resolve(): void;
  reject(error: unknown): void;
}

class Group {
  readonly zones = new Map<NameKey, Pending>();
  readonly waiters: Waiter[] = [];
}

export interface CommitQueueOptions {
  readonly store: Pick<ZoneStore, 'commit'>;
  readonly clock: Clock;
  /** Hands a delta to the data threads. */
  readonly publish: (delta: ZoneDelta) => void;
  /** Resolves when they have taken in all that was published. */
  readonly taken: () => Promise<unknown>;
  /** Told of so many deltas that are going to be published in this turn, before anybody else is told. */
  readonly announce: (deltas: number) => void;
  /** Told of every group: an error, or nothing. */
  readonly onCommit: (error: unknown) => void;
}

/** The queue; there is one for all zones, so that a transaction may span several. */
export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #writing: Group | undefined;
  #collecting = new Group();
  #running: Promise<void> | undefined;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  /** The zone with every transaction that was submitted: what the next one is worked out on. */
  view(zone: Zone): ZoneView {
    const pending = this.#collecting.zones.get(zone.key) ?? this.#writing?.zones.get(zone.key);
    return pending?.overlay ?? zone;
  }

  /**
   * Submits one transaction; resolves when it is on disk and the data threads were told, or have it.
   * @param durable called as soon as it is on disk and announced, unless it is large; whoever is told then and asks next finds it
   * @throws {StoreError}
   */
  submit(
    transactions: readonly ZoneTransaction[],
    until: Until = 'taken',
    durable: (() => void) | undefined = undefined,
  ): Promise<void> {
    for (const { zone, changes, seed, leases, refreshed } of transactions) {
      let pending = this.#collecting.zones.get(zone.key);
      if (pending === undefined) {
        pending = { zone, overlay: new Overlay(this.view(zone)), seed: undefined, leases: [], refreshed: undefined };
        this.#collecting.zones.set(zone.key, pending);
      }
      pending.overlay.apply(changes);
      pending.seed = seed ?? pending.seed;
      if (leases !== undefined) pending.leases.push(...leases);
      pending.refreshed = refreshed ?? pending.refreshed;
    }
    this.#running ??= this.#run();
    return wait(this.#collecting, until, durable);
  }

  /**
   * Resolves when all that was submitted is on disk and the data threads were told, or have it; undefined when that is so
   * already. An update that changes nothing may rest on one that is not yet durable: its reply waits for that.
   */
  settled(until: Until = 'taken'): Promise<void> | undefined {
    if (this.#collecting.waiters.length > 0) return wait(this.#collecting, until);
    return this.#writing === undefined ? undefined : wait(this.#writing, until);
  }

  /** Resolves when nothing is left to write. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    // What arrives in this turn of the event loop goes into the first group.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#collecting.waiters.length > 0) {
      const group = this.#collecting;
      this.#writing = group;
      this.#collecting = new Group();
      try {
        await this.#write(group);
      } catch (error) {
        const waiters = [...group.waiters, ...this.#collecting.waiters];
        this.#collecting = new Group();
        this.#writing = undefined;
        this.#options.onCommit(error);
        for (const waiter of waiters) waiter.reject(error);
      }
    }
    this.#running = undefined;
  }

  async #write(group: Group): Promise<void> {
    const commits: (ZoneCommit & { pending: Pending })[] = [];
    for (const pending of group.zones.values()) {
      const changes = pending.overlay.changes();
      const { seed, leases, refreshed } = pending;
      if (changes.length + leases.length === 0 && seed === undefined && refreshed === undefined) continue;
      commits.push({
        zone: pending.zone.key,
        changes,
        leases,
        pending,
        ...(seed === undefined ? {} : { seed }),
        ...(refreshed === undefined ? {} : { refreshed }),
      });
    }
    await this.#options.store.commit(commits);
    const { publish, announce } = this.#options;
    const early = commits.reduce((sum, { changes }) => sum + changes.length, 0) <= MAX_ANNOUNCED_CHANGES;
    // From here on, nothing else of this thread runs before all is published.
    if (early) announce(commits.filter(({ changes }) => changes.length > 0).length);
    try {
      if (early) for (const { durable } of group.waiters) durable?.();
      for (const { pending, changes } of commits) {
        const { zone } = pending;
        zone.apply(changes);
        this.#collecting.zones.get(zone.key)?.overlay.rebase(zone);
        const plain = changes.map(({ owner, type, rrset }) => ({ owner, type, rrset }));
        if (plain.length > 0) publish({ name: zone.name, changes: plain });
      }
    } finally {
      if (early) announce(0);
    }
    this.#writing = undefined;
    this.#options.onCommit(undefined);
    for (const waiter of group.waiters) if (waiter.until === 'told') waiter.resolve();
    // The next group is written while data threads take this one in.
    const patient = group.waiters.filter(({ until }) => until === 'taken');
    if (patient.length > 0) void this.#release(patient);
  }

  async #release(waiters: readonly Waiter[]): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(PUBLISH_WAIT_MS, resolve);
    await Promise.race([Promise.allSettled([this.#options.taken()]), late]);
    timer.cancel();
    for (const waiter of waiters) waiter.resolve();
  }
}

function wait(group: Group, until: Until, durable?: () => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  group.waiters.push({ until, durable, resolve, reject });
  return promise;
}
