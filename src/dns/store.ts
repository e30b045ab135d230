/**
 * The zones on disk: an LMDB environment in `state.dir`/zones.
 *
 * - `records`: one entry an RRset; key = zone name + owner name (lower-cased wire form, which ends itself) + type.
 * - `journal`: one entry a commit, key = zone name + 48-bit sequence number; what each RRset was before and after, so
 *   that a secondary can be told the differences (RFC 1995). The newest `journalLength` of each zone are kept.
 * - `leases`: one entry an RRset in which records have leases: which, and until when. Keys as in `records`.
 * - `meta`: the format's version, and for each zone its serial, the number of its RRsets, and what it was seeded from.
 *
 * Every value begins with a CRC-32 of key and value: LMDB has no checksums, and a zone that comes back wrong is worse
 * than one that does not come back. A store that does not read is never written to.
 *
 * Commits are durable: `overlappingSync` is off, so LMDB writes its pages, calls fdatasync, writes the new root with a
 * synchronous write, and only then does the promise of `commit` resolve. Everything of one call to `commit` is one LMDB
 * transaction: all of it is there after a crash, or none.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readSync, statSync, truncateSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Database, open, type RootDatabase } from 'lmdb';
import { assert, errorMessage, V6edgeError } from '../core/errors.ts';
import { tryLock } from '../linux/flock.ts';
import type { LeaseSet } from './leases.ts';
import type { RRsetChange } from './overlay.ts';
import type { OwnedRRset } from './snapshot.ts';
import { soaSerial } from './soa.ts';
import {
  ByteReader,
  decodeChange,
  decodeLeases,
  decodeRRset,
  encodeChange,
  encodeLeases,
  encodeRRset,
} from './store-codec.ts';
import { concatBytes, writeUint32 } from './wire/bytes.ts';
import { type Name, type NameKey, nameFromKey, nameKey, nameToText } from './wire/name.ts';
import { TYPE } from './wire/types.ts';

const FORMAT = 1;
const FORMAT_KEY = Buffer.from('format');
/** In `leases`: no zone's key begins so, a label is no longer than 63. */
const STOPPED_KEY = Buffer.from('stopped');
/** Meta pages of an LMDB data file: page header 24, magic 4, version 4, address 8, map size 8, two trees of 48, … */
const META_MAGIC = 24;
const META_PAGE_SIZE = META_MAGIC + 4 + 4 + 8 + 8;
const META_LAST_PAGE = META_PAGE_SIZE + 2 * 48;
const META_END = META_LAST_PAGE + 8 + 8;
const LMDB_MAGIC = 0xbeefc0de;
const MAX_FILE_LENGTH = 2 ** 40;
const DEFAULT_JOURNAL_LENGTH = 1000;
/** Longer than any label: sorts after every key that begins with the zone's name. */
const AFTER_LABELS = Uint8Array.of(0xff);
const SEQUENCE_OCTETS = 6;

/** A store that cannot be used. Codes: V6_STORE_DAMAGED, V6_STORE_VERSION, V6_STORE_OPEN, V6_STORE_LOCKED, V6_STORE_WRITE. */
export class StoreError extends V6edgeError {}

/** What a zone was when it was stored. */
export interface StoredZone {
  readonly rrsets: readonly OwnedRRset[];
  readonly serial: number;
  /** The text that the last commit with `seed` gave. */
  readonly seed: string;
}

/** The changes of one zone in one commit; its new SOA among them. */
export interface ZoneCommit {
  readonly zone: NameKey;
  readonly changes: readonly RRsetChange[];
  /** Set where configuration, not an update, is what changed the zone: kept with it. */
  readonly seed?: string;
  /** What is to be kept of leases from now on. */
  readonly leases?: readonly LeaseSet[];
}

/** One commit of the journal. */
export interface JournalEntry {
  readonly fromSerial: number;
  readonly toSerial: number;
  readonly changes: readonly RRsetChange[];
}

interface ZoneMeta {
  readonly serial: number;
  readonly rrsets: number;
  readonly seed: string;
  /** Sequence numbers of the oldest journal entry and of the next one. */
  readonly journalFrom: number;
  readonly journalNext: number;
}

type Table = Database<Buffer, Buffer>;

/** The zones on disk. One process has them open at a time. */
export class ZoneStore {
  readonly #path: string;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #meta: Table;
  readonly #records: Table;
  readonly #journal: Table;
  readonly #leases: Table;
  readonly #journalLength: number;
  /** The directory, open and locked. */
  readonly #lock: number;
  #writing = false;

  private constructor(path: string, lock: number, root: RootDatabase<Buffer, Buffer>, journalLength: number) {
    const binary = { encoding: 'binary', keyEncoding: 'binary' } as const;
    this.#path = path;
    this.#lock = lock;
    this.#root = root;
    this.#meta = root.openDB({ ...binary, name: 'meta' });
    this.#records = root.openDB({ ...binary, name: 'records' });
    this.#journal = root.openDB({ ...binary, name: 'journal' });
    this.#leases = root.openDB({ ...binary, name: 'leases' });
    this.#journalLength = journalLength;
  }

  /**
   * Opens the store below a state directory; both are made if missing.
   * @throws {StoreError}
   */
  static async open(stateDir: string, journalLength = DEFAULT_JOURNAL_LENGTH): Promise<ZoneStore> {
    const path = join(stateDir, 'zones');
    const lock = lockDirectory(stateDir, path);
    let root: RootDatabase<Buffer, Buffer> | undefined;
    try {
      if (readdirSync(path).includes('data.mdb')) checkFile(join(path, 'data.mdb'));
      // Of a batch that lmdb makes by itself nobody sees the promise: when the disk is full, it would end the process.
      const own = { eventTurnBatching: false, overlappingSync: false };
      root = open({ path, noSubdir: false, maxDbs: 8, cache: false, encoding: 'binary', ...own });
      const store = new ZoneStore(path, lock, root, journalLength);
      await store.#checkFormat();
      // LMDB syncs what is in its files, not that they are there.
      fsyncSync(lock);
      return store;
    } catch (error) {
      await root?.close();
      closeSync(lock);
      if (error instanceof StoreError) throw error;
      if (root === undefined) throw cannotOpen(path, error);
      throw new StoreError('V6_STORE_DAMAGED', `the zone store ${path} does not read: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }

  async #checkFormat(): Promise<void> {
    const format = this.#meta.get(FORMAT_KEY)?.toString('latin1');
    if (format === undefined) {
      // A crash before this first commit leaves an empty store behind.
      const empty = this.#meta.getKeysCount() === 0 && this.#records.getKeysCount() === 0;
      if (!empty) throw this.#damaged('it has no format version');
      await this.#meta.put(FORMAT_KEY, Buffer.from(String(FORMAT)));
    } else if (format !== String(FORMAT)) {
      const text = `the zone store ${this.#path} has format ${JSON.stringify(format)}, this version reads ${FORMAT}`;
      throw new StoreError('V6_STORE_VERSION', text);
    }
  }

  /**
   * A zone as the last commit left it; undefined if it was never stored.
   * @throws {StoreError} V6_STORE_DAMAGED
   */
  load(zone: NameKey): StoredZone | undefined {
    const meta = this.#readMeta(zone);
    if (meta === undefined) return undefined;
    const prefix = nameFromKey(zone);
    const rrsets: OwnedRRset[] = [];
    let serial: number | undefined;
    for (const { key, value } of this.#records.getRange({ start: bytes(prefix), end: bytes(prefix, AFTER_LABELS) })) {
      const set = this.#guard(zone, () => decodeRRset(new ByteReader(this.#unseal(zone, key, value))));
      if (set.rrset.type === TYPE.SOA) serial = soaSerial(set.rrset.rdata[0]!);
      rrsets.push(set);
    }
    if (serial !== meta.serial) throw this.#damaged(`the serial is ${serial}, ${meta.serial} was written`, zone);
    if (rrsets.length !== meta.rrsets) {
      throw this.#damaged(`it has ${rrsets.length} RRsets, ${meta.rrsets} were written`, zone);
    }
    return { rrsets, serial, seed: meta.seed };
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
   * Writes the changes of any number of zones as one transaction; resolves when they are on disk.
   * One call at a time.
   * @throws {StoreError} V6_STORE_WRITE: none of it is there
   */
  async commit(commits: readonly ZoneCommit[]): Promise<void> {
    assert(!this.#writing, 'one commit at a time');
    this.#writing = true;
    const metas = commits.map((commit) => this.#nextMeta(commit));
    try {
      await this.#root.transaction(() => {
        for (const [i, commit] of commits.entries()) {
          this.#writeLeases(commit);
          // A refresh changes no record.
          if (commit.changes.length === 0 && commit.seed === undefined) continue;
          this.#write(commit, metas[i]!.before, metas[i]!.after);
        }
      });
    } catch (error) {
      const cause = await commitFault(error);
      throw new StoreError('V6_STORE_WRITE', `cannot write the zone store ${this.#path}: ${errorMessage(cause)}`, {
        cause,
      });
    } finally {
      this.#writing = false;
    }
  }

  /** The commits that lead from a serial to the present one, oldest first; undefined if they are not all kept. */
  journal(zone: NameKey, fromSerial: number): JournalEntry[] | undefined {
    const meta = this.#readMeta(zone);
    if (meta === undefined) return undefined;
    const entries: JournalEntry[] = [];
    const prefix = nameFromKey(zone);
    // Entry 0 brought the zone into being: no serial leads up to it.
    for (let n = meta.journalNext - 1; n >= Math.max(meta.journalFrom, 1); n--) {
      const key = bytes(prefix, encodeSequence(n));
      const value = this.#journal.get(key);
      if (value === undefined) throw this.#damaged(`journal entry ${n} is missing`, zone);
      const entry = this.#guard(zone, () => decodeJournal(this.#unseal(zone, key, value)));
      entries.unshift(entry);
      if (entry.fromSerial === fromSerial) return entries;
    }
    return undefined;
  }

  /** The names of all zones that are stored, configured or not. */
  zones(): Name[] {
    return [...this.#meta.getKeys()].filter((key) => !key.equals(FORMAT_KEY)).map((key) => Uint8Array.from(key));
  }

  /** Waits for commits under way and closes the files. */
  async close(): Promise<void> {
    await this.#root.close();
    closeSync(this.#lock);
  }

  #nextMeta(commit: ZoneCommit): { before: ZoneMeta | undefined; after: ZoneMeta } {
    const before = this.#readMeta(commit.zone);
    let rrsets = before?.rrsets ?? 0;
    let serial = before?.serial ?? 0;
    for (const change of commit.changes) {
      rrsets += Number(change.rrset !== undefined) - Number(change.before !== undefined);
      if (change.type === TYPE.SOA && change.rrset !== undefined) serial = soaSerial(change.rrset.rdata[0]!);
    }
    const journalNext = (before?.journalNext ?? 0) + 1;
    const journalFrom = Math.max(before?.journalFrom ?? 0, journalNext - this.#journalLength);
    return { before, after: { serial, rrsets, seed: commit.seed ?? before?.seed ?? '', journalFrom, journalNext } };
  }

  #write(commit: ZoneCommit, before: ZoneMeta | undefined, after: ZoneMeta): void {
    const prefix = nameFromKey(commit.zone);
    for (const { owner, type, rrset } of commit.changes) {
      const key = rrsetKey(prefix, owner, type);
      if (rrset === undefined) this.#records.removeSync(key);
      else this.#put(this.#records, key, encodeRRset(owner, rrset));
    }
    const journalKey = bytes(prefix, encodeSequence(after.journalNext - 1));
    this.#put(this.#journal, journalKey, encodeJournal(before?.serial ?? 0, after.serial, commit.changes));
    for (let n = before?.journalFrom ?? 0; n < after.journalFrom; n++) {
      this.#journal.removeSync(bytes(prefix, encodeSequence(n)));
    }
    this.#put(this.#meta, Buffer.from(prefix), Buffer.from(JSON.stringify(after)));
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
    const sealed = Buffer.alloc(4 + value.length);
    sealed.set(value, 4);
    sealed.writeUInt32BE(crc32(value, crc32(key)), 0);
    table.putSync(key, sealed);
  }

  #unseal(zone: NameKey, key: Buffer, sealed: Buffer): Uint8Array {
    const value = sealed.subarray(4);
    if (sealed.length < 4 || sealed.readUInt32BE(0) !== crc32(value, crc32(key))) {
      throw this.#damaged('a checksum is wrong', zone);
    }
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

/** Makes and opens the store's directory, and takes its lock. @throws {StoreError} */
function lockDirectory(stateDir: string, path: string): number {
  let fd: number | undefined;
  try {
    const made = mkdirSync(path, { recursive: true, mode: 0o750 });
    if (made !== undefined) syncDirectories(dirname(made), stateDir);
    fd = openSync(path, 'r');
    if (tryLock(fd)) return fd;
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    throw cannotOpen(path, error);
  }
  closeSync(fd);
  throw new StoreError('V6_STORE_LOCKED', `the zone store ${path} is in use by another process: is v6edge running?`);
}

/** Brings new directory entries to disk, from the deepest directory up to the highest that has one. */
function syncDirectories(highest: string, deepest: string): void {
  for (let path = resolve(deepest); ; path = dirname(path)) {
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (path === resolve(highest) || path === '/') return;
  }
}

function cannotOpen(path: string, cause: unknown): StoreError {
  return new StoreError('V6_STORE_OPEN', `cannot open the zone store ${path}: ${errorMessage(cause)}`, { cause });
}

/**
 * Looks at a data file before LMDB maps it: memory beyond the end of a cut file would end the process (SIGBUS).
 * LMDB may leave free pages at the end unwritten, so a short file can be sound; made as long as its meta pages say, with
 * a hole, it reads as what it is: LMDB and the checksums find the pages that are missing.
 */
function checkFile(path: string): void {
  const size = statSync(path).size;
  const damaged = (what: string): StoreError =>
    new StoreError('V6_STORE_DAMAGED', `the zone store ${path} is damaged: ${what}; restore it or move it away`);
  const head = Buffer.alloc(META_END);
  const file = openSync(path, 'r');
  try {
    if (readSync(file, head, 0, META_END, 0) < META_END) throw damaged('it is cut');
    if (head.readUInt32LE(META_MAGIC) !== LMDB_MAGIC) throw damaged('it is no LMDB file');
    const pageSize = head.readUInt32LE(META_PAGE_SIZE);
    if (pageSize < 512 || pageSize > 65536 || size < 2 * pageSize) throw damaged('it is cut');
    // Two meta pages; the newer one holds.
    const other = Buffer.alloc(META_END);
    readSync(file, other, 0, META_END, pageSize);
    const lastPage = [head, other]
      .map((page) => ({ last: page.readBigUInt64LE(META_LAST_PAGE), transaction: page.readBigUInt64LE(META_END - 8) }))
      .reduce((a, b) => (b.transaction > a.transaction ? b : a)).last;
    const length = (Number(lastPage) + 1) * pageSize;
    if (length > MAX_FILE_LENGTH) throw damaged('its length is not possible');
    if (size < length) truncateSync(path, length);
  } finally {
    closeSync(file);
  }
}

/**
 * What made a commit fail. lmdb's error only points to it, with a promise that is rejected as well: left alone that
 * would end the process.
 */
async function commitFault(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error && error.commitError instanceof Promise)) return error;
  const fault = error.commitError.catch((cause: unknown) => cause);
  const turn = new Promise<unknown>((resolve) => setImmediate(resolve, error));
  return Promise.race([fault, turn]);
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

function encodeJournal(fromSerial: number, toSerial: number, changes: readonly RRsetChange[]): Uint8Array {
  const serials = new Uint8Array(8);
  writeUint32(serials, 0, fromSerial);
  writeUint32(serials, 4, toSerial);
  return concatBytes([serials, ...changes.map(encodeChange)]);
}

function decodeJournal(value: Uint8Array): JournalEntry {
  const reader = new ByteReader(value);
  const fromSerial = reader.uint32();
  const toSerial = reader.uint32();
  const changes: RRsetChange[] = [];
  while (!reader.done) changes.push(decodeChange(reader));
  return { fromSerial, toSerial, changes };
}
