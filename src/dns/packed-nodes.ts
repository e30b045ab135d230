/**
 * The nodes of a large zone in memory that all threads share: some 100 octets a name, where objects would take five times that in
 * every thread, and nothing of it concerns the garbage collector. Written once, read by any number of threads, never changed.
 *
 *   bytes   of each node its key, then (if it has records) u16 number of RRsets · RRsets as the store has them
 *   nodes   three words a node: where its key begins · where its RRsets begin, 0 = it has none · number of nodes directly below
 *   index   open addressing: at the hash of a key, or behind it, the node's number + 1; 0 ends the search
 */
import { assert } from '../core/errors.ts';
import { cryptoRandom } from '../core/random.ts';
import type { OwnedRRset, RRset } from './snapshot.ts';
import { encodeRRset } from './store-codec.ts';
import { copyBytes, readUint16, readUint32 } from './wire/bytes.ts';
import { type NameKey, parentKey } from './wire/name.ts';
import { TYPE } from './wire/types.ts';

const NODE_WORDS = 3;
const KEY = 0;
const SETS = 1;
const CHILDREN = 2;
/** Offsets are 32-bit; a zone is far from this. */
const MAX_BYTES = 2 ** 31 - 1;

/** A name that exists: it has records, or names below it. */
export interface ZoneNode {
  readonly sets: readonly OwnedRRset[];
  /** Nodes directly below. */
  readonly children: number;
}

/** The memory of packed nodes: plain data that structured clone shares between threads. */
export interface PackedData {
  readonly bytes: Uint8Array;
  readonly nodes: Int32Array;
  readonly index: Int32Array;
  readonly seed: number;
  readonly sets: number;
  /** Names below the apex that have NS records. */
  readonly cuts: number;
  readonly dnames: number;
}

/** A zone of fewer RRsets is not worth packing. */
export const MIN_PACKED = 2000;

/** Packs nodes: every owner is added once, in any order; nodes between them and the apex come by themselves. */
export class NodePacker {
  readonly #apex: NameKey;
  readonly #seed: number;
  readonly #numbers = new Map<NameKey, number>();
  #bytes = Buffer.allocUnsafe(64 * 1024);
  #end = 1;
  #nodes = new Int32Array(NODE_WORDS * 1024);
  #sets = 0;
  #cuts = 0;
  #dnames = 0;

  /** @param seed of the hash: whoever may choose names must not choose what they collide with */
  constructor(apex: NameKey, seed = cryptoRandom.below(2 ** 32)) {
    this.#apex = apex;
    this.#seed = seed;
    this.#makeNode(apex);
  }

  /** Adds an owner with its RRsets. */
  add(key: NameKey, sets: readonly OwnedRRset[]): void {
    this.addEncoded(
      key,
      sets.map(({ owner, rrset }) => encodeRRset(owner, rrset)),
    );
  }

  /** Adds an owner (the apex, or below it) with its RRsets as `encodeRRset` makes them. */
  addEncoded(key: NameKey, sets: readonly Uint8Array[]): void {
    const node = this.#makeNode(key) * NODE_WORDS;
    assert(this.#nodes[node + SETS] === 0, 'an owner is packed once');
    if (sets.length === 0) return;
    this.#nodes[node + SETS] = this.#end;
    this.#reserve(2);
    this.#bytes.writeUInt16BE(sets.length, this.#end);
    this.#end += 2;
    for (const set of sets) {
      this.#reserve(set.length);
      this.#bytes.set(set, this.#end);
      this.#end += set.length;
      const type = readUint16(set, 1 + set[0]!);
      if (type === TYPE.NS && key !== this.#apex) this.#cuts++;
      if (type === TYPE.DNAME) this.#dnames++;
    }
    this.#sets += sets.length;
  }

  finish(): PackedData {
    const count = this.#numbers.size;
    const bytes = new Uint8Array(new SharedArrayBuffer(this.#end));
    bytes.set(this.#bytes.subarray(0, this.#end));
    const nodes = new Int32Array(new SharedArrayBuffer(count * NODE_WORDS * 4));
    nodes.set(this.#nodes.subarray(0, count * NODE_WORDS));
    const slots = 2 ** Math.ceil(Math.log2(count * 2));
    const index = new Int32Array(new SharedArrayBuffer(slots * 4));
    for (const [key, number] of this.#numbers) {
      let slot = hashOf(key, this.#seed) & (slots - 1);
      while (index[slot] !== 0) slot = (slot + 1) & (slots - 1);
      index[slot] = number + 1;
    }
    return { bytes, nodes, index, seed: this.#seed, sets: this.#sets, cuts: this.#cuts, dnames: this.#dnames };
  }

  /** The number of a name's node, made with all that lie between it and the apex. */
  #makeNode(key: NameKey): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    if (key !== this.#apex) {
      const parent = this.#makeNode(parentKey(key)!);
      this.#nodes[parent * NODE_WORDS + CHILDREN]!++;
    }
    const number = this.#numbers.size;
    this.#numbers.set(key, number);
    const at = number * NODE_WORDS;
    if (at === this.#nodes.length) {
      const larger = new Int32Array(this.#nodes.length * 2);
      larger.set(this.#nodes);
      this.#nodes = larger;
    }
    this.#reserve(key.length);
    this.#nodes[at + KEY] = this.#end;
    this.#end += this.#bytes.write(key, this.#end, 'latin1');
    return number;
  }

  #reserve(length: number): void {
    if (this.#end + length <= this.#bytes.length) return;
    assert(this.#end + length < MAX_BYTES, 'a zone fits into its memory');
    const larger = Buffer.allocUnsafe(Math.min(MAX_BYTES, Math.max(this.#bytes.length * 2, this.#end + length)));
    larger.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = larger;
  }
}

/** Reads packed nodes. What comes back is copied out of the shared memory. */
export class PackedNodes {
  readonly data: PackedData;
  readonly #text: Buffer;

  constructor(data: PackedData) {
    this.data = data;
    this.#text = Buffer.from(data.bytes.buffer, data.bytes.byteOffset, data.bytes.length);
  }

  get count(): number {
    return this.data.nodes.length / NODE_WORDS;
  }

  has(key: NameKey): boolean {
    return this.#find(key) >= 0;
  }

  /** The node of a name; undefined if the name does not exist. */
  node(key: NameKey): ZoneNode | undefined {
    const node = this.#find(key);
    return node < 0 ? undefined : { sets: this.#readSets(node), children: this.data.nodes[node + CHILDREN]! };
  }

  /** All nodes that have records, in the order they were added. */
  *entries(): Generator<readonly [key: NameKey, sets: OwnedRRset[]]> {
    const { nodes, bytes } = this.data;
    for (let node = 0; node < nodes.length; node += NODE_WORDS) {
      if (nodes[node + SETS] === 0) continue;
      const from = nodes[node + KEY]!;
      let end = from;
      while (bytes[end]! > 0) end += bytes[end]! + 1;
      yield [this.#text.toString('latin1', from, end + 1), this.#readSets(node)];
    }
  }

  /** Where a name's node begins in `nodes`; -1: it is not there. */
  #find(key: NameKey): number {
    const { nodes, index, bytes, seed } = this.data;
    const mask = index.length - 1;
    for (let slot = hashOf(key, seed) & mask; index[slot] !== 0; slot = (slot + 1) & mask) {
      const node = (index[slot]! - 1) * NODE_WORDS;
      const at = nodes[node + KEY]!;
      let i = 0;
      // A name ends itself: whichever of the two is shorter differs from the other where it ends.
      while (i < key.length && bytes[at + i] === key.charCodeAt(i)) i++;
      if (i === key.length) return node;
    }
    return -1;
  }

  #readSets(node: number): OwnedRRset[] {
    const { bytes, nodes } = this.data;
    let at = nodes[node + SETS]!;
    if (at === 0) return [];
    const sets: OwnedRRset[] = [];
    let left = readUint16(bytes, at);
    at += 2;
    for (; left > 0; left--) {
      const ownerEnd = at + 1 + bytes[at]!;
      const owner = copyBytes(bytes, at + 1, ownerEnd);
      const type = readUint16(bytes, ownerEnd);
      const ttl = readUint32(bytes, ownerEnd + 2);
      const rdata: Uint8Array[] = [];
      const records = readUint16(bytes, ownerEnd + 6);
      at = ownerEnd + 8;
      for (let i = 0; i < records; i++) {
        const end = at + 2 + readUint16(bytes, at);
        rdata.push(copyBytes(bytes, at + 2, end));
        at = end;
      }
      const rrset: RRset = { type, ttl, rdata };
      sets.push({ owner, rrset });
    }
    return sets;
  }
}

function hashOf(key: NameKey, seed: number): number {
  let hash = seed;
  for (let i = 0; i < key.length; i++) {
    hash = Math.imul(hash ^ key.charCodeAt(i), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
