/**
 * The cache's entries, found by the bytes of their question.
 *
 * All live in one `Ring` of memory (its size is exact, and nothing of it concerns the garbage collector). New entries go in at
 * the head; room is made at the tail, where an entry that was asked for since it was written is written again at the head, one
 * step less deserving (FIFO with reinsertion: a scan through many names pushes out what is never asked twice). A chained hash
 * table of offsets finds them. Names are compared without case (RFC 4343 §3).
 *
 *   entry  words: size · flags · hash · next in chain · question length, and what its owner keeps of it up to ENTRY_BYTES
 *          message from its header on, its question lower-cased and so at a multiple of four · what belongs to it
 */
import type { Random } from '../core/random.ts';
import { Ring, type RingOwner } from './cache-ring.ts';

export const ENTRY_WORDS = 12;
export const ENTRY_BYTES = ENTRY_WORDS * 4;
const HEADER_BYTES = 12;
/** Where the question of an entry begins. */
const QUESTION = ENTRY_BYTES + HEADER_BYTES;
export const FLAGS = 1;
const HASH = 2;
const NEXT = 3;
const QUESTION_LENGTH = 4;
/** The first word that is the owner's. */
export const OWN_WORD = 5;

/** Bits of a key beside the question, and of an entry's flags; those from FIRST_OWN_FLAG to USES_SHIFT are the owner's. */
export const KEY_CD = 1;
export const KEY_DO = 2;
const KEY_MASK = KEY_CD | KEY_DO;
const LIVE = 4;
export const FIRST_OWN_FLAG = 8;
const USES_SHIFT = 8;
const USES_MASK = 3 << USES_SHIFT;
const ONE_USE = 1 << USES_SHIFT;

const ALIGN = 16;
const MIN_BYTES = 64 * 1024;
const MAX_BYTES = 1024 ** 3;
/** A chain longer than this loses its oldest: whoever finds names of one hash slows nobody down. */
const MAX_CHAIN = 16;
/** Of entries that can be made again, one in so many gets a place in a full cache. */
const ADMITTED = 8;

export class CacheTable implements RingOwner {
  readonly capacity: number;
  readonly bytes: Buffer;
  readonly words: Int32Array;
  /** Whether the question that the last `find` found is written as the entry has it, in lower case. */
  exact = false;
  readonly #ring: Ring;
  readonly #buckets: Int32Array;
  readonly #mask: number;
  readonly #seed: number;
  readonly #isOutdated: (entry: number) => boolean;
  #entries = 0;
  #evicted = 0;
  #refused = 0;

  /** What a table asked to have `bytes` really has. */
  static capacityFor(bytes: number): number {
    return Math.min(MAX_BYTES, Math.max(MIN_BYTES, bytes)) & ~(ALIGN - 1);
  }

  /** @param isOutdated whether an entry is of no use any more, however often it was asked for */
  constructor(capacity: number, random: Random, isOutdated: (entry: number) => boolean) {
    this.capacity = CacheTable.capacityFor(capacity);
    this.#ring = new Ring(this.capacity, this);
    this.bytes = this.#ring.bytes;
    this.words = this.#ring.words;
    const buckets = 2 ** Math.ceil(Math.log2(this.capacity / 256));
    this.#buckets = new Int32Array(buckets).fill(-1);
    this.#mask = buckets - 1;
    this.#seed = random.below(2 ** 32) | 0;
    this.#isOutdated = isOutdated;
  }

  get entries(): number {
    return this.#entries;
  }

  /** Entries that made room. */
  get evicted(): number {
    return this.#evicted;
  }

  /** Bytes taken. */
  get used(): number {
    return this.#ring.used;
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
   * The entry of the question of `length` bytes at `at` (a multiple of four) in `bytes`, of which `words` is the view: its offset
   * in `this.bytes`, or -1.
   */
  find(
    bytes: Uint8Array,
    words: Int32Array | Uint32Array,
    at: number,
    length: number,
    hash: number,
    key: number,
  ): number {
    const own = this.words;
    for (let entry = this.#buckets[hash & this.#mask]!; entry >= 0; entry = own[(entry >> 2) + NEXT]!) {
      const e = entry >> 2;
      if (own[e + HASH] !== hash || own[e + QUESTION_LENGTH] !== length) continue;
      const flags = own[e + FLAGS]!;
      if ((flags & KEY_MASK) !== key || !this.#sameQuestion(entry, bytes, words, at, length)) continue;
      if ((flags & USES_MASK) !== USES_MASK) own[e + FLAGS] = flags + ONE_USE;
      return entry;
    }
    return -1;
  }

  /**
   * Makes an entry of a message, in place of the one of its question.
   * @param more octets that its owner wants behind it
   * @param flags of the owner
   * @returns its offset, -1 if it is too large; the owner's words are as they happen to be
   */
  put(message: Uint8Array, questionLength: number, more: number, key: number, flags: number): number {
    const size = (ENTRY_BYTES + ((message.length + 1) & ~1) + more + ALIGN - 1) & ~(ALIGN - 1);
    if (size > this.capacity >> 4 || message.length < HEADER_BYTES + questionLength) return -1;
    const entry = this.#ring.allocate(size);
    const { bytes, words } = this;
    const e = entry >> 2;
    bytes.set(message, entry + ENTRY_BYTES);
    const question = entry + QUESTION;
    // Type and class, the last four octets, have no case.
    for (let i = question; i < question + questionLength - 4; i++) {
      const octet = bytes[i]!;
      if (octet >= 0x41 && octet <= 0x5a) bytes[i] = octet | 0x20;
    }
    const hash = this.hash(words, question >> 2, questionLength);
    this.#drop(question, questionLength, hash, key);
    words[e + FLAGS] = LIVE | key | flags;
    words[e + HASH] = hash;
    words[e + QUESTION_LENGTH] = questionLength;
    this.#link(entry);
    this.#entries++;
    return entry;
  }

  /**
   * Whether what can be made again at little cost should be put in. In a full cache little is: to write one in and take another
   * out costs as much as to make it, and where more names are asked for than have room, those that are in stay long enough
   * to be of use.
   * @param replaces whether it has a predecessor: in the place of that it belongs
   */
  admits(replaces: boolean): boolean {
    if (replaces || this.#ring.used < this.capacity - (this.capacity >> 4)) return true;
    this.#refused = (this.#refused + 1) % ADMITTED;
    return this.#refused === 0;
  }

  /** Whether an entry was asked for more than once since it was written. */
  isPopular(entry: number): boolean {
    return (this.words[(entry >> 2) + FLAGS]! & USES_MASK) >= 2 * ONE_USE;
  }

  /** Forgets everything, or every name that is `name` (lower-cased wire form) or below it. Returns how many entries went. */
  flush(name?: Uint8Array): number {
    let flushed = 0;
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      for (let entry = this.#buckets[bucket]!; entry >= 0; ) {
        const next = this.words[(entry >> 2) + NEXT]!;
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

  /** What becomes of the oldest entry. */
  keeps(entry: number, mayMove: boolean): boolean {
    const words = this.words;
    const e = entry >> 2;
    const flags = words[e + FLAGS]!;
    if ((flags & LIVE) === 0) return false;
    if (!mayMove || (flags & USES_MASK) === 0 || this.#isOutdated(entry)) {
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

  #sameQuestion(
    entry: number,
    bytes: Uint8Array,
    words: Int32Array | Uint32Array,
    at: number,
    length: number,
  ): boolean {
    const own = this.words;
    let mine = (entry + QUESTION) >> 2;
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
    const words = this.words;
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
    const question = entry + QUESTION;
    const end = question + this.words[(entry >> 2) + QUESTION_LENGTH]! - 4;
    let from = question;
    while (end - from > name.length) from += this.bytes[from]! + 1;
    if (end - from !== name.length) return false;
    for (let i = 0; i < name.length; i++) if (this.bytes[from + i] !== name[i]) return false;
    return true;
  }

  #link(entry: number): void {
    const words = this.words;
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
    this.#redirect(entry, this.words[(entry >> 2) + NEXT]!);
    this.words[(entry >> 2) + FLAGS] = 0;
    this.#entries--;
  }

  /** Makes whoever points at `entry` in its chain point at `target`. */
  #redirect(entry: number, target: number): void {
    const words = this.words;
    const bucket = words[(entry >> 2) + HASH]! & this.#mask;
    if (this.#buckets[bucket] === entry) {
      this.#buckets[bucket] = target;
      return;
    }
    let at = this.#buckets[bucket]! >> 2;
    while (words[at + NEXT] !== entry) at = words[at + NEXT]! >> 2;
    words[at + NEXT] = target;
  }
}
