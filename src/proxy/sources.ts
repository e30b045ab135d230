/**
 * What each client is up to, over all threads: new connections in a window and sessions at once. An IPv6 client counts as its
 * /64, which is what one subscriber has at least.
 *
 * One table of fixed size in shared memory, so a flood of sources costs no more than a few. A source has a place in one set of
 * eight, found by a keyed hash; a set is worked on under its lock, which makes the counts exact. When a set is full, the
 * source with the fewest connections and no session goes; when all eight have sessions, a ninth is let in uncounted.
 *
 *   seed u32 ×2 · per set: lock i32 · per place: key u32 ×2, window end i32,
 *   count i32, address u32 ×2, listener and family i32, refused i32 · per thread and place: sessions i32
 */
import { formatAddress, formatCidr } from '../core/address.ts';
import type { Random } from '../core/random.ts';
import { hashBytes } from './balance.ts';
import type { AddressSpan } from './wire/header.ts';

const sets = 8192;
const ways = 8;
const places = sets * ways;
const locksAt = 2;
const placesAt = locksAt + sets;
const placeWords = 8;
const sessionsAt = placesAt + places * placeWords;
/** Window ends are kept in tenths of a second, which fit 31 bits for years. */
const tickMs = 100;
/** Tries for a lock, each a few nanoseconds: whoever holds it for longer is a thread that was killed. */
const lockTries = 1_000_000;

/** What a listener allows each source; 0 = no limit. */
export interface SourceLimits {
  readonly perWindow: number;
  readonly windowMs: number;
  readonly atOnce: number;
}

/** A place to give back with `leave`, or one of these. */
export const Verdict = { uncounted: -1, tooFast: -2, tooMany: -3 } as const;

/** Bytes of the shared table for so many threads; pages that are never used take no memory. */
function sourceTableBytes(threads: number): number {
  return (sessionsAt + threads * places) * 4;
}

/** Makes an empty table. Its hash is keyed, so that nobody outside can aim at a set. */
export function newSourceTable(threads: number, random: Random): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(sourceTableBytes(threads));
  const seed = random.fill(new Uint8Array(8));
  new Uint8Array(buffer).set(seed);
  return buffer;
}

/** Takes the sessions of a thread that ended out of the table. */
export function releaseSources(buffer: SharedArrayBuffer, thread: number): void {
  new Int32Array(buffer).fill(0, sessionsAt + thread * places, sessionsAt + (thread + 1) * places);
}

/** The table as one thread uses it. */
export class Sources {
  readonly #words: Int32Array;
  readonly #threads: number;
  readonly #own: number;
  readonly #key = new Uint8Array(4 + 1 + 1 + 8);

  constructor(buffer: SharedArrayBuffer, thread: number) {
    this.#words = new Int32Array(buffer);
    this.#threads = (this.#words.length - sessionsAt) / places;
    this.#own = sessionsAt + thread * places;
  }

  /** Counts a connection to the listener of `slot`. A place to give back when the session ends, or a `Verdict`. */
  enter(slot: number, client: AddressSpan, limits: SourceLimits, nowMs: number): number {
    const words = this.#words;
    const a = this.#hash(words[0]!, slot, client);
    // Never 0, which marks a place as free.
    const b = this.#hash(words[1]!, slot, client) | 1;
    const set = (a >>> 0) % sets;
    const now = Math.floor(nowMs / tickMs) & 0x3fff_ffff;
    this.#lock(set);
    const place = this.#find(set, a, b, now, slot, client);
    const verdict = place < 0 ? Verdict.uncounted : this.#count(place, limits, now);
    this.#unlock(set);
    return verdict;
  }

  /** The session that `enter` gave the place to is over. */
  leave(place: number): void {
    if (place < 0) return;
    // This thread's own column: nobody else writes it, and readers take whole words.
    this.#words[this.#own + place]! -= 1;
  }

  #count(place: number, limits: SourceLimits, now: number): number {
    const words = this.#words;
    const at = placesAt + place * placeWords;
    const window = Math.ceil(limits.windowMs / tickMs);
    // A window that ends too far ahead is from before the clock was set back.
    if (now >= words[at + 2]! || words[at + 2]! > now + window) {
      words[at + 2] = now + window;
      words[at + 3] = 0;
    }
    if (words[at + 3]! < 0x7fff_ffff) words[at + 3]! += 1;
    const tooFast = limits.perWindow > 0 && words[at + 3]! > limits.perWindow;
    if (tooFast || (limits.atOnce > 0 && this.#sessions(place) >= limits.atOnce)) {
      if (words[at + 7]! < 0x7fff_ffff) words[at + 7]! += 1;
      return tooFast ? Verdict.tooFast : Verdict.tooMany;
    }
    words[this.#own + place]! += 1;
    return place;
  }

  /** The source's place, if need be another's; -1 when all of its set are taken by sources with sessions. */
  #find(set: number, a: number, b: number, now: number, slot: number, client: AddressSpan): number {
    const words = this.#words;
    let best = -1;
    let bestCount = 0x7fff_ffff;
    for (let place = set * ways; place < (set + 1) * ways; place++) {
      const at = placesAt + place * placeWords;
      if (words[at] === a && words[at + 1] === b) return place;
      if (words[at + 1] !== 0 && this.#sessions(place) > 0) continue;
      const count = words[at + 1] === 0 ? -1 : now >= words[at + 2]! ? 0 : words[at + 3]!;
      if (count < bestCount) {
        best = place;
        bestCount = count;
      }
    }
    if (best < 0) return -1;
    const at = placesAt + best * placeWords;
    words[at] = a;
    words[at + 1] = b;
    words[at + 2] = 0;
    words[at + 3] = 0;
    words[at + 4] = wordOf(client, 0);
    words[at + 5] = client.family === 4 ? 0 : wordOf(client, 4);
    words[at + 6] = (slot << 4) | client.family;
    words[at + 7] = 0;
    return best;
  }

  #sessions(place: number): number {
    let sum = 0;
    for (let t = 0; t < this.#threads; t++) sum += Atomics.load(this.#words, sessionsAt + t * places + place);
    return sum;
  }

  #hash(seed: number, slot: number, client: AddressSpan): number {
    const key = this.#key;
    key.fill(0);
    key[0] = seed & 0xff;
    key[1] = (seed >>> 8) & 0xff;
    key[2] = (seed >>> 16) & 0xff;
    key[3] = seed >>> 24;
    key[4] = slot & 0xff;
    key[5] = client.family;
    const width = client.family === 4 ? 4 : 8;
    for (let i = 0; i < width; i++) key[6 + i] = client.bytes[client.at + i]!;
    return hashBytes(key) | 0;
  }

  #lock(set: number): void {
    for (let i = 0; i < lockTries; i++) {
      if (Atomics.compareExchange(this.#words, locksAt + set, 0, 1) === 0) return;
    }
  }

  #unlock(set: number): void {
    Atomics.store(this.#words, locksAt + set, 0);
  }
}

function wordOf({ bytes, at }: AddressSpan, from: number): number {
  const i = at + from;
  return (bytes[i]! << 24) | (bytes[i + 1]! << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!;
}

/** A source as the table has it. */
export interface SourceStatus {
  /** The listener's. */
  readonly slot: number;
  /** Its address, or the prefix that stands for it: `192.0.2.1`, `2001:db8::/64`. */
  readonly client: string;
  /** Sessions at this moment. */
  readonly sessions: number;
  /** New connections in the present window; those refused count. */
  readonly connections: number;
  /** Until its window ends and it may be forgotten, unless it has sessions then; milliseconds. */
  readonly expiresMs: number;
  /** Connections refused since it came into the table. */
  readonly refused: number;
}

/**
 * The sources that are not forgotten, those refused most first, then by connections and sessions. Read beside the threads that write:
 * each figure is whole, together they may be of two moments.
 * @param nowMs wall clock
 */
export function listSources(buffer: SharedArrayBuffer, nowMs: number): SourceStatus[] {
  const words = new Int32Array(buffer);
  const threads = (words.length - sessionsAt) / places;
  const now = Math.floor(nowMs / tickMs) & 0x3fff_ffff;
  const found: SourceStatus[] = [];
  for (let place = 0; place < places; place++) {
    const at = placesAt + place * placeWords;
    if (words[at + 1] === 0) continue;
    let sessions = 0;
    for (let t = 0; t < threads; t++) sessions += words[sessionsAt + t * places + place]!;
    const left = Math.max(0, words[at + 2]! - now);
    if (left === 0 && sessions === 0) continue;
    const kind = words[at + 6]!;
    found.push({
      slot: kind >> 4,
      client: clientOf(kind & 0xf, words[at + 4]!, words[at + 5]!),
      sessions,
      connections: left === 0 ? 0 : words[at + 3]!,
      expiresMs: left * tickMs,
      refused: words[at + 7]!,
    });
  }
  return found.sort((a, b) => b.refused - a.refused || b.connections - a.connections || b.sessions - a.sessions);
}

function clientOf(family: number, high: number, low: number): string {
  const bytes = Buffer.alloc(family === 4 ? 4 : 16);
  bytes.writeInt32BE(high, 0);
  if (family === 6) bytes.writeInt32BE(low, 4);
  if (family === 4) return formatAddress({ family, bytes });
  return formatCidr({ base: { family: 6, bytes }, length: 64 });
}
