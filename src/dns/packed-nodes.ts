/**
 * The nodes of a large zone in memory that all threads share: some 45 octets for a name with an address, where objects would take
 * ten times that in every thread, and nothing of it concerns the garbage collector. Written once (node-packer.ts), read by any
 * number of threads, never changed.
 *
 *   bytes     of each name that has RRsets its key without the zone's name, ended by 0, then its RRsets:
 *             flags · [owner with its length] · type (1 octet, or 2) · TTL (4) · [number of records (2)] · records with their lengths (2)
 *   index     open addressing: at the hash of a key, or behind it, where in `bytes` the key begins; 0 ends the search. Negative: the
 *             name is there for names below it only, and its key is the end of one of theirs
 *   children  number of nodes directly below, for each place in the index; 255: it is in `many`
 *   many      pairs of a place in the index and a number, sorted
 */
import type { OwnedRRset, RRset } from './snapshot.ts';
import { copyBytes, readUint16, readUint32 } from './wire/bytes.ts';
import { type Name, type NameKey, nameFromKey } from './wire/name.ts';

/** Before an RRset: another one of this name follows. */
export const FLAG_MORE = 1;
/** The owner is not as its key has it: not all in lower case. */
export const FLAG_OWNER = 2;
/** The type has two octets. */
export const FLAG_LONG_TYPE = 4;
/** There are several records. */
export const FLAG_SEVERAL = 8;
/** In `children`. */
export const MANY_CHILDREN = 255;
/** Where the first record begins: 0 is no place, and at 1 there is the end of a key, the apex's while it has no records. */
export const FIRST_RECORD = 2;

/** A name that exists: it has records, or names below it. */
export interface ZoneNode {
  readonly sets: readonly OwnedRRset[];
  /** Nodes directly below. */
  readonly children: number;
}

/** The memory of packed nodes: plain data that structured clone shares between threads. */
export interface PackedData {
  readonly apex: NameKey;
  readonly bytes: Uint8Array;
  readonly index: Int32Array;
  readonly children: Uint8Array;
  readonly many: Int32Array;
  /** Of the hash. */
  readonly seed: number;
  readonly nodes: number;
  readonly sets: number;
  /** Names below the apex that have NS records. */
  readonly cuts: number;
  readonly dnames: number;
}

/** A zone of fewer RRsets is not worth packing. */
export const MIN_PACKED = 2000;

/** Reads packed nodes. What comes back is copied out of the shared memory. */
export class PackedNodes {
  readonly data: PackedData;
  readonly #text: Buffer;
  readonly #apex: Name;
  /** Where the last RRset that was read ended. */
  #at = 0;

  constructor(data: PackedData) {
    this.data = data;
    this.#text = Buffer.from(data.bytes.buffer, data.bytes.byteOffset, data.bytes.length);
    this.#apex = nameFromKey(data.apex);
  }

  get count(): number {
    return this.data.nodes;
  }

  has(key: NameKey): boolean {
    return this.#find(key) >= 0;
  }

  /** The node of a name; undefined if the name does not exist. */
  node(key: NameKey): ZoneNode | undefined {
    const slot = this.#find(key);
    if (slot < 0) return undefined;
    const at = this.data.index[slot]!;
    return { sets: at < 0 ? [] : this.#readSets(at, key.length - this.#apex.length), children: this.#children(slot) };
  }

  /** All names that have records, in the order they were added. */
  *entries(): Generator<readonly [key: NameKey, sets: OwnedRRset[]]> {
    const { bytes, apex } = this.data;
    for (let at = FIRST_RECORD; at < bytes.length; ) {
      const length = keyLength(bytes, at);
      const sets = this.#readSets(at, length);
      // Others may read before the caller goes on.
      const next = this.#at;
      yield [this.#text.toString('latin1', at, at + length) + apex, sets];
      at = next;
    }
  }

  /** Where all names that have records begin in `bytes`, with their keys, in the order they were added. */
  *places(): Generator<readonly [key: NameKey, at: number]> {
    const { bytes, apex } = this.data;
    for (let at = FIRST_RECORD; at < bytes.length; ) {
      const length = keyLength(bytes, at);
      yield [this.#text.toString('latin1', at, at + length) + apex, at];
      at = skipSets(bytes, at + length + 1);
    }
  }

  /** A name's place in the index; -1: it is not there. */
  #find(key: NameKey): number {
    const { index, bytes, seed, apex } = this.data;
    const length = key.length - apex.length;
    if (length < 0) return -1;
    let hash = seed;
    for (let i = 0; i < length; i++) hash = hashStep(hash, key.charCodeAt(i));
    let slot = slotOf(hash, index.length);
    for (; index[slot] !== 0; slot = slot + 1 === index.length ? 0 : slot + 1) {
      const at = Math.abs(index[slot]!);
      let i = 0;
      // A key ends itself: whichever of the two is shorter differs from the other where it ends.
      while (i < length && bytes[at + i] === key.charCodeAt(i)) i++;
      if (i === length && bytes[at + i] === 0) return key.endsWith(apex) ? slot : -1;
    }
    return -1;
  }

  #children(slot: number): number {
    const { children, many } = this.data;
    const few = children[slot]!;
    if (few < MANY_CHILDREN) return few;
    let low = 0;
    for (let high = many.length / 2 - 1; low < high; ) {
      const middle = (low + high) >> 1;
      if (many[2 * middle]! < slot) low = middle + 1;
      else high = middle;
    }
    return many[2 * low + 1]!;
  }

  /** @param length of the key that begins at `from`, without its end */
  #readSets(from: number, length: number): OwnedRRset[] {
    const { bytes } = this.data;
    const sets: OwnedRRset[] = [];
    let at = from + length + 1;
    for (let flags = FLAG_MORE; (flags & FLAG_MORE) !== 0; ) {
      flags = bytes[at++]!;
      let owner: Name;
      if ((flags & FLAG_OWNER) === 0) {
        owner = this.#ownerAt(from, length);
      } else {
        owner = copyBytes(bytes, at + 1, at + 1 + bytes[at]!);
        at += 1 + bytes[at]!;
      }
      let type = bytes[at++]!;
      if ((flags & FLAG_LONG_TYPE) !== 0) type = (type << 8) | bytes[at++]!;
      const ttl = readUint32(bytes, at);
      at += 4;
      let left = 1;
      if ((flags & FLAG_SEVERAL) !== 0) {
        left = readUint16(bytes, at);
        at += 2;
      }
      const rdata: Uint8Array[] = [];
      for (; left > 0; left--) {
        const end = at + 2 + readUint16(bytes, at);
        rdata.push(copyBytes(bytes, at + 2, end));
        at = end;
      }
      const rrset: RRset = { type, ttl, rdata };
      sets.push({ owner, rrset });
    }
    this.#at = at;
    return sets;
  }

  #ownerAt(from: number, length: number): Name {
    const { bytes } = this.data;
    const owner = new Uint8Array(length + this.#apex.length);
    for (let i = 0; i < length; i++) owner[i] = bytes[from + i]!;
    for (let i = length; i < owner.length; i++) owner[i] = this.#apex[i - length]!;
    return owner;
  }
}

/** Length of the key that begins somewhere, without its end. */
export function keyLength(bytes: Uint8Array, from: number): number {
  let at = from;
  while (bytes[at]! > 0) at += bytes[at]! + 1;
  return at - from;
}

/** Where a name's RRsets end. @param saw told of each one's type */
export function skipSets(bytes: Uint8Array, from: number, saw?: (type: number) => void): number {
  let at = from;
  for (let flags = FLAG_MORE; (flags & FLAG_MORE) !== 0; ) {
    flags = bytes[at++]!;
    if ((flags & FLAG_OWNER) !== 0) at += 1 + bytes[at]!;
    let type = bytes[at++]!;
    if ((flags & FLAG_LONG_TYPE) !== 0) type = (type << 8) | bytes[at++]!;
    saw?.(type);
    at += 4;
    let left = 1;
    if ((flags & FLAG_SEVERAL) !== 0) {
      left = readUint16(bytes, at);
      at += 2;
    }
    for (; left > 0; left--) at += 2 + readUint16(bytes, at);
  }
  return at;
}

/** The hash of a key goes through its octets; it begins with the seed. */
export function hashStep(hash: number, octet: number): number {
  const mixed = Math.imul(hash ^ octet, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}

/** Where the search for a key begins in an index of a length. */
export function slotOf(hash: number, length: number): number {
  let mixed = Math.imul(hash, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return Math.floor(((mixed >>> 0) * length) / 2 ** 32);
}
