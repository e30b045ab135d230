/**
 * Answers as bytes, found by the bytes of their question.
 *
 * All entries live in one `Ring` of memory (the cache's size is exact, and nothing of it concerns the garbage collector).
 * New entries go in at the head; room is made at the tail, where an entry that was asked for since it was written is
 * written again at the head, one step less deserving (FIFO with reinsertion: a scan through many names pushes out what is
 * never asked twice). A chained hash table of offsets finds them. Names are compared without case (RFC 4343 §3).
 *
 *   entry  words: size · flags · hash · next in chain · question length · message length · TTL count
 *                 stored at · expires at · retry at (from a zone: bucket) · zone version · counter of the zone
 *          message from its header on, its question lower-cased and so at a multiple of four · u16 offsets of its TTLs
 *
 * Times are whole seconds of the monotonic clock.
 */
import type { Random } from '../core/random.ts';
import { Ring, type RingOwner } from './cache-ring.ts';

const ENTRY_WORDS = 12;
const ENTRY_BYTES = ENTRY_WORDS * 4;
const HEADER_BYTES = 12;
const FLAGS = 1;
const HASH = 2;
const NEXT = 3;
const QUESTION_LENGTH = 4;
const MESSAGE_LENGTH = 5;
const TTL_COUNT = 6;
const STORED_AT = 7;
const EXPIRES_AT = 8;
const RETRY_AT = 9;
const VERSION = 10;
const COUNTER = 11;

/** Bits of a key beside the question, and of an entry's flags. */
export const KEY_CD = 1;
export const KEY_DO = 2;
const KEY_MASK = KEY_CD | KEY_DO;
const LIVE = 4;
const AUTHORITATIVE = 8;
const REFRESHING = 16;
const FAILURE = 32;
const USES_SHIFT = 8;
const USES_MASK = 3 << USES_SHIFT;
const ONE_USE = 1 << USES_SHIFT;

const ALIGN = 16;
const MIN_BYTES = 64 * 1024;
const MAX_BYTES = 1024 ** 3;
/** A chain longer than this loses its oldest: whoever finds names of one hash slows nobody down. */
const MAX_CHAIN = 16;
/** The TTL of an answer that is stale (RFC 8767 §4). */
const STALE_TTL = 30;
const LONG_MESSAGE = 512;
/** Of answers that can be made again, one in so many gets a place in a full cache. */
const ADMITTED = 8;

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

export class WireCache implements RingOwner {
  readonly capacity: number;
  /** Seconds an expired entry is kept for want of better. */
  serveStaleSeconds = 0;
  /** Whether popular entries are fetched anew before they expire. */
  prefetches = false;
  /** Version of the zones that authoritative entries must be of. */
  zonesVersion = 0;
  /** The entry the last `lookup` found: its offset in `bytes`. */
  found = -1;
  /** Whether the question that last `lookup` found an answer to is written as the entry has it, in lower case. */
  exact = false;
  readonly bytes: Buffer;
  readonly #ring: Ring;
  readonly #words: Int32Array;
  readonly #buckets: Int32Array;
  readonly #mask: number;
  readonly #seed: number;
  #entries = 0;
  #evicted = 0;
  #refused = 0;

  /** What a cache asked to have `bytes` really has. */
  static capacityFor(bytes: number): number {
    return Math.min(MAX_BYTES, Math.max(MIN_BYTES, bytes)) & ~(ALIGN - 1);
  }

  constructor(capacity: number, random: Random) {
    this.capacity = WireCache.capacityFor(capacity);
    this.#ring = new Ring(this.capacity, this);
    this.bytes = this.#ring.bytes;
    this.#words = this.#ring.words;
    const buckets = 2 ** Math.ceil(Math.log2(this.capacity / 256));
    this.#buckets = new Int32Array(buckets).fill(-1);
    this.#mask = buckets - 1;
    this.#seed = random.below(2 ** 32) | 0;
  }

  get status(): CacheStatus {
    return { entries: this.#entries, bytes: this.#ring.used, capacity: this.capacity, evicted: this.#evicted };
  }

  /** Hash of a question of `length` bytes that begins at word `at`: seeded, and alike for upper and lower case. */
  hash(words: Int32Array | Uint32Array, at: number, length: number): number {
    let hash = this.#seed ^ length;
    const last = at + (length >> 2);
    for (let i = at; i < last; i++) {
      hash = Math.imul(hash ^ (words[i]! | 0x20202020), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const rest = length & 3;
    if (rest !== 0) {
      const mask = (1 << (rest << 3)) - 1;
      hash = Math.imul(hash ^ ((words[last]! | 0x20202020) & mask), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x85ebca6b);
    return hash ^ (hash >>> 13);
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
    const own = this.#words;
    for (let entry = this.#buckets[hash & this.#mask]!; entry >= 0; entry = own[(entry >> 2) + NEXT]!) {
      const e = entry >> 2;
      if (own[e + HASH] !== hash || own[e + QUESTION_LENGTH] !== length) continue;
      const flags = own[e + FLAGS]!;
      if ((flags & KEY_MASK) !== key || !this.#sameQuestion(entry, bytes, words, at, length)) continue;
      this.found = entry;
      if ((flags & USES_MASK) !== USES_MASK) own[e + FLAGS] = flags + ONE_USE;
      if ((flags & AUTHORITATIVE) !== 0) return own[e + VERSION] === this.zonesVersion ? FRESH : MISS;
      const late = now - own[e + EXPIRES_AT]!;
      if (late < 0) return FRESH;
      return late < this.serveStaleSeconds && (flags & FAILURE) === 0 ? STALE : MISS;
    }
    this.found = -1;
    return MISS;
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
    const size = (ENTRY_BYTES + ((message.length + 1) & ~1) + ttlOffsets.length * 2 + ALIGN - 1) & ~(ALIGN - 1);
    if (size > this.capacity >> 4 || message.length < HEADER_BYTES + questionLength) return;
    const entry = this.#ring.allocate(size);
    const words = this.#words;
    const e = entry >> 2;
    const data = entry + ENTRY_BYTES;
    this.bytes.set(message, data);
    for (let i = data + HEADER_BYTES; i < data + HEADER_BYTES + questionLength - 4; i++) {
      const octet = this.bytes[i]!;
      if (octet >= 0x41 && octet <= 0x5a) this.bytes[i] = octet | 0x20;
    }
    let at = data + ((message.length + 1) & ~1);
    for (const offset of ttlOffsets) {
      this.bytes[at++] = offset >> 8;
      this.bytes[at++] = offset;
    }
    const question = data + HEADER_BYTES;
    const hash = this.hash(words, question >> 2, questionLength);
    this.#drop(question, questionLength, hash, key);
    words[e + FLAGS] = LIVE | key | (lifetime.authoritative ? AUTHORITATIVE : 0) | (lifetime.failure ? FAILURE : 0);
    words[e + HASH] = hash;
    words[e + QUESTION_LENGTH] = questionLength;
    words[e + MESSAGE_LENGTH] = message.length;
    words[e + TTL_COUNT] = ttlOffsets.length;
    words[e + STORED_AT] = now;
    words[e + EXPIRES_AT] = now + lifetime.ttl;
    words[e + RETRY_AT] = lifetime.bucket ?? 0;
    words[e + VERSION] = this.zonesVersion;
    words[e + COUNTER] = lifetime.counter ?? 0;
    this.#link(entry);
    this.#entries++;
  }

  /**
   * Whether the answer that the last `lookup` did not find, and that can be made again at little cost, should be inserted. In a
   * full cache few are: to write one in and take another out costs as much as to make it, and where more names are asked
   * for than have room, those that are in stay long enough to be of use.
   */
  admits(): boolean {
    // In the place of its predecessor it belongs.
    if (this.found >= 0 || this.#ring.used < this.capacity - (this.capacity >> 4)) return true;
    this.#refused = (this.#refused + 1) % ADMITTED;
    return this.#refused === 0;
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
    if ((flags & USES_MASK) < 2 * ONE_USE) return false;
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
    let flushed = 0;
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      for (let entry = this.#buckets[bucket]!; entry >= 0; ) {
        const next = this.#words[(entry >> 2) + NEXT]!;
        if (name === undefined || this.#isBelow(entry, name)) {
          this.#remove(entry);
          flushed++;
        }
        entry = next;
      }
    }
    if (name === undefined) this.#ring.clear();
    return flushed;
  }

  #sameQuestion(
    entry: number,
    bytes: Uint8Array,
    words: Int32Array | Uint32Array,
    at: number,
    length: number,
  ): boolean {
    const own = this.#words;
    let mine = (entry + ENTRY_BYTES + HEADER_BYTES) >> 2;
    const whole = length >> 2;
    const first = at >> 2;
    let i = 0;
    while (i < whole && own[mine + i] === (words[first + i]! | 0)) i++;
    if (i === whole) {
      const rest = length & 3;
      if (rest === 0 || ((own[mine + i]! ^ words[first + i]!) & ((1 << (rest << 3)) - 1)) === 0) {
        this.exact = true;
        return true;
      }
    }
    this.exact = false;
    mine <<= 2;
    // Type and class, the last four octets, have no case.
    for (let j = i << 2; j < length; j++) {
      const octet = bytes[at + j]!;
      const lower = octet >= 0x41 && octet <= 0x5a && j < length - 4 ? octet | 0x20 : octet;
      if (this.bytes[mine + j] !== lower) return false;
    }
    return true;
  }

  /** Forgets what is stored for a question that stands, lower-cased, at `question` of `bytes`. */
  #drop(question: number, length: number, hash: number, key: number): void {
    const words = this.#words;
    for (let entry = this.#buckets[hash & this.#mask]!; entry >= 0; entry = words[(entry >> 2) + NEXT]!) {
      const e = entry >> 2;
      if (words[e + HASH] !== hash || words[e + QUESTION_LENGTH] !== length) continue;
      if ((words[e + FLAGS]! & KEY_MASK) !== key) continue;
      if (!this.#sameQuestion(entry, this.bytes, words, question, length)) continue;
      this.#remove(entry);
      return;
    }
  }

  #isBelow(entry: number, name: Uint8Array): boolean {
    const question = entry + ENTRY_BYTES + HEADER_BYTES;
    const end = question + this.#words[(entry >> 2) + QUESTION_LENGTH]! - 4;
    let from = question;
    while (end - from > name.length) from += this.bytes[from]! + 1;
    if (end - from !== name.length) return false;
    for (let i = 0; i < name.length; i++) if (this.bytes[from + i] !== name[i]) return false;
    return true;
  }

  #link(entry: number): void {
    const words = this.#words;
    const e = entry >> 2;
    const bucket = words[e + HASH]! & this.#mask;
    words[e + NEXT] = this.#buckets[bucket]!;
    this.#buckets[bucket] = entry;
    let length = 1;
    for (let at = e; words[at + NEXT]! >= 0; at = words[at + NEXT]! >> 2) {
      if (++length <= MAX_CHAIN) continue;
      this.#remove(words[at + NEXT]!);
      this.#evicted++;
      return;
    }
  }

  #remove(entry: number): void {
    this.#redirect(entry, this.#words[(entry >> 2) + NEXT]!);
    this.#words[(entry >> 2) + FLAGS] = 0;
    this.#entries--;
  }

  /** Makes whoever points at `entry` in its chain point at `target`. */
  #redirect(entry: number, target: number): void {
    const words = this.#words;
    const bucket = words[(entry >> 2) + HASH]! & this.#mask;
    if (this.#buckets[bucket] === entry) {
      this.#buckets[bucket] = target;
      return;
    }
    let at = this.#buckets[bucket]! >> 2;
    while (words[at + NEXT] !== entry) at = words[at + NEXT]! >> 2;
    words[at + NEXT] = target;
  }

  /** What becomes of the oldest entry. */
  keeps(entry: number, mayMove: boolean): boolean {
    const words = this.#words;
    const e = entry >> 2;
    const flags = words[e + FLAGS]!;
    if ((flags & LIVE) === 0) return false;
    const outdated = (flags & AUTHORITATIVE) !== 0 && words[e + VERSION] !== this.zonesVersion;
    if (!mayMove || outdated || (flags & USES_MASK) === 0) {
      this.#remove(entry);
      this.#evicted++;
      return false;
    }
    words[e + FLAGS] = flags - ONE_USE;
    return true;
  }

  /** An entry will be elsewhere. */
  moves(entry: number, target: number): void {
    this.#redirect(entry, target);
  }
}
