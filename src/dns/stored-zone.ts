/** What goes into the zone store and comes out of it. */
import type { Logger } from '../core/logger.ts';
import type { LeaseSet } from './leases.ts';
import type { RRsetChange } from './overlay.ts';
import type { PackedData } from './packed-nodes.ts';
import type { OwnedRRset } from './snapshot.ts';
import type { WalFiles } from './wal-files.ts';
import type { NameKey } from './wire/name.ts';

/** What a zone was when it was stored. */
export interface StoredZone {
  /** All of them; none where the zone is large and so `packed`. */
  readonly rrsets: readonly OwnedRRset[];
  readonly packed?: PackedData;
  readonly serial: number;
  /** The text that the last commit with `seed` gave. */
  readonly seed: string;
  /** Of a secondary zone: wall-clock milliseconds when a primary last confirmed it. */
  readonly refreshed?: number | undefined;
}

/** The changes of one zone in one commit; its new SOA among them. */
export interface ZoneCommit {
  readonly zone: NameKey;
  readonly changes: readonly RRsetChange[];
  /** Of a zone that is not stored yet, in the place of `changes`: all it has. Read once. */
  readonly records?: Iterable<OwnedRRset>;
  /** Set where configuration, not an update, is what changed the zone: kept with it. */
  readonly seed?: string;
  /** What is to be kept of leases from now on. */
  readonly leases?: readonly LeaseSet[];
  /** Wall-clock milliseconds when a primary confirmed that the zone is so: kept with it. */
  readonly refreshed?: number;
}

/** How much of a zone's journal is kept. */
export interface JournalLimit {
  readonly entries: number;
  readonly bytes: number;
}

export interface StoreOptions {
  readonly journal?: JournalLimit;
  readonly log?: Logger;
  /** Tests have others. */
  readonly files?: WalFiles;
}
