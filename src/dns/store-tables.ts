/**
 * The zones in LMDB: what a commit is once it is no longer in the log alone.
 *
 * - `records`: one entry an RRset; key = zone name + owner name (lower-cased wire form, which ends itself) + type.
 * - `journal`: one entry a commit, key = zone name + 48-bit sequence number; what each RRset was before and after, so
 *   that a secondary can be told the differences (RFC 1995). The newest of each zone are kept, up to a number and a size.
 * - `leases`: one entry an RRset in which records have leases: which, and until when. Keys as in `records`.
 * - `meta`: the format's version, and for each zone its serial, the number of its RRsets, and what it was seeded from.
 *
 * Every value begins with a CRC-32 of key and value: LMDB has no checksums, and a zone that comes back wrong is worse
 * than one that does not come back.
 *
 * Transactions are durable: `overlappingSync` is off, so LMDB writes its pages, calls fdatasync, writes the new root with
 * a synchronous write, and only then does the promise resolve.
 */
import { mkdirSync } from 'node:fs';
import type { Database, RootDatabase } from 'lmdb';
import { errorMessage } from '../core/errors.ts';
import type { LeaseSet } from './leases.ts';
import { MIN_PACKED } from './packed-nodes.ts';
import type { OwnedRRset } from './snapshot.ts';
import { soaSerial } from './soa.ts';
import {
  ByteReader,
  CHECKSUM_OCTETS,
  decodeJournal,
  decodeLeases,
  encodeJournal,
  encodeLeases,
  encodeRRset,
  type JournalEntry,
  seal,
  unseal,
} from './store-codec.ts';
import { cannotOpen, StoreError } from './store-files.ts';
import { commitFault, openTables } from './store-lmdb.ts';
import { StoredRecords } from './stored-records.ts';
import type { JournalLimit, StoredZone, ZoneCommit } from './stored-zone.ts';
import type { WalMark } from './wal.ts';
import { type Name, type NameKey, nameFromKey, nameKey, nameToText } from './wire/name.ts';
import { TYPE } from './wire/types.ts';

/** All there is is in the tables; a write-ahead log, if there are files of one, means nothing. */
const FORMAT = '1';
/** A write-ahead log is in use: a version that does not know of it must not take the tables for all there is. */
const FORMAT_LOGGED = '2';
const FORMAT_KEY = Buffer.from('format');
/** In `leases`: no zone's key begins so, a label is no longer than 63. */
const STOPPED_KEY = Buffer.from('stopped');
/** In `leases`, too: `WalMark` of the log in use. */
const LOG_KEY = Buffer.from('wal-mark');
/** Longer than any label: sorts after every key that begins with the zone's name. */
const AFTER_LABELS = Uint8Array.of(0xff);
const SEQUENCE_OCTETS = 6;
const DEFAULT_JOURNAL = { entries: 1000, bytes: 64 * 1024 ** 2 };

interface ZoneMeta {
  readonly serial: number;
  readonly rrsets: number;
  readonly seed: string;
  readonly refreshed?: number;
  /** Sequence numbers of the oldest journal entry and of the next one. */
  readonly journalFrom: number;
  readonly journalNext: number;
  /** Octets of the journal's values. */
  readonly journalBytes?: number | undefined;
}

type Table = Database<Buffer, Buffer>;

/** The tables of a store's directory. */
export class StoreTables {
  readonly #path: string;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #meta: Table;
  readonly #records: Table;
  readonly #journal: Table;
  readonly #leases: Table;
  readonly #journalLimit: JournalLimit;
  #closed = false;

  /**
   * @param path what errors call the store
   * @throws {StoreError} V6_STORE_VERSION; anything else is what LMDB says
   */
  constructor(path: string, root: RootDatabase<Buffer, Buffer>, journalLimit: JournalLimit = DEFAULT_JOURNAL) {
    const binary = { encoding: 'binary', keyEncoding: 'binary' } as const;
    this.#path = path;
    this.#root = root;
    this.#meta = root.openDB({ ...binary, name: 'meta' });
    // Before tables are made that a store of another version has not.
    this.#checkVersion();
    this.#records = root.openDB({ ...binary, name: 'records' });
    this.#journal = root.openDB({ ...binary, name: 'journal' });
    this.#leases = root.openDB({ ...binary, name: 'leases' });
    this.#journalLimit = journalLimit;
  }

  /** Those in a directory, after they were closed. @throws {StoreError} V6_STORE_OPEN, V6_STORE_VERSION */
  static reopen(path: string, journalLimit: JournalLimit | undefined): StoreTables {
    try {
      return new StoreTables(path, openTables(path), journalLimit);
    } catch (error) {
      throw error instanceof StoreError ? error : cannotOpen(path, error);
    }
  }

  /**
   * Writes the format's version into a store that is new.
   * @throws {StoreError} V6_STORE_DAMAGED
   */
  async checkFormat(): Promise<void> {
    // lmdb gives no table where there is none and none may be made.
    const meta: Database<Buffer, Buffer> | undefined = this.#meta;
    if (meta === undefined) throw this.#damaged('it has no zones');
    if (meta.get(FORMAT_KEY) !== undefined) return;
    // A crash before this first commit leaves an empty store behind.
    const empty = meta.getKeysCount() === 0 && this.#records.getKeysCount() === 0;
    if (!empty) throw this.#damaged('it has no format version');
    await meta.put(FORMAT_KEY, Buffer.from(FORMAT));
  }

  /** @throws {StoreError} V6_STORE_VERSION */
  #checkVersion(): void {
    // lmdb gives no table where there is none and none may be made.
    const meta: Database<Buffer, Buffer> | undefined = this.#meta;
    const format = meta?.get(FORMAT_KEY)?.toString('latin1');
    if (format === undefined || format === FORMAT || format === FORMAT_LOGGED) return;
    const text = `the zone store ${this.#path} has format ${JSON.stringify(format)}, this version reads ${FORMAT} and ${FORMAT_LOGGED}: install the version that wrote it, or restore a backup`;
    throw new StoreError('V6_STORE_VERSION', text);
  }

  /**
   * A zone as the last commit left it; undefined if it was never stored.
   * @throws {StoreError} V6_STORE_DAMAGED
   */
  load(zone: NameKey): StoredZone | undefined {
    const meta = this.#readMeta(zone);
    if (meta === undefined) return undefined;
    const loaded = new StoredRecords(zone, meta.rrsets >= MIN_PACKED);
    const prefix = nameFromKey(zone);
    for (const { key, value } of this.#records.getRange({ start: bytes(prefix), end: bytes(prefix, AFTER_LABELS) })) {
      const encoded = this.#unseal(zone, key, value);
      this.#guard(zone, () => loaded.add(key.toString('latin1', prefix.length, key.length - 2), encoded));
    }
    const { serial, count } = loaded;
    if (serial !== meta.serial) throw this.#damaged(`the serial is ${serial}, ${meta.serial} was written`, zone);
    if (count !== meta.rrsets) throw this.#damaged(`it has ${count} RRsets, ${meta.rrsets} were written`, zone);
    return { ...loaded.finish(), serial, seed: meta.seed, refreshed: meta.refreshed };
  }

  /** The leases in a zone. @throws {StoreError} V6_STORE_DAMAGED */
  leases(zone: NameKey): LeaseSet[] {
    const prefix = nameFromKey(zone);
    const range = this.#leases.getRange({ start: bytes(prefix), end: bytes(prefix, AFTER_LABELS) });
    return [...range].map(({ key, value }) =>
      this.#guard(zone, () => decodeLeases(new ByteReader(this.#unseal(zone, key, value)))),
    );
  }

  /** When the daemon was last stopped in order, wall-clock milliseconds; 0 = it never was. */
  get stoppedAt(): number {
    return Number(this.#leases.get(STOPPED_KEY)?.toString('latin1') ?? 0);
  }

  /** Writes down when the daemon stops: leases do not run out while nobody can refresh them. */
  async setStoppedAt(wall: number): Promise<void> {
    await this.#leases.put(STOPPED_KEY, Buffer.from(String(Math.floor(wall))));
  }

  /**
   * The log that is in use, and up to where the tables have it; undefined when no log is in use.
   * @throws {StoreError} V6_STORE_DAMAGED
   */
  get mark(): WalMark | undefined {
    if (this.#meta.get(FORMAT_KEY)?.toString('latin1') !== FORMAT_LOGGED) return undefined;
    const sealed = this.#leases.get(LOG_KEY);
    const value = sealed === undefined ? undefined : unseal(LOG_KEY, sealed);
    if (value === undefined) throw this.#damaged('which log belongs to it does not read');
    return JSON.parse(Buffer.from(value).toString()) as WalMark;
  }

  /** Says which log is in use, or that none is; durable when it resolves. */
  async setMark(mark: WalMark | undefined): Promise<void> {
    await this.#transaction(() => {
      if (mark === undefined) this.#leases.removeSync(LOG_KEY);
      else this.#putMark(mark);
      this.#meta.putSync(FORMAT_KEY, Buffer.from(mark === undefined ? FORMAT : FORMAT_LOGGED));
    });
  }

  async #transaction(run: () => void): Promise<void> {
    try {
      await this.#root.transaction(run);
    } catch (error) {
      const cause = await commitFault(error);
      throw new StoreError('V6_STORE_WRITE', `cannot write the zone store ${this.#path}: ${errorMessage(cause)}`, {
        cause,
      });
    }
  }

  #putMark(mark: WalMark): void {
    this.#put(this.#leases, LOG_KEY, Buffer.from(JSON.stringify(mark)));
  }

  /**
   * Writes commits, oldest first, as one transaction; resolves when they are on disk.
   * @param mark of the log they come from
   * @throws {StoreError} V6_STORE_WRITE: none of it is there
   */
  async write(commits: readonly ZoneCommit[], mark?: WalMark): Promise<void> {
    // Read before: lmdb does not take back what was written before something throws in a transaction.
    const before = new Map(commits.map(({ zone }) => [zone, this.#readMeta(zone)]));
    await this.#transaction(() => {
      const after = new Map<NameKey, ZoneMeta>();
      for (const commit of commits) {
        this.#writeLeases(commit);
        // A refresh changes no record.
        if (commit.changes.length === 0 && commit.seed === undefined) continue;
        after.set(commit.zone, this.#write(commit, after.get(commit.zone) ?? before.get(commit.zone)));
      }
      for (const [zone, meta] of after) {
        this.#put(this.#meta, Buffer.from(nameFromKey(zone)), Buffer.from(JSON.stringify(meta)));
      }
      if (mark !== undefined) this.#putMark(mark);
    });
  }

  /** Whether they are closed, or about to be. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The commits of a zone that are kept, the newest first; none while the tables are being opened anew. */
  journal(zone: NameKey): Iterable<JournalEntry> {
    if (this.#closed) return [];
    const meta = this.#readMeta(zone);
    return meta === undefined ? [] : this.#journalEntries(zone, meta);
  }

  /** The newest first. */
  *#journalEntries(zone: NameKey, { journalFrom, journalNext }: ZoneMeta): Generator<JournalEntry> {
    const prefix = nameFromKey(zone);
    // Entry 0 brought the zone into being: no serial leads up to it.
    for (let n = journalNext - 1; n >= Math.max(journalFrom, 1); n--) {
      const key = bytes(prefix, encodeSequence(n));
      const value = this.#journal.get(key);
      if (value === undefined) throw this.#damaged(`journal entry ${n} is missing`, zone);
      yield this.#guard(zone, () => decodeJournal(this.#unseal(zone, key, value)));
    }
  }

  /** The names of all zones that are stored, configured or not. */
  zones(): Name[] {
    return [...this.#meta.getKeys()].filter((key) => !key.equals(FORMAT_KEY)).map((key) => Uint8Array.from(key));
  }

  /**
   * Reads all that is kept of a zone.
   * @throws {StoreError} V6_STORE_DAMAGED
   */
  verify(zone: NameKey): { readonly rrsets: number; readonly serial: number; readonly journal: number } {
    const stored = this.load(zone);
    if (stored === undefined) throw this.#damaged('it is not there', zone);
    this.leases(zone);
    let journal = 0;
    for (const _ of this.#journalEntries(zone, this.#readMeta(zone)!)) journal++;
    return { rrsets: stored.packed?.sets ?? stored.rrsets.length, serial: stored.serial, journal };
  }

  /** Makes a directory with a copy of the tables as they are at this moment. */
  async copyTo(directory: string): Promise<void> {
    mkdirSync(directory, { mode: 0o700 });
    await this.#root.backup(directory, true);
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#root.close();
  }

  /** Writes records and journal; what is to be kept of the zone comes back. */
  #write(commit: ZoneCommit, before: ZoneMeta | undefined): ZoneMeta {
    const { changes, records = [] } = commit;
    const prefix = nameFromKey(commit.zone);
    let rrsets = before?.rrsets ?? 0;
    let serial = before?.serial ?? 0;
    const put = ({ owner, rrset }: OwnedRRset) => {
      if (rrset.type === TYPE.SOA) serial = soaSerial(rrset.rdata[0]!);
      this.#put(this.#records, rrsetKey(prefix, owner, rrset.type), encodeRRset(owner, rrset));
    };
    for (const { owner, type, rrset, before: old } of changes) {
      rrsets += Number(rrset !== undefined) - Number(old !== undefined);
      if (rrset === undefined) this.#records.removeSync(rrsetKey(prefix, owner, type));
      else put({ owner, rrset });
    }
    for (const set of records) {
      rrsets++;
      put(set);
    }
    const { journalFrom, journalNext, journalBytes } = before ?? { journalFrom: 0, journalNext: 0, journalBytes: 0 };
    const seed = commit.seed ?? before?.seed ?? '';
    const refreshed = commit.refreshed ?? before?.refreshed;
    const after: ZoneMeta = {
      ...{ serial, rrsets, seed, journalFrom, journalNext, journalBytes },
      ...(refreshed === undefined ? {} : { refreshed }),
    };
    // A commit that changes no records is no step from one serial to another.
    const trimmed = before === undefined || changes.length > 0 ? this.#writeJournal(commit, before, after) : {};
    return { ...after, ...trimmed };
  }

  #writeJournal(commit: ZoneCommit, before: ZoneMeta | undefined, after: ZoneMeta): Partial<ZoneMeta> {
    const prefix = nameFromKey(commit.zone);
    // What brings a zone into being no secondary ever asks for, and it would be the whole zone once more.
    const changes = before === undefined ? [] : commit.changes;
    const entry = encodeJournal(before?.serial ?? 0, after.serial, changes);
    this.#put(this.#journal, bytes(prefix, encodeSequence(after.journalNext)), entry);
    return this.#trimJournal(prefix, after, entry.length);
  }

  /** Drops the oldest entries of a journal that has grown by one; the newest always stays. */
  #trimJournal(prefix: Name, { journalFrom, journalNext, journalBytes = 0 }: ZoneMeta, added: number) {
    const next = journalNext + 1;
    let from = journalFrom;
    let octets = journalBytes + added;
    const { entries, bytes: most } = this.#journalLimit;
    for (; from < journalNext && (next - from > entries || octets > most); from++) {
      const key = bytes(prefix, encodeSequence(from));
      octets -= Math.max(0, (this.#journal.get(key)?.length ?? 0) - CHECKSUM_OCTETS);
      this.#journal.removeSync(key);
    }
    return { journalFrom: from, journalNext: next, journalBytes: Math.max(0, octets) };
  }

  #writeLeases({ zone, leases = [] }: ZoneCommit): void {
    const prefix = nameFromKey(zone);
    for (const set of leases) {
      const key = rrsetKey(prefix, set.owner, set.type);
      if (set.leases.length === 0) this.#leases.removeSync(key);
      else this.#put(this.#leases, key, encodeLeases(set));
    }
  }

  #put(table: Table, key: Buffer, value: Uint8Array): void {
    table.putSync(key, seal(key, value));
  }

  #unseal(zone: NameKey, key: Buffer, sealed: Buffer): Uint8Array {
    const value = unseal(key, sealed);
    if (value === undefined) throw this.#damaged('a checksum is wrong', zone);
    return value;
  }

  #readMeta(zone: NameKey): ZoneMeta | undefined {
    const key = Buffer.from(nameFromKey(zone));
    const sealed = this.#meta.get(key);
    if (sealed === undefined) return undefined;
    return this.#guard(zone, () => JSON.parse(Buffer.from(this.#unseal(zone, key, sealed)).toString()) as ZoneMeta);
  }

  #guard<T>(zone: NameKey, read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw error instanceof StoreError ? error : this.#damaged(errorMessage(error), zone);
    }
  }

  #damaged(what: string, zone?: NameKey): StoreError {
    const where = zone === undefined ? '' : `, zone ${nameToText(nameFromKey(zone))}`;
    const advice = 'restore it from a backup, or move it away to start from the configuration';
    return new StoreError('V6_STORE_DAMAGED', `the zone store ${this.#path} is damaged${where}: ${what}; ${advice}`);
  }
}

/** Name parts in a row, as LMDB takes them. */
function bytes(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}

function rrsetKey(zone: Name, owner: Name, type: number): Buffer {
  return bytes(zone, nameFromKey(nameKey(owner)), Uint8Array.of(type >> 8, type));
}

function encodeSequence(n: number): Uint8Array {
  const bytes = Buffer.alloc(SEQUENCE_OCTETS);
  bytes.writeUIntBE(n, 0, SEQUENCE_OCTETS);
  return bytes;
}
