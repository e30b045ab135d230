/**
 * Records that vanish unless they are refreshed (RFC 9664): which, and when. A lease belongs to one record; who put the
 * record last decides whether it has one.
 *
 * The table is changed when an update is submitted, so that a lease never runs out under a refresh that waits for the
 * disk. What the store has to keep is returned, and goes into the same transaction as the update; when that fails, the
 * table is loaded anew.
 *
 * The store has times of the wall clock, the table monotonic ones beside them: a clock that is set while the daemon runs
 * ends no lease. While it did not run nobody could refresh: `load` lets leases last longer by that time.
 */
import type { Clock, Timer } from '../core/clock.ts';
import { ExpiryHeap } from './expiry-heap.ts';
import type { LeasedRecord } from './lease-grant.ts';
import type { RRsetChange, ZoneView } from './overlay.ts';
import { bytesKey } from './wire/bytes.ts';
import { type Name, type NameKey, nameKey } from './wire/name.ts';
import { rdataKey } from './wire/rdata.ts';

/** RRsets dealt with in one go: a start after a long time finds many, and queries are not to wait for them. */
const MAX_BATCH = 200;
/** After a commit that failed. */
const RETRY_MS = 10_000;

/** One record's lease. */
export interface Lease {
  readonly rdata: Uint8Array;
  /** As granted. */
  readonly seconds: number;
  /** Wall-clock milliseconds. */
  readonly expiresAt: number;
}

/** The leases in one RRset; none = the store forgets them. */
export interface LeaseSet {
  readonly owner: Name;
  readonly type: number;
  readonly leases: readonly Lease[];
}

/** Records whose time is over. */
export interface ExpiredSet {
  readonly owner: Name;
  readonly type: number;
  readonly rdata: readonly Uint8Array[];
}

interface TimedLease extends Lease {
  /** Monotonic milliseconds. */
  readonly due: number;
}

/** An RRset that a transaction changes or repeats. */
interface Touched {
  readonly owner: Name;
  readonly type: number;
  readonly rdata: readonly Uint8Array[];
  readonly added: LeasedRecord[];
}

interface Entry {
  readonly zone: NameKey;
  readonly key: string;
  readonly owner: Name;
  readonly type: number;
  leases: readonly TimedLease[];
  /** When the heap will name it, or Infinity. */
  queuedAt: number;
}

export interface LeaseTableOptions {
  readonly clock: Clock;
  /** Deletes the records and forgets their leases by way of `follow`; rejects if that cannot be stored. */
  readonly expire: (zone: NameKey, sets: readonly ExpiredSet[]) => Promise<void>;
}

/** The leases of all zones; one table for the process. */
export class LeaseTable {
  readonly #clock: Clock;
  readonly #expire: LeaseTableOptions['expire'];
  readonly #zones = new Map<NameKey, Map<string, Entry>>();
  readonly #heap = new ExpiryHeap<Entry>();
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #expiring = false;
  #stopped = false;

  constructor({ clock, expire }: LeaseTableOptions) {
    this.#clock = clock;
    this.#expire = expire;
  }

  /** How many RRsets have leases. */
  get size(): number {
    let size = 0;
    for (const sets of this.#zones.values()) size += sets.size;
    return size;
  }

  /** How many times the table has before it: no more than twice the leases, and a few. */
  get queued(): number {
    return this.#heap.size;
  }

  /**
   * Takes over what the store has of a zone.
   * @param aliveAt when the daemon was last known to run, wall-clock milliseconds
   * @returns what the store is to have instead: leases that last longer by the time in which nobody could refresh them
   */
  load(zone: NameKey, sets: readonly LeaseSet[], aliveAt: number): readonly LeaseSet[] {
    this.drop(zone);
    if (sets.length === 0) return [];
    const entries = new Map<string, Entry>();
    this.#zones.set(zone, entries);
    const [now, wall] = [this.#clock.now(), this.#clock.wall()];
    let alive = aliveAt;
    for (const { leases } of sets) {
      for (const { expiresAt, seconds } of leases) alive = Math.max(alive, expiresAt - seconds * 1000);
    }
    const away = Math.max(0, wall - alive);
    for (const { owner, type, leases } of sets) {
      const key = setKey(nameKey(owner), type);
      const entry: Entry = { zone, key, owner, type, leases: [], queuedAt: Number.POSITIVE_INFINITY };
      entry.leases = leases.map((lease) => {
        const expiresAt = lease.expiresAt + away;
        return { ...lease, expiresAt, due: now + expiresAt - wall };
      });
      entries.set(key, entry);
      this.#queue(entry);
    }
    this.#arm();
    return away < 1000 ? [] : [...entries.values()];
  }

  /** Forgets a zone; the store does not. */
  drop(zone: NameKey): void {
    for (const entry of this.#zones.get(zone)?.values() ?? []) entry.leases = [];
    this.#zones.delete(zone);
  }

  /** No more records vanish. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    for (const zone of [...this.#zones.keys()]) this.drop(zone);
  }

  /** The leases of an RRset. */
  leases(zone: NameKey, owner: NameKey, type: number): readonly Lease[] {
    return this.#zones.get(zone)?.get(setKey(owner, type))?.leases ?? [];
  }

  /**
   * Takes in what a transaction does to leases: those of records that go end, those of `added` begin anew.
   * @param view the zone before it
   * @returns what the store has to keep in the same transaction
   */
  follow(
    zone: NameKey,
    view: ZoneView,
    changes: readonly RRsetChange[],
    added: readonly LeasedRecord[] = [],
  ): readonly LeaseSet[] {
    let entries = this.#zones.get(zone);
    if (entries === undefined && added.every(({ seconds }) => seconds === 0)) return [];
    if (entries === undefined) {
      entries = new Map();
      this.#zones.set(zone, entries);
    }
    const touched = new Map<string, Touched>();
    for (const { owner, type, rrset } of changes) {
      touched.set(setKey(nameKey(owner), type), { owner, type, rdata: rrset?.rdata ?? [], added: [] });
    }
    for (const one of added) {
      const { name, type } = one.record;
      const key = setKey(nameKey(name), type);
      const known = touched.get(key);
      if (known !== undefined) known.added.push(one);
      // It is there already, or was passed over.
      else
        touched.set(key, {
          owner: name,
          type,
          rdata: view.rrset(nameKey(name), type)?.rrset.rdata ?? [],
          added: [one],
        });
    }
    const sets: LeaseSet[] = [];
    for (const [key, { owner, type, rdata, added }] of touched) {
      const before = entries.get(key)?.leases ?? [];
      const leases = this.#leasesOf(rdata, type, before, added);
      if (before.length === 0 && leases.length === 0) continue;
      this.#set(entries, { zone, key, owner, type }, leases);
      sets.push({ owner, type, leases });
    }
    this.#arm();
    return sets;
  }

  #leasesOf(
    rdata: readonly Uint8Array[],
    type: number,
    before: readonly TimedLease[],
    added: readonly LeasedRecord[],
  ): TimedLease[] {
    const leases: TimedLease[] = [];
    // Of several the last counts.
    const refreshed = new Map(added.map((each) => [rdataKey(type, each.record.rdata), each]));
    const known = new Map(before.map((lease) => [bytesKey(lease.rdata), lease]));
    for (const one of rdata) {
      const anew = refreshed.get(rdataKey(type, one));
      if (anew === undefined) {
        const old = known.get(bytesKey(one));
        if (old !== undefined) leases.push(old);
      } else if (anew.seconds > 0) {
        const ms = anew.seconds * 1000;
        const [due, expiresAt] = [this.#clock.now() + ms, this.#clock.wall() + ms];
        leases.push({ rdata: one, seconds: anew.seconds, expiresAt, due });
      }
    }
    return leases;
  }

  #set(
    entries: Map<string, Entry>,
    where: Pick<Entry, 'zone' | 'key' | 'owner' | 'type'>,
    leases: readonly TimedLease[],
  ): void {
    let entry = entries.get(where.key);
    if (leases.length === 0) {
      entries.delete(where.key);
      if (entry !== undefined) entry.leases = [];
      return;
    }
    if (entry === undefined) {
      entry = { ...where, leases, queuedAt: Number.POSITIVE_INFINITY };
      entries.set(where.key, entry);
    }
    entry.leases = leases;
    this.#queue(entry);
  }

  /** A refresh puts an entry off: it stays where it is in the heap, and goes back in when its old time comes. */
  #queue(entry: Entry): void {
    const next = Math.min(...entry.leases.map(({ due }) => due));
    if (next >= entry.queuedAt) return;
    entry.queuedAt = next;
    this.#heap.push(next, entry);
    // Entries whose records were deleted before their time.
    if (this.#heap.size > 1000 + 2 * this.size) {
      this.#heap.rebuild((at, { leases, queuedAt }) => leases.length > 0 && at === queuedAt);
    }
  }

  #arm(notBefore = 0): void {
    if (this.#expiring || this.#stopped) return;
    const at = Math.max(this.#heap.next, notBefore);
    if (at >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.after(Math.max(0, at - this.#clock.now()), () => void this.#run());
  }

  async #run(): Promise<void> {
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#expiring = true;
    let notBefore = 0;
    try {
      for (const [zone, entries] of this.#takeDue()) await this.#expireEntries(zone, entries);
    } catch {
      notBefore = this.#clock.now() + RETRY_MS;
    }
    this.#expiring = false;
    this.#arm(notBefore);
  }

  #takeDue(): Map<NameKey, Entry[]> {
    const now = this.#clock.now();
    const zones = new Map<NameKey, Entry[]>();
    for (let taken = 0; taken < MAX_BATCH && this.#heap.next <= now; taken++) {
      const at = this.#heap.next;
      const entry = this.#heap.pop()!;
      if (entry.queuedAt !== at) continue;
      entry.queuedAt = Number.POSITIVE_INFINITY;
      if (entry.leases.length === 0) continue;
      if (entry.leases.some(({ due }) => due <= now)) {
        const list = zones.get(entry.zone);
        if (list === undefined) zones.set(entry.zone, [entry]);
        else list.push(entry);
      } else {
        this.#queue(entry);
      }
    }
    return zones;
  }

  async #expireEntries(zone: NameKey, entries: readonly Entry[]): Promise<void> {
    const now = this.#clock.now();
    const sets = entries.map(({ owner, type, leases }) => ({
      owner,
      type,
      rdata: leases.filter(({ due }) => due <= now).map(({ rdata }) => rdata),
    }));
    try {
      await this.#expire(zone, sets);
    } finally {
      for (const entry of entries) this.#settle(entry, now);
    }
  }

  /** What is still there of an entry whose time was over: a record that may not go (the zone's last NS) loses its lease. */
  #settle(entry: Entry, now: number): void {
    const entries = this.#zones.get(entry.zone);
    // Replaced by a fresh table meanwhile.
    if (entries?.get(entry.key) !== entry) return;
    this.#set(
      entries,
      entry,
      entry.leases.filter(({ due }) => due > now),
    );
  }
}

function setKey(owner: NameKey, type: number): string {
  return `${owner}${type}`;
}
