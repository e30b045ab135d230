/** The zone store's files: its directory, its lock, and what is looked at before LMDB maps them. */
import {
  accessSync,
  chownSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { errorCode, errorMessage, V6edgeError } from '../core/errors.ts';
import { tryLock } from '../linux/flock.ts';

/** Meta pages of an LMDB data file: page header 24, magic 4, version 4, address 8, map size 8, two trees of 48, … */
const META_MAGIC = 24;
const META_PAGE_SIZE = META_MAGIC + 4 + 4 + 8 + 8;
const META_LAST_PAGE = META_PAGE_SIZE + 2 * 48;
const META_END = META_LAST_PAGE + 8 + 8;
const LMDB_MAGIC = 0xbeefc0de;
/** LMDB's name for it. */
export const DATA_FILE = 'data.mdb';
const LOCK_FILE = 'lock.mdb';
const MAX_FILE_LENGTH = 2 ** 40;

/** A store that cannot be used. Codes: V6_STORE_DAMAGED, V6_STORE_VERSION, V6_STORE_OPEN, V6_STORE_LOCKED, V6_STORE_WRITE. */
export class StoreError extends V6edgeError {}

/** Makes and opens the store's directory, and takes its lock. @throws {StoreError} */
export function lockDirectory(stateDir: string, path: string): number {
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

export function cannotOpen(path: string, cause: unknown): StoreError {
  return new StoreError('V6_STORE_OPEN', `cannot open the zone store ${path}: ${errorMessage(cause)}`, { cause });
}

/**
 * Makes sure that a store's files may be written: where its lock file may not, LMDB ends the process (SIGSEGV).
 * @param only to read it, its lock file alone has to be
 * @throws {StoreError} says what mends it
 */
export function checkAccess(stateDir: string, path: string, only?: 'to read'): void {
  for (const name of readdirSync(path).filter((each) => only === undefined || each === LOCK_FILE)) {
    try {
      accessSync(join(path, name), constants.R_OK | constants.W_OK);
    } catch (error) {
      // A copy that nobody can write: LMDB reads it without a lock.
      if (only !== undefined && errorCode(error) === 'EROFS') continue;
      const mend = `chown -R --reference=${stateDir} ${path}`;
      throw new StoreError('V6_STORE_OPEN', `${errorMessage(error)}: it is another user's (${mend} mends that)`, {
        cause: error,
      });
    }
  }
}

/** What LMDB made for root to read a store of another user is that user's, who could not open it otherwise. */
export function giveLockToOwner(path: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(path);
  const lock = join(path, LOCK_FILE);
  if (existsSync(lock) && statSync(lock).uid !== uid) chownSync(lock, uid, gid);
}

/**
 * Makes a store's data file ready to be mapped: LMDB may leave free pages at the end unwritten, so a short file can be
 * sound; made as long as its meta pages say, with a hole, it reads as what it is: LMDB and the checksums find the pages
 * that are missing.
 * @throws {StoreError}
 */
export function completeFile(path: string): void {
  const { size, length } = measureFile(path);
  if (size < length) truncateSync(path, length);
}

/** A directory with a data file that can be mapped and read. */
export interface ReadableStore {
  readonly path: string;
  /** Takes away the copy, if it is one. */
  dispose(): void;
}

/**
 * The store in a directory, for reading alone: as it is, or a copy where its file is short.
 * @throws {StoreError}
 */
export function readableStore(path: string): ReadableStore {
  const file = join(path, DATA_FILE);
  if (!existsSync(file)) throw new StoreError('V6_STORE_OPEN', `there is no zone store ${path}`);
  const { size, length } = measureFile(file);
  if (size >= length) return { path, dispose() {} };
  const copy = copyDirectory();
  copyFileSync(file, join(copy, DATA_FILE));
  truncateSync(join(copy, DATA_FILE), length);
  return { path: copy, dispose: () => rmSync(copy, { recursive: true, force: true }) };
}

/** Makes a directory for a copy. */
export function copyDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'v6edge-store-'));
}

/** How long a data file is, and has to be: memory beyond the end of a cut file would end the process (SIGBUS). */
function measureFile(path: string): { readonly size: number; readonly length: number } {
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
    return { size, length };
  } finally {
    closeSync(file);
  }
}
