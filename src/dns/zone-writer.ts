/**
 * The one way by which zones change: updates, the admin API and leases that run out all come through here. A change and
 * the PTR records and leases that follow from it are one transaction; when it is on disk and the data threads were told, or
 * have it (`Until`), it is logged, told as an event, and secondaries are notified.
 */
import type { Clock } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import type { Logger } from '../core/logger.ts';
import { CommitQueue, type CommitQueueOptions, type Until, type ZoneTransaction } from './commit-queue.ts';
import { STORE_COMMITS, STORE_FAILURES } from './control-counters.ts';
import { firstFew } from './first-few.ts';
import type { LeasedRecord } from './lease-grant.ts';
import { type ExpiredSet, type Lease, LeaseTable } from './leases.ts';
import { Overlay, type RRsetChange, type ZoneView } from './overlay.ts';
import { applyPtrChanges, existingPtrs, isReverseZone, type PtrChange, ptrChanges, ptrsByZone } from './reverse.ts';
import type { Served } from './served-zone.ts';
import { soaSerial } from './soa.ts';
import type { ZoneStore } from './store.ts';
import { finishChanges } from './update.ts';
import { applyRecords } from './update-apply.ts';
import { type NameKey, nameToText } from './wire/name.ts';
import { CLASS, TYPE, typeToText } from './wire/types.ts';
import type { Zone, ZoneTable } from './zone.ts';
import type { ZoneUpdated } from './zone-events.ts';

/** Who changes a zone. */
export interface Author {
  /** As in `ZoneUpdated`. */
  readonly by: string;
  readonly client: string | undefined;
}

export interface ZoneWriterContext {
  readonly clock: Clock;
  readonly log: Logger;
  /** Window for `controlCounters`. */
  readonly counters?: CounterStripe;
  readonly emit: (event: ZoneUpdated) => void;
  readonly publish: CommitQueueOptions['publish'];
  readonly taken?: CommitQueueOptions['taken'];
  readonly announce?: CommitQueueOptions['announce'];
  /** Told of each zone that changed, for its secondaries. */
  readonly changed: (zone: Zone) => void;
  /** Resolves when no configuration is being taken over; undefined when none is. */
  readonly gate: () => Promise<void> | undefined;
}

/** The zones that can be written. */
export interface WritableZones {
  readonly served: ReadonlyMap<NameKey, Served>;
  readonly zones: ZoneTable;
}

export class ZoneWriter {
  readonly #context: ZoneWriterContext;
  readonly #log: Logger;
  readonly #store: ZoneStore;
  readonly #queue: CommitQueue;
  readonly #leases: LeaseTable;
  #writable: WritableZones | undefined;

  constructor(context: ZoneWriterContext, store: ZoneStore) {
    this.#context = context;
    this.#log = context.log;
    this.#store = store;
    this.#queue = new CommitQueue({
      store,
      clock: context.clock,
      publish: context.publish,
      taken: context.taken ?? (() => Promise.resolve()),
      announce: context.announce ?? (() => undefined),
      onCommit: (error) => this.#committed(error),
    });
    this.#leases = new LeaseTable({ clock: context.clock, expire: (zone, sets) => this.#expire(zone, sets) });
  }

  /**
   * Takes over the zones of a configuration; nothing is being written meanwhile.
   * @param before what was served until now
   * @param fresh zones that were read from the store anew
   */
  async apply(writable: WritableZones, before: ReadonlyMap<NameKey, Served>, fresh: readonly Zone[]): Promise<void> {
    this.#writable = writable;
    const own = (key: NameKey) => writable.served.has(key) && writable.served.get(key)!.secondary === undefined;
    for (const key of before.keys()) if (!own(key)) this.#leases.drop(key);
    const alive = this.#store.stoppedAt;
    const longer = fresh
      .filter(({ key }) => own(key))
      .map(({ key }) => {
        const aliveAt = before.has(key) ? this.#context.clock.wall() : alive;
        return { zone: key, changes: [], leases: this.#leases.load(key, this.#store.leases(key), aliveAt) };
      });
    const commits = longer.filter(({ leases }) => leases.length > 0);
    if (commits.length > 0) await this.#store.commit(commits);
    await this.#seedReverse(before, fresh);
  }

  /** The zone with every transaction that was submitted: what the next one is worked out on. */
  view(zone: Zone): ZoneView {
    return this.#queue.view(zone);
  }

  /** Resolves when nothing is left to write. */
  idle(): Promise<void> {
    return this.#queue.idle();
  }

  /** Brings what came from a primary to disk and into the zone. @throws {StoreError} */
  takeOver(transaction: ZoneTransaction): Promise<void> {
    return this.#queue.submit([transaction]);
  }

  /** Resolves when what was submitted so far is durable; undefined when it is. */
  settled(until?: Until): Promise<void> | undefined {
    return this.#queue.settled(until);
  }

  /** When records of an RRset will vanish unless they are refreshed. */
  leases(zone: NameKey, owner: NameKey, type: number): readonly Lease[] {
    return this.#leases.leases(zone, owner, type);
  }

  /** Waits for what is being written; remembers when leases stopped to run. */
  async stop(): Promise<void> {
    await this.#queue.idle();
    if (this.#leases.size > 0) await this.#store.setStoppedAt(this.#context.clock.wall());
    this.#leases.stop();
    await this.#queue.idle();
  }

  /**
   * Submits changes of a zone with what follows from them, and tells of them when they are durable.
   * @param added records that are put in place, and for how long
   * @param until as in `CommitQueue`, and `durable`; which is not called where nothing changes
   * @throws {StoreError} and nothing has changed
   */
  async commit(
    { zone, config }: Pick<Served, 'zone' | 'config'>,
    changes: readonly RRsetChange[],
    added: readonly LeasedRecord[],
    author: Author,
    until?: Until,
    durable?: () => void,
  ): Promise<void> {
    const transactions = [this.#withLeases({ zone, changes }, added)];
    if (config.reverse) transactions.push(...this.#reverse(ptrChanges(changes)));
    if (transactions.every((one) => one.changes.length === 0 && one.leases === undefined)) {
      // What makes it no change may not be on disk yet.
      await this.#queue.settled(until);
      return;
    }
    await this.#queue.submit(transactions, until, durable);
    for (const one of transactions) if (one.changes.length > 0) this.#tell(one, author);
  }

  #withLeases(transaction: ZoneTransaction, added: readonly LeasedRecord[]): ZoneTransaction {
    const { zone, changes } = transaction;
    const leases = this.#leases.follow(zone.key, this.#queue.view(zone), changes, added);
    return leases.length === 0 ? transaction : { ...transaction, leases };
  }

  #tell({ zone, changes }: ZoneTransaction, { by, client }: Author): void {
    const served = this.#writable?.served.get(zone.key);
    if (served !== undefined) served.lastUpdate = this.#context.clock.wall();
    const soa = changes.find(({ type }) => type === TYPE.SOA);
    const rrsets = changes.filter(({ type }) => type !== TYPE.SOA);
    const { first, more } = firstFew(rrsets, ({ owner, type }) => `${nameToText(owner)} ${typeToText(type)}`);
    const event: ZoneUpdated = {
      type: 'zone-updated',
      zone: nameToText(zone.name),
      serial: soa?.rrset === undefined ? zone.serial : soaSerial(soa.rrset.rdata[0]!),
      by,
      client,
      changed: first,
      more,
    };
    const { type: _, ...fields } = event;
    this.#log.info(fields, by === 'lease' ? 'records were not refreshed and are gone' : 'zone updated');
    this.#context.emit(event);
    this.#context.changed(zone);
  }

  /** The transactions that bring PTR changes into the reverse zones we have. */
  #reverse(changes: readonly PtrChange[]): ZoneTransaction[] {
    const transactions: ZoneTransaction[] = [];
    for (const [zone, ptrs] of ptrsByZone(changes, this.#writable!.zones)) {
      if (this.#writable!.served.get(zone.key)?.secondary !== undefined) continue;
      const view = this.#queue.view(zone);
      const overlay = new Overlay(view);
      applyPtrChanges(ptrs, overlay);
      const changes = finishChanges(zone.key, view, overlay);
      if (changes.length > 0) transactions.push(this.#withLeases({ zone, changes }, []));
    }
    return transactions;
  }

  /** PTR records of addresses that were there before `reverse` was set, or before the reverse zone. */
  async #seedReverse(before: ReadonlyMap<NameKey, Served>, fresh: readonly Zone[]): Promise<void> {
    const newReverse = fresh.some(({ key }) => isReverseZone(key));
    for (const { config, zone } of this.#writable!.served.values()) {
      const known = before.get(zone.key)?.config.reverse === true && !fresh.includes(zone) && !newReverse;
      if (!config.reverse || known) continue;
      const transactions = this.#reverse(existingPtrs(zone.all()));
      if (transactions.length === 0) continue;
      try {
        await this.#queue.submit(transactions);
      } catch (error) {
        // The zones are as they were; the next start tries again.
        this.#log.error({ zone: config.name, err: error }, 'PTR records of existing addresses could not be stored');
      }
    }
  }

  /** Records that were not refreshed go, as by an update. */
  async #expire(key: NameKey, sets: readonly ExpiredSet[]): Promise<void> {
    for (let gate = this.#context.gate(); gate !== undefined; gate = this.#context.gate()) await gate;
    const served = this.#writable?.served.get(key);
    if (served === undefined || served.secondary !== undefined) return;
    const view = this.#queue.view(served.zone);
    const overlay = new Overlay(view);
    const records = sets.flatMap(({ owner, type, rdata }) =>
      rdata.map((one) => ({ name: owner, class: CLASS.NONE, type, ttl: 0, rdata: one })),
    );
    applyRecords(records, key, overlay);
    await this.commit(served, finishChanges(key, view, overlay), [], { by: 'lease', client: undefined });
  }

  #committed(error: unknown): void {
    this.#context.counters?.add(error === undefined ? STORE_COMMITS : STORE_FAILURES);
    if (error === undefined) return;
    this.#log.error({ err: error }, 'updates could not be stored');
    // The table has what was to be written.
    const now = this.#context.clock.wall();
    for (const [key, { secondary }] of this.#writable?.served ?? []) {
      if (secondary === undefined) this.#leases.load(key, this.#store.leases(key), now);
    }
  }
}
