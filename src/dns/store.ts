/**
 * The zones on disk, in `state.dir`/zones: LMDB tables (store-tables.ts), and before them a write-ahead log (wal.ts).
 *
 * A commit is durable once the log has it: one write and one flush of the disk, where LMDB's own commit needs two, and
 * several pages. What is in the log is kept in memory as well, and brought into the tables later, many commits in one
 * transaction that also says how far they have come. A large commit goes into the tables at once, after all before it.
 *
 * Everything of one call to `commit` is one record or one transaction: all of it is there after a crash, or none. At the
 * next start what the tables have not is taken over from the log before anything is read. A store that does not read is
 * never written to.
 */
import { closeSync, fsyncSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { RootDatabase } from 'lmdb';
import { assert, errorMessage } from '../core/errors.ts';
import { type Logger, nullLogger } from '../core/logger.ts';
import type { LeaseSet } from './leases.ts';
import { commitsOf, isStep, type Pending, serialsOf, sliceOf } from './pending-commits.ts';
import { decodeCommits, encodeCommits, type JournalEntry } from './store-codec.ts';
import {
  cannotOpen,
  checkAccess,
  copyDirectory,
  giveLockToOwner,
  lockDirectory,
  readableStore,
  StoreError,
} from './store-files.ts';
import { openTables } from './store-lmdb.ts';
import { StoreTables } from './store-tables.ts';
import type { StoredZone, StoreOptions, ZoneCommit } from './stored-zone.ts';
import { readWalFiles, restOf, WriteAheadLog } from './wal.ts';
import { durableFiles, type WalFiles } from './wal-files.ts';
import { MAX_PAYLOAD } from './wal-format.ts';
import { type Name, type NameKey, nameKey } from './wire/name.ts';

export type { JournalEntry } from './store-codec.ts';
export type { JournalLimit, StoredZone, ZoneCommit } from './stored-zone.ts';

/** The store's directory in the state directory. */
const STORE = 'zones';
/** So long commits stay in the log alone when there is room. */
const CHECKPOINT_MS = 1_000;
/** After a log could not be made, for want of room. */
const RETRY_LOG_MS = 60_000;
/** A reader beside a daemon that writes may see log and tables at different moments: it looks again. */
const LOOKS = 20;

/** The zones on disk. One process has them open at a time. */
export class ZoneStore {
  readonly #path: string;
  #tables: StoreTables;
  readonly #options: StoreOptions;
  readonly #log: Logger;
  readonly #files: WalFiles;
  /** Lets go of lock or copy. */
  readonly #release: () => void;
  #wal: WriteAheadLog | undefined;
  /** Oldest first. */
  #pending: Pending[] = [];
  /** The tables have everything of the log up to here. */
  #applied = 0;
  #checkpoint: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #noLogUntil = 0;
  #failing = false;
  #writing = false;
  #closed = false;

  private constructor(path: string, tables: StoreTables, release: () => void, options: StoreOptions) {
    this.#path = path;
    this.#tables = tables;
    this.#release = release;
    this.#options = options;
    this.#log = options.log ?? nullLogger;
    this.#files = options.files ?? durableFiles;
  }

  /**
   * Opens the store below a state directory; both are made if missing. What the tables have not is taken over from the log.
   * @throws {StoreError}
   */
  static async open(stateDir: string, options: StoreOptions = {}): Promise<ZoneStore> {
    const path = join(stateDir, STORE);
    const lock = lockDirectory(stateDir, path);
    const release = () => closeSync(lock);
    const prepare = (): RootDatabase<Buffer, Buffer> => {
      checkAccess(stateDir, path);
      return openTables(path);
    };
    return await ZoneStore.#start(path, prepare, release, options, async (store) => {
      // LMDB syncs what is in its files, not that they are there.
      fsyncSync(lock);
      await store.#takeOver(readWalFiles(path));
    });
  }

  /**
   * Opens the store below a state directory for reading alone: whether a daemon has it open or not, nothing is written. Where
   * the log has more than the tables, a copy of these is made elsewhere, with all in it.
   * @throws {StoreError}
   */
  static async openReadOnly(stateDir: string): Promise<ZoneStore> {
    const path = join(stateDir, STORE);
    for (let look = 1; ; look++) {
      const files = readWalFiles(path);
      const readable = readableStore(path);
      const prepare = (): RootDatabase<Buffer, Buffer> => {
        checkAccess(stateDir, readable.path, 'to read');
        const root = openTables(readable.path, true);
        giveLockToOwner(readable.path);
        return root;
      };
      const store = await ZoneStore.#start(
        path,
        prepare,
        () => readable.dispose(),
        {},
        async () => undefined,
      );
      try {
        const { mark } = store.#tables;
        if (mark === undefined || restOf(path, files, mark).records.length === 0) return store;
        return await store.#copyWith(files);
      } catch (error) {
        await store.close();
        if (look === LOOKS || !(error instanceof StoreError) || error.code !== 'V6_STORE_DAMAGED') throw error;
      }
    }
  }

  static async #start(
    path: string,
    prepare: () => RootDatabase<Buffer, Buffer>,
    release: () => void,
    options: StoreOptions,
    check: (store: ZoneStore) => Promise<void>,
  ): Promise<ZoneStore> {
    let root: RootDatabase<Buffer, Buffer> | undefined;
    try {
      root = prepare();
      const tables = new StoreTables(path, root, options.journal);
      await tables.checkFormat();
      const store = new ZoneStore(path, tables, release, options);
      await check(store);
      return store;
    } catch (error) {
      await root?.close();
      release();
      if (error instanceof StoreError) throw error;
      if (root === undefined) throw cannotOpen(path, error);
      throw new StoreError('V6_STORE_DAMAGED', `the zone store ${path} does not read: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }

  /** Brings what a log has into the tables, which then know of no log. */
  async #takeOver(files: readonly (Buffer | undefined)[]): Promise<void> {
    const { mark } = this.#tables;
    if (mark === undefined) return;
    const { records, torn } = restOf(this.#path, files, mark);
    const last = records.at(-1)?.sequence ?? mark.sequence;
    const commits = records.flatMap(({ payload }) => decodeCommits(payload));
    if (commits.length > 0) await this.#tables.write(commits, { ...mark, sequence: last });
    await this.#tables.setMark(undefined);
    this.#log.info({ commits: records.length }, 'the zone store was not closed: its log was taken over');
    if (torn) this.#log.warn({}, 'the last write to the log was cut off before it was acknowledged: it is left out');
  }

  /** A store with everything in it, in the place of this one, which is closed. */
  async #copyWith(files: readonly (Buffer | undefined)[]): Promise<ZoneStore> {
    const copy = copyDirectory();
    const release = () => rmSync(copy, { recursive: true, force: true });
    try {
      await this.#tables.copyTo(join(copy, STORE));
    } catch (error) {
      release();
      throw error;
    }
    const prepare = (): RootDatabase<Buffer, Buffer> => openTables(join(copy, STORE));
    // Its mark may be a newer one than ours: a daemon writes.
    const store = await ZoneStore.#start(this.#path, prepare, release, {}, (made) => made.#takeOver(files));
    await this.close();
    return store;
  }

  /**
   * A zone as the last commit left it; undefined if it was never stored. After `flush`.
   * @throws {StoreError} V6_STORE_DAMAGED
   */
  load(zone: NameKey): StoredZone | undefined {
    this.#assertFlushed(zone);
    return this.#tables.load(zone);
  }

  /** The leases in a zone. @throws {StoreError} V6_STORE_DAMAGED */
  leases(zone: NameKey): LeaseSet[] {
    const stored = this.#tables.leases(zone);
    const newer = this.#unapplied(zone).flatMap(({ leases }) => leases ?? []);
    if (newer.length === 0) return stored;
    const sets = new Map(stored.concat(newer).map((set) => [`${nameKey(set.owner)} ${set.type}`, set]));
    return [...sets.values()].filter(({ leases }) => leases.length > 0);
  }

  /** When the daemon was last stopped in order, wall-clock milliseconds; 0 = it never was. */
  get stoppedAt(): number {
    return this.#tables.stoppedAt;
  }

  /** Writes down when the daemon stops: leases do not run out while nobody can refresh them. */
  setStoppedAt(wall: number): Promise<void> {
    return this.#tables.setStoppedAt(wall);
  }

  /**
   * Writes the changes of any number of zones as one transaction; resolves when they are on disk.
   * One call at a time.
   * @throws {StoreError} V6_STORE_WRITE: none of it is there
   */
  async commit(commits: readonly ZoneCommit[]): Promise<void> {
    assert(!this.#writing, 'one commit at a time');
    this.#writing = true;
    try {
      if (this.#tables.closed) this.#tables = StoreTables.reopen(this.#path, this.#options.journal);
      const payload = commits.every(isStep) ? encodeCommits(commits) : undefined;
      const wal = payload === undefined || payload.length > MAX_PAYLOAD ? undefined : await this.#logFor();
      if (payload !== undefined && wal !== undefined) await this.#append(wal, payload);
      else await this.#writeAtOnce(commits);
    } finally {
      this.#writing = false;
    }
  }

  async #append(wal: WriteAheadLog, payload: Uint8Array): Promise<void> {
    if (!wal.hasRoom(payload.length, this.#applied)) await this.flush();
    const sequence = await wal.append(payload);
    this.#pending.push({ sequence, payload, commits: undefined });
    this.#applySoon();
  }

  /** Past the log, and after all that is in it. */
  async #writeAtOnce(commits: readonly ZoneCommit[]): Promise<void> {
    // Else a start after a crash could find the failed record whole, and take it over on top of these.
    if (this.#wal?.unsure) await this.#append(this.#wal, new Uint8Array(0));
    await this.flush();
    await this.#tables.write(commits);
  }

  /** The log; undefined where none can be made. The tables know of it before it has its first commit. */
  async #logFor(): Promise<WriteAheadLog | undefined> {
    if (this.#wal !== undefined || performance.now() < this.#noLogUntil) return this.#wal;
    let wal: WriteAheadLog | undefined;
    try {
      wal = await WriteAheadLog.create(this.#path, this.#files);
      await this.#tables.setMark({ session: wal.session, sequence: 0 });
      this.#wal = wal;
    } catch (error) {
      await wal?.close();
      this.#noLogUntil = performance.now() + RETRY_LOG_MS;
      this.#log.warn(
        { err: error },
        'no log can be made: each update goes into the zone store by itself, which is slower',
      );
    }
    return this.#wal;
  }

  /**
   * Brings into the tables what is in the log alone.
   * @throws {StoreError} V6_STORE_WRITE: it stays in the log
   */
  async flush(): Promise<void> {
    while (this.#pending.length > 0) {
      this.#checkpoint ??= this.#apply();
      await this.#checkpoint;
    }
  }

  /** Brings what is pending now into the tables. @throws {StoreError} */
  async #apply(): Promise<void> {
    const until = this.#pending.at(-1)!.sequence;
    try {
      while (this.#applied < until) {
        const slice = this.#pending.slice(0, sliceOf(this.#pending));
        const { sequence } = slice.at(-1)!;
        const commits = slice.flatMap(commitsOf);
        await this.#tables.write(commits, { session: this.#wal!.session, sequence });
        this.#pending = this.#pending.slice(slice.length);
        this.#applied = sequence;
      }
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#log.error({ err: error }, 'updates stay in the log: the zone store cannot be written');
      this.#failing = true;
      throw error;
    } finally {
      this.#checkpoint = undefined;
    }
  }

  #applySoon(): void {
    this.#timer ??= setTimeout(async () => {
      this.#timer = undefined;
      if (this.#pending.length === 0) return;
      this.#checkpoint ??= this.#apply();
      // It was logged; the log has room for some time.
      await this.#checkpoint.catch(() => undefined);
      if (this.#pending.length > 0 && !this.#closed) this.#applySoon();
    }, CHECKPOINT_MS).unref();
  }

  /** Commits of a zone that the tables have not, oldest first. */
  #unapplied(zone: NameKey): ZoneCommit[] {
    if (this.#pending.length === 0) return [];
    // A transaction may be done whose promise has not told us yet.
    const applied = this.#tables.mark?.sequence ?? 0;
    return this.#pending
      .filter(({ sequence }) => sequence > applied)
      .flatMap(commitsOf)
      .filter((commit) => commit.zone === zone);
  }

  #assertFlushed(zone: NameKey): void {
    assert(this.#unapplied(zone).length === 0, 'the store was flushed');
  }

  /** The commits that lead from a serial to the present one, oldest first; undefined if they are not all kept. */
  journal(zone: NameKey, fromSerial: number): JournalEntry[] | undefined {
    const entries: JournalEntry[] = [];
    for (const entry of this.#newestFirst(zone)) {
      entries.unshift(entry);
      if (entry.fromSerial === fromSerial) return entries;
    }
    return undefined;
  }

  *#newestFirst(zone: NameKey): Generator<JournalEntry> {
    const steps = this.#unapplied(zone).filter(({ changes }) => changes.length > 0);
    for (const { changes } of steps.reverse()) yield { ...serialsOf(changes)!, changes };
    yield* this.#tables.journal(zone);
  }

  /** The names of all zones that are stored, configured or not. */
  zones(): Name[] {
    return this.#tables.zones();
  }

  /**
   * Reads all that is kept of a zone. After `flush`.
   * @throws {StoreError} V6_STORE_DAMAGED
   */
  verify(zone: NameKey): { readonly rrsets: number; readonly serial: number; readonly journal: number } {
    this.#assertFlushed(zone);
    return this.#tables.verify(zone);
  }

  /** Makes a directory with a copy of the store as it is at this moment; what commits come meanwhile is not in it. */
  async copyTo(directory: string): Promise<void> {
    await this.flush();
    await this.#tables.copyTo(directory);
  }

  /**
   * Gives back the memory of a large zone that was read or written: LMDB keeps the pages of its largest transaction, and those
   * of its file that were read stay mapped, for as long as it is open. While nobody else writes or loads; after `flush`.
   * @throws {StoreError} V6_STORE_OPEN: the next commit tries again
   */
  async letGo(): Promise<void> {
    assert(!this.#writing && this.#pending.length === 0, 'nothing is under way');
    await this.#tables.close();
    this.#tables = StoreTables.reopen(this.#path, this.#options.journal);
  }

  /** Waits for commits under way and closes the files. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    if (this.#wal !== undefined) {
      try {
        await this.flush();
        // All is in the tables: an earlier version can read them.
        await this.#tables.setMark(undefined);
      } catch (error) {
        this.#log.warn(
          { err: error },
          'the zone store is closed with updates in its log: the next start takes them over',
        );
      }
      await this.#wal.close();
    }
    await this.#tables.close();
    this.#release();
  }
}
