/**
 * Answers as bytes, found by the bytes of their question (cache-table.ts), and what is said of them: how long they are good, when
 * they are stale (RFC 8767), which are failures (RFC 9520), from a zone of ours, or to be fetched anew in time.
 *
 *   entry  the table's words, then: message length · TTL count · stored at · expires at · retry at (from a zone: bucket)
 *                                   · zone version · counter of the zone
 *          message · u16 offsets of its TTLs
 *
 * Times are whole seconds of the monotonic clock.
 */
import type { Random } from '../core/random.ts';
import { CacheTable, ENTRY_BYTES, ENTRY_WORDS, FIRST_OWN_FLAG, FLAGS, OWN_WORD } from './cache-table.ts';

export { KEY_CD, KEY_DO } from './cache-table.ts';

const MESSAGE_LENGTH = OWN_WORD;
const TTL_COUNT = OWN_WORD + 1;
const STORED_AT = OWN_WORD + 2;
const EXPIRES_AT = OWN_WORD + 3;
const RETRY_AT = OWN_WORD + 4;
const VERSION = OWN_WORD + 5;
const COUNTER = OWN_WORD + 6;

const AUTHORITATIVE = FIRST_OWN_FLAG;
const REFRESHING = FIRST_OWN_FLAG << 1;
const FAILURE = FIRST_OWN_FLAG << 2;

/** The TTL of an answer that is stale (RFC 8767 §4). */
const STALE_TTL = 30;
const LONG_MESSAGE = 512;

/** What `lookup` found. */
export const MISS = 0;
export const FRESH = 1;
/** Expired, and still good when no better can be had (RFC 8767). */
export const STALE = 2;

/** How an entry is kept. */
export interface Lifetime {
  /** Seconds until it is stale. */
  readonly ttl: number;
  /** From one of our zones: good as long as the version of the zones stays what it is. */
  readonly authoritative: boolean;
  /** A failure that is remembered for a moment (RFC 9520). */
  readonly failure: boolean;
  /** For one from a zone: the counter that each answer adds to, and the bucket of the rate limit if it shares one. */
  readonly counter?: number;
  readonly bucket?: number;
}

/** What the cache holds and has done. */
export interface CacheStatus {
  readonly entries: number;
  readonly bytes: number;
  readonly capacity: number;
  readonly evicted: number;
}

export class WireCache {
  readonly capacity: number;
  /** Seconds an expired entry is kept for want of better. */
  serveStaleSeconds = 0;
  /** Whether popular entries are fetched anew before they expire. */
  prefetches = false;
  /** Version of the zones that authoritative entries must be of. */
  zonesVersion = 0;
  /** The entry the last `lookup` found: its offset in `bytes`. */
  found = -1;
  readonly bytes: Buffer;
  readonly #table: CacheTable;
  readonly #words: Int32Array;

  /** What a cache asked to have `bytes` really has. */
  static capacityFor(bytes: number): number {
    return CacheTable.capacityFor(bytes);
  }

  constructor(capacity: number, random: Random) {
    this.#table = new CacheTable(capacity, random, (entry) => this.#isOutdated(entry));
    this.capacity = this.#table.capacity;
    this.bytes = this.#table.bytes;
    this.#words = this.#table.words;
  }

  get status(): CacheStatus {
    const { entries, used, capacity, evicted } = this.#table;
    return { entries, bytes: used, capacity, evicted };
  }

  /** Whether the question that the last `lookup` found an answer to is written as the entry has it, in lower case. */
  get exact(): boolean {
    return this.#table.exact;
  }

  /** As `CacheTable.hash`. */
  hash(words: Int32Array | Uint32Array, at: number, length: number): number {
    return this.#table.hash(words, at, length);
  }

  /**
   * Looks for the answer to the question of `length` bytes at `at` (a multiple of four) in `bytes`, of which `words` is
   * the view. Sets `found`.
   */
  lookup(
    bytes: Uint8Array,
    words: Int32Array | Uint32Array,
    at: number,
    length: number,
    hash: number,
    key: number,
    now: number,
  ): number {
    const entry = this.#table.find(bytes, words, at, length, hash, key);
    this.found = entry;
    if (entry < 0) return MISS;
    const own = this.#words;
    const e = entry >> 2;
    const flags = own[e + FLAGS]!;
    if ((flags & AUTHORITATIVE) !== 0) return own[e + VERSION] === this.zonesVersion ? FRESH : MISS;
    const late = now - own[e + EXPIRES_AT]!;
    if (late < 0) return FRESH;
    return late < this.serveStaleSeconds && (flags & FAILURE) === 0 ? STALE : MISS;
  }

  /**
   * Stores a message: without OPT, its TTLs as they are to be at `now`. Replaces what was there for the question.
   * @param questionLength bytes of the question section
   */
  insert(
    message: Uint8Array,
    questionLength: number,
    ttlOffsets: readonly number[],
    key: number,
    now: number,
    lifetime: Lifetime,
  ): void {
    const flags = (lifetime.authoritative ? AUTHORITATIVE : 0) | (lifetime.failure ? FAILURE : 0);
    const entry = this.#table.put(message, questionLength, ttlOffsets.length * 2, key, flags);
    if (entry < 0) return;
    let at = entry + ENTRY_BYTES + ((message.length + 1) & ~1);
    for (const offset of ttlOffsets) {
      this.bytes[at++] = offset >> 8;
      this.bytes[at++] = offset;
    }
    const words = this.#words;
    const e = entry >> 2;
    words[e + MESSAGE_LENGTH] = message.length;
    words[e + TTL_COUNT] = ttlOffsets.length;
    words[e + STORED_AT] = now;
    words[e + EXPIRES_AT] = now + lifetime.ttl;
    words[e + RETRY_AT] = lifetime.bucket ?? 0;
    words[e + VERSION] = this.zonesVersion;
    words[e + COUNTER] = lifetime.counter ?? 0;
  }

  /** Whether the answer that the last `lookup` did not find, and that can be made again at little cost, should be inserted. */
  admits(): boolean {
    return this.#table.admits(this.found >= 0);
  }

  /** Where the found message begins in `bytes`; a multiple of four. */
  get messageOffset(): number {
    return this.found + ENTRY_BYTES;
  }

  /** Length of the found message. */
  get messageLength(): number {
    return this.#words[(this.found >> 2) + MESSAGE_LENGTH]!;
  }

  /** Whether the found entry is from one of our zones. */
  get authoritative(): boolean {
    return (this.#words[(this.found >> 2) + FLAGS]! & AUTHORITATIVE) !== 0;
  }

  /** The counter of the found entry, which is from one of our zones. */
  get counter(): number {
    return this.#words[(this.found >> 2) + COUNTER]!;
  }

  /** Its bucket of the rate limit; 0: one of its own. */
  get bucket(): number {
    return this.#words[(this.found >> 2) + RETRY_AT]!;
  }

  /** Whether the found entry is a failure that is remembered. */
  get isFailure(): boolean {
    return (this.#words[(this.found >> 2) + FLAGS]! & FAILURE) !== 0;
  }

  /** The found failure's lifetime in seconds; 0 when the entry is none, or when it has been over for as long as it was. */
  failureSeconds(now: number): number {
    const e = this.found >> 2;
    if (this.found < 0 || (this.#words[e + FLAGS]! & FAILURE) === 0) return 0;
    const life = this.#words[e + EXPIRES_AT]! - this.#words[e + STORED_AT]!;
    return now - this.#words[e + EXPIRES_AT]! > life ? 0 : life;
  }

  /** Copies the found message to `out` (a multiple of four) of `target`, its TTLs counted down. Returns its length. */
  copyTo(target: Uint8Array, targetWords: Int32Array | Uint32Array, out: number, now: number): number {
    const words = this.#words;
    const e = this.found >> 2;
    const length = words[e + MESSAGE_LENGTH]!;
    if (length > LONG_MESSAGE) {
      this.bytes.copy(target, out, this.messageOffset, this.messageOffset + length);
    } else {
      // A loop beats the call for what most messages are; the last word may carry a few bytes too many.
      const first = e + ENTRY_WORDS;
      const to = out >> 2;
      for (let i = (length - 1) >> 2; i >= 0; i--) targetWords[to + i] = words[first + i]!;
    }
    this.#countDown(target, out, now);
    return length;
  }

  #countDown(target: Uint8Array, out: number, now: number): void {
    const e = this.found >> 2;
    const words = this.#words;
    const age = now - words[e + STORED_AT]!;
    if (age === 0 || (words[e + FLAGS]! & AUTHORITATIVE) !== 0) return;
    const stale = now >= words[e + EXPIRES_AT]!;
    const own = this.bytes;
    let at = this.found + ENTRY_BYTES + ((words[e + MESSAGE_LENGTH]! + 1) & ~1);
    for (let left = words[e + TTL_COUNT]!; left > 0; left--, at += 2) {
      const ttlAt = out + ((own[at]! << 8) | own[at + 1]!);
      const stored =
        (target[ttlAt]! << 24) | (target[ttlAt + 1]! << 16) | (target[ttlAt + 2]! << 8) | target[ttlAt + 3]!;
      const ttl = stale ? STALE_TTL : stored > age ? stored - age : 0;
      target[ttlAt] = ttl >>> 24;
      target[ttlAt + 1] = ttl >>> 16;
      target[ttlAt + 2] = ttl >>> 8;
      target[ttlAt + 3] = ttl;
    }
  }

  /**
   * Whether the found entry, asked for more than once and in the last tenth of its life, should be fetched anew now;
   * says so once.
   */
  wantsRefresh(now: number): boolean {
    const e = this.found >> 2;
    const words = this.#words;
    const flags = words[e + FLAGS]!;
    if (!this.prefetches) return false;
    const left = words[e + EXPIRES_AT]! - now;
    const life = words[e + EXPIRES_AT]! - words[e + STORED_AT]!;
    if (left * 10 > life || (flags & (AUTHORITATIVE | REFRESHING | FAILURE)) !== 0) return false;
    if (!this.#table.isPopular(this.found)) return false;
    words[e + FLAGS] = flags | REFRESHING;
    return true;
  }

  /** Notes that the found, stale entry could not be fetched anew: until then it is answered without another try. */
  noteFailedRefresh(retryAt: number): void {
    this.#words[(this.found >> 2) + RETRY_AT] = retryAt;
  }

  /** Whether the found, stale entry is to be answered without another try (RFC 8767 §5). */
  failedLately(now: number): boolean {
    return this.#words[(this.found >> 2) + RETRY_AT]! > now;
  }

  /** Forgets everything, or every name that is `name` (lower-cased wire form) or below it. Returns how many entries went. */
  flush(name?: Uint8Array): number {
    return this.#table.flush(name);
  }

  /** Whether an entry is from a zone that has changed since. */
  #isOutdated(entry: number): boolean {
    const e = entry >> 2;
    return (this.#words[e + FLAGS]! & AUTHORITATIVE) !== 0 && this.#words[e + VERSION] !== this.zonesVersion;
  }
}
