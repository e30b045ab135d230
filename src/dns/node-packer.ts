/** Packs the nodes of a zone (packed-nodes.ts has the layout). Nothing but octets and numbers grows with the zone. */
import { assert } from '../core/errors.ts';
import { cryptoRandom } from '../core/random.ts';
import {
  FIRST_RECORD,
  FLAG_LONG_TYPE,
  FLAG_MORE,
  FLAG_OWNER,
  FLAG_SEVERAL,
  hashStep,
  keyLength,
  MANY_CHILDREN,
  type PackedData,
  skipSets,
  slotOf,
} from './packed-nodes.ts';
import type { OwnedRRset } from './snapshot.ts';
import { encodeRRset } from './store-codec.ts';
import { readUint16 } from './wire/bytes.ts';
import { isSubdomainKey, type NameKey } from './wire/name.ts';
import { TYPE } from './wire/types.ts';

/** Offsets are 32-bit; a zone is far from this. */
const MAX_BYTES = 2 ** 31 - 1;
/** Of the places in an index so many stay free that a search is short, whether it finds or not. */
const SLOTS_PER_NODE = 1.5;

/** Packs nodes: every owner is added once, in any order; nodes between them and the apex come by themselves. */
export class NodePacker {
  readonly #apex: NameKey;
  readonly #seed: number;
  #bytes = Buffer.alloc(16 * 1024);
  #end = FIRST_RECORD;
  #index = new Int32Array(1024);
  #children = new Uint32Array(1024);
  #nodes = 0;
  #sets = 0;
  #cuts = 0;
  #dnames = 0;

  /** @param seed of the hash: whoever may choose names must not choose what they collide with */
  constructor(apex: NameKey, seed = cryptoRandom.below(2 ** 32)) {
    this.#apex = apex;
    this.#seed = seed;
    this.#insert(this.#slotFor(FIRST_RECORD - 1), 1 - FIRST_RECORD);
  }

  /** How many RRsets there are so far. */
  get sets(): number {
    return this.#sets;
  }

  /** Adds an owner (the apex, or below it) with its RRsets, one at least. */
  add(key: NameKey, sets: readonly OwnedRRset[]): void {
    this.addEncoded(
      key,
      sets.map(({ owner, rrset }) => encodeRRset(owner, rrset)),
    );
  }

  /** Adds an owner with its RRsets as `encodeRRset` makes them. */
  addEncoded(key: NameKey, sets: readonly Uint8Array[]): void {
    assert(isSubdomainKey(key, this.#apex) && sets.length > 0, 'an owner in the zone that has RRsets');
    const from = this.#end;
    const length = key.length - this.#apex.length;
    let most = length + 1;
    // Flags come in, and the number of records, or more, goes.
    for (const set of sets) most += set.length + 1;
    this.#reserve(most);
    this.#bytes.write(key, from, length, 'latin1');
    this.#bytes[from + length] = 0;
    this.#end += length + 1;
    for (const [i, set] of sets.entries()) this.#addSet(key, set, i + 1 < sets.length ? FLAG_MORE : 0);
    this.#link(from, length);
  }

  /** Adds an owner as it is packed elsewhere: in `bytes` at a place. */
  addPacked(bytes: Uint8Array, at: number): void {
    const length = keyLength(bytes, at);
    const end = skipSets(bytes, at + length + 1, (type) => this.#count(type, length === 0));
    this.#reserve(end - at);
    this.#bytes.set(bytes.subarray(at, end), this.#end);
    const from = this.#end;
    this.#end += end - at;
    this.#link(from, length);
  }

  finish(): PackedData {
    const bytes = new Uint8Array(new SharedArrayBuffer(this.#end));
    bytes.set(this.#bytes.subarray(0, this.#end));
    this.#resize(Math.ceil(this.#nodes * SLOTS_PER_NODE));
    const index = new Int32Array(new SharedArrayBuffer(this.#index.byteLength));
    index.set(this.#index);
    const children = new Uint8Array(new SharedArrayBuffer(index.length));
    const crowded: number[] = [];
    for (let slot = 0; slot < children.length; slot++) {
      const count = this.#children[slot]!;
      children[slot] = Math.min(count, MANY_CHILDREN);
      if (count >= MANY_CHILDREN) crowded.push(slot, count);
    }
    const many = new Int32Array(new SharedArrayBuffer(crowded.length * 4));
    many.set(crowded);
    const memory = { bytes, index, children, many };
    const counts = { nodes: this.#nodes, sets: this.#sets, cuts: this.#cuts, dnames: this.#dnames };
    return { apex: this.#apex, seed: this.#seed, ...memory, ...counts };
  }

  /** Writes an RRset; there is room for it. */
  #addSet(key: NameKey, set: Uint8Array, more: number): void {
    const bytes = this.#bytes;
    const ownerEnd = 1 + set[0]!;
    const type = readUint16(set, ownerEnd);
    const isKey = isKeyAt(key, set, 1);
    const isLong = type > 0xff;
    const isOne = readUint16(set, ownerEnd + 6) === 1;
    bytes[this.#end++] = more | (isKey ? 0 : FLAG_OWNER) | (isLong ? FLAG_LONG_TYPE : 0) | (isOne ? 0 : FLAG_SEVERAL);
    if (!isKey) this.#copy(set, 0, ownerEnd);
    // In network order: without its first octet where that is 0.
    this.#copy(set, ownerEnd + (isLong ? 0 : 1), ownerEnd + 6);
    this.#copy(set, ownerEnd + (isOne ? 8 : 6), set.length);
    this.#count(type, key === this.#apex);
  }

  #copy(source: Uint8Array, from: number, end: number): void {
    for (let i = from; i < end; i++) this.#bytes[this.#end++] = source[i]!;
  }

  #count(type: number, atApex: boolean): void {
    this.#sets++;
    if (type === TYPE.NS && !atApex) this.#cuts++;
    if (type === TYPE.DNAME) this.#dnames++;
  }

  /** Brings an owner into the index, with all that lie between it and the apex. */
  #link(from: number, length: number): void {
    const slot = this.#slotFor(from);
    const known = this.#index[slot]!;
    assert(known <= 0, 'an owner is packed once');
    if (known < 0) {
      this.#index[slot] = from;
      return;
    }
    this.#insert(slot, from);
    for (let at = from; at < from + length; ) {
      at += this.#bytes[at]! + 1;
      const parent = this.#slotFor(at);
      const isThere = this.#index[parent] !== 0;
      this.#children[parent]!++;
      if (isThere) return;
      this.#insert(parent, -at);
    }
  }

  /** Where in the index a key is, or would be, that begins in `bytes` at a place. */
  #slotFor(at: number): number {
    const bytes = this.#bytes;
    const index = this.#index;
    const length = keyLength(bytes, at);
    let hash = this.#seed;
    for (let i = 0; i < length; i++) hash = hashStep(hash, bytes[at + i]!);
    let slot = slotOf(hash, index.length);
    for (; index[slot] !== 0; slot = slot + 1 === index.length ? 0 : slot + 1) {
      const other = Math.abs(index[slot]!);
      let i = 0;
      // With the end of the key.
      while (i <= length && bytes[other + i] === bytes[at + i]) i++;
      if (i > length) return slot;
    }
    return slot;
  }

  #insert(slot: number, value: number): void {
    this.#index[slot] = value;
    this.#nodes++;
    if (this.#nodes * SLOTS_PER_NODE > this.#index.length) this.#resize(this.#index.length * 2);
  }

  #resize(slots: number): void {
    const index = this.#index;
    const children = this.#children;
    this.#index = new Int32Array(slots);
    this.#children = new Uint32Array(slots);
    for (let i = 0; i < index.length; i++) {
      const value = index[i]!;
      if (value === 0) continue;
      const slot = this.#slotFor(Math.abs(value));
      this.#index[slot] = value;
      this.#children[slot] = children[i]!;
    }
  }

  #reserve(length: number): void {
    if (this.#end + length <= this.#bytes.length) return;
    assert(this.#end + length < MAX_BYTES, 'a zone fits into its memory');
    const larger = Buffer.allocUnsafe(Math.min(MAX_BYTES, Math.max(this.#bytes.length * 2, this.#end + length)));
    larger.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = larger;
  }
}

function isKeyAt(key: NameKey, bytes: Uint8Array, from: number): boolean {
  for (let i = 0; i < key.length; i++) if (bytes[from + i] !== key.charCodeAt(i)) return false;
  return true;
}
