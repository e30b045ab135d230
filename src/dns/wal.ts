/**
 * The write-ahead log of the zone store: two files, written over in turn. A commit is one record, on disk before `append`
 * resolves; it stays until the tables have it, then its file may be written over from the beginning.
 *
 * A log lives for one session, from the first update after a start to the stop: the tables say that there is one, and which
 * (`session`), and up to which sequence number they have it. Without that word in the tables, the files mean nothing.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { assert, errorCode, errorMessage } from '../core/errors.ts';
import { StoreError } from './store-files.ts';
import { durableFiles, type WalFile, type WalFiles } from './wal-files.ts';
import {
  encodeHeader,
  encodeRecord,
  HEADER_OCTETS,
  MAX_PAYLOAD,
  parseHeader,
  readRun,
  recordOctets,
  SESSION_OCTETS,
  WAL_VERSION,
  type WalRecord,
  type WalRun,
} from './wal-format.ts';

export const WAL_NAMES = ['wal.0', 'wal.1'] as const;
/** Of each file: some two thousand updates of a node. */
export const WAL_OCTETS = 1024 * 1024;
/** Errors after which nothing was written, or what was does not matter: the same place is written again. */
const NO_ROOM = new Set(['ENOSPC', 'EDQUOT']);

interface Generation {
  readonly file: WalFile;
  /** Of the newest record in it; 0 = none. */
  last: number;
}

/** The log, for writing. */
export class WriteAheadLog {
  /** Hexadecimal. */
  readonly session: string;
  readonly #path: string;
  readonly #seed: number;
  readonly #generations: readonly Generation[];
  #active = 0;
  #at = HEADER_OCTETS;
  #sequence = 0;
  #unsure = false;
  #fault: unknown;

  private constructor(path: string, session: Buffer, files: readonly WalFile[]) {
    this.#path = path;
    this.session = session.toString('hex');
    this.#seed = parseHeader(encodeHeader(session))!.seed;
    this.#generations = files.map((file) => ({ file, last: 0 }));
  }

  /** Makes the files anew; none are left where that fails. @throws {StoreError} V6_STORE_WRITE */
  static async create(path: string, files: WalFiles = durableFiles): Promise<WriteAheadLog> {
    const session = randomBytes(SESSION_OCTETS);
    const opened: WalFile[] = [];
    try {
      for (const name of WAL_NAMES) {
        const file = await files.open(join(path, name), WAL_OCTETS);
        opened.push(file);
        await file.write(encodeHeader(session), 0);
      }
    } catch (error) {
      await Promise.all(opened.map((file) => file.close()));
      // The tables may be short of the room.
      for (const name of WAL_NAMES) rmSync(join(path, name), { force: true });
      throw cannotWrite(path, error);
    }
    return new WriteAheadLog(path, session, opened);
  }

  /** Whether the last write failed: its record may be in the file, until the next takes its place. */
  get unsure(): boolean {
    return this.#unsure;
  }

  /** Whether a payload fits once the tables have everything up to a sequence number. */
  hasRoom(payload: number, applied: number): boolean {
    return this.#fits(payload) || this.#generations[1 - this.#active]!.last <= applied;
  }

  #fits(payload: number): boolean {
    return this.#at + recordOctets(payload) <= WAL_OCTETS;
  }

  /**
   * Brings one commit to disk; one at a time. Where there is no room, the other file is written over.
   * @returns its sequence number: 1, 2, …
   * @throws {StoreError} V6_STORE_WRITE
   */
  async append(payload: Uint8Array): Promise<number> {
    if (this.#fault !== undefined) {
      const text = `the zone store ${this.#path} takes no more changes, since a write to its log failed (${errorMessage(this.#fault)}): look at the disk, then restart`;
      throw new StoreError('V6_STORE_WRITE', text, { cause: this.#fault });
    }
    assert(payload.length <= MAX_PAYLOAD, 'the payload fits into a file');
    if (!this.#fits(payload.length)) {
      // Else both files could have a record of this number, and the one that failed be taken over.
      if (this.#unsure) await this.#write(new Uint8Array(0));
      this.#active = 1 - this.#active;
      this.#at = HEADER_OCTETS;
    }
    return await this.#write(payload);
  }

  async #write(payload: Uint8Array): Promise<number> {
    const sequence = this.#sequence + 1;
    const record = encodeRecord(this.#seed, sequence, payload);
    const generation = this.#generations[this.#active]!;
    try {
      await generation.file.write(record, this.#at);
    } catch (error) {
      // After any other error nobody knows what of the file is on disk: the kernel tells of a failed write once, and takes
      // the pages for clean from then on.
      this.#unsure = true;
      if (!NO_ROOM.has(errorCode(error) ?? '')) this.#fault = error;
      throw cannotWrite(this.#path, error);
    }
    this.#unsure = false;
    this.#at += record.length;
    this.#sequence = sequence;
    generation.last = sequence;
    return sequence;
  }

  async close(): Promise<void> {
    await Promise.all(this.#generations.map(({ file }) => file.close()));
  }
}

function cannotWrite(path: string, cause: unknown): StoreError {
  return new StoreError('V6_STORE_WRITE', `cannot write the log of the zone store ${path}: ${errorMessage(cause)}`, {
    cause,
  });
}

/** What the tables say of the log. */
export interface WalMark {
  /** Hexadecimal. */
  readonly session: string;
  /** The tables have everything up to here. */
  readonly sequence: number;
}

/** What a log has that the tables have not. */
export interface WalRest {
  /** Oldest first. */
  readonly records: readonly WalRecord[];
  /** Whether the last write was cut off: it was not acknowledged. */
  readonly torn: boolean;
}

/** The files as they are at this moment; undefined = there is none. */
export function readWalFiles(path: string): (Buffer | undefined)[] {
  return WAL_NAMES.map((name) => {
    try {
      return readFileSync(join(path, name));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw new StoreError('V6_STORE_OPEN', `cannot read ${join(path, name)}: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  });
}

/**
 * The records that the tables have not. Only the newest of all may be cut off; a gap, or a record that does not read while
 * a newer one does, is damage.
 * @throws {StoreError} V6_STORE_DAMAGED, V6_STORE_VERSION
 */
export function restOf(path: string, files: readonly (Buffer | undefined)[], mark: WalMark): WalRest {
  const damaged = (what: string): StoreError => {
    const text = `the zone store ${path} is damaged: ${what}; its last updates may be in it alone: restore the store from a backup, or start from the configuration without it`;
    return new StoreError('V6_STORE_DAMAGED', text);
  };
  const runs = files.map((file, i) => {
    if (file === undefined) throw damaged(`its log ${WAL_NAMES[i]} is missing`);
    const header = parseHeader(file);
    if (header === undefined) throw damaged(`the header of its log ${WAL_NAMES[i]} does not read`);
    if (header.version !== WAL_VERSION) {
      const text = `the log ${WAL_NAMES[i]} of the zone store ${path} has version ${header.version}, this version reads ${WAL_VERSION}: install the version that wrote it, or restore a backup`;
      throw new StoreError('V6_STORE_VERSION', text);
    }
    if (header.session.toString('hex') !== mark.session) throw damaged(`its log ${WAL_NAMES[i]} is of another store`);
    if (file.length !== WAL_OCTETS) throw damaged(`its log ${WAL_NAMES[i]} is cut`);
    return readRun(file, header.seed);
  });
  const ordered = runs.sort((a, b) => lastOf(a) - lastOf(b));
  const end = lastOf(ordered.at(-1)!);
  const newest = Math.max(...runs.map(({ strayed }) => strayed), mark.sequence);
  if (newest > end) throw damaged(`its log has commit ${newest}, but ${end + 1} does not read`);
  const records: WalRecord[] = [];
  let next = mark.sequence + 1;
  for (const record of ordered.flatMap((run) => run.records)) {
    if (record.sequence < next) continue;
    if (record.sequence > next) throw damaged(`commit ${next} of its log does not read, ${record.sequence} does`);
    records.push(record);
    next++;
  }
  return { records, torn: ordered.at(-1)!.torn };
}

function lastOf({ records }: WalRun): number {
  return records.at(-1)?.sequence ?? 0;
}
