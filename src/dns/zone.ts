/**
 * Zones in memory: every name that exists is a node, empty non-terminals too (RFC 8020, RFC 4592 §2.2.2), so a lookup is one
 * probe and NODATA and NXDOMAIN are told apart without a search. Changing an RRset costs as many probes as its owner has
 * labels, whatever the zone's size.
 *
 * Nodes of a large zone lie packed in memory that all threads share, and those that have changed since in a map over it. When the
 * map has grown to a part of the whole, the control thread packs anew, in slices: the map is laid aside as `#frozen` meanwhile, and
 * what changes goes into a new one over both.
 */
import { assert } from '../core/errors.ts';
import { NodePacker } from './node-packer.ts';
import { MIN_PACKED, PackedNodes, type ZoneNode } from './packed-nodes.ts';
import { OTHER_ZONES } from './slot-counters.ts';
import type { OwnedRRset, RRset, ZoneChange, ZoneData } from './snapshot.ts';
import { soaTimers } from './soa.ts';
import { readUint32 } from './wire/bytes.ts';
import { isSubdomainKey, type Name, type NameKey, nameKey, parentKey } from './wire/name.ts';
import { TYPE } from './wire/types.ts';

export type { ZoneNode };

/** What the answering of negatives needs of the SOA (RFC 2308 §3, §5). */
export interface ZoneSoa {
  readonly set: OwnedRRset;
  readonly serial: number;
  /** min(TTL of the SOA, its MINIMUM field). */
  readonly negativeTtl: number;
}

interface Node extends ZoneNode {
  sets: OwnedRRset[];
  children: number;
}

/** In the map: a node that what lies below still has. */
const GONE: Node = { sets: [], children: 0 };
/** Packed anew when so many nodes in a hundred have changed. */
const CHANGED_PERCENT = 5;
/** Nodes packed at a time: a millisecond or two. */
const SLICE_NODES = 1000;

/** One zone. */
export class Zone {
  readonly name: Name;
  readonly key: NameKey;
  /** Its slot among the counters of a data thread. */
  slot: number = OTHER_ZONES;
  /** A secondary zone whose data never came or are too old (RFC 1034 §4.3.5): its names are answered with SERVFAIL. */
  readonly unavailable: boolean;
  /** When a zone that is copied expires, wall-clock milliseconds; undefined: it is our own. */
  #expiresAt: number | undefined;
  #nodes = new Map<NameKey, Node>();
  #frozen: Map<NameKey, Node> | undefined;
  #packed: PackedNodes | undefined;
  #soa: ZoneSoa;
  #cuts = 0;
  #dnames = 0;
  #sets = 0;
  /** Resource records, once somebody has asked; changes keep it right. */
  #records: number | undefined;

  /** @throws {V6edgeError} V6_ASSERT: no SOA at the apex, or an owner outside the zone */
  constructor(data: ZoneData) {
    this.name = data.name;
    this.key = nameKey(data.name);
    this.unavailable = data.unavailable === true;
    this.#expiresAt = data.expiresAt;
    if (data.packed === undefined) {
      this.#nodes.set(this.key, { sets: [], children: 0 });
    } else {
      this.#packed = new PackedNodes(data.packed);
      this.#sets = data.packed.sets;
      this.#cuts = data.packed.cuts;
      this.#dnames = data.packed.dnames;
      for (const key of data.replaced ?? []) this.#clear(key);
    }
    for (const { owner, rrset } of data.rrsets) {
      const key = nameKey(owner);
      assert(isSubdomainKey(key, this.key), 'every owner is in its zone');
      assert(rrset.rdata.length > 0, 'an RRset has records');
      this.#set(key, owner, rrset.type, rrset);
    }
    this.#soa = this.#readSoa();
    if (data.packed === undefined && data.rrsets.length >= MIN_PACKED) for (const _ of this.pack());
  }

  /** The SOA record and what is read from it. */
  get soa(): ZoneSoa {
    return this.#soa;
  }

  get serial(): number {
    return this.#soa.serial;
  }

  /** Notes when a zone that is copied expires: wall-clock milliseconds. */
  expires(at: number): void {
    this.#expiresAt = at;
  }

  /** For how many seconds whoever copies the zone may hold it (RFC 7314 §3); undefined: it is not there. @param wall milliseconds */
  secondsLeft(wall: number): number | undefined {
    if (this.unavailable) return undefined;
    const { expire } = soaTimers(this.#soa.set.rrset.rdata[0]!);
    if (this.#expiresAt === undefined) return expire;
    return Math.min(expire, Math.max(0, Math.floor((this.#expiresAt - wall) / 1000)));
  }

  /** How many RRsets the zone has. */
  get size(): number {
    return this.#sets;
  }

  /** How many resource records the zone has; counted when first asked, which takes as long as the zone is large. */
  get records(): number {
    if (this.#records === undefined) {
      let count = 0;
      for (const { rrset } of this.all()) count += rrset.rdata.length;
      this.#records = count;
    }
    return this.#records;
  }

  /** Whether any name below the apex has NS records. */
  get hasCuts(): boolean {
    return this.#cuts > 0;
  }

  /** Whether any name has a DNAME record. */
  get hasDnames(): boolean {
    return this.#dnames > 0;
  }

  /** The node of a name; undefined if the name does not exist. */
  node(owner: NameKey): ZoneNode | undefined {
    const node = this.#nodes.get(owner);
    if (node !== undefined) return node === GONE ? undefined : node;
    return this.#below(owner);
  }

  /** The RRsets of a name. */
  rrsets(owner: NameKey): readonly OwnedRRset[] {
    return this.node(owner)?.sets ?? [];
  }

  /** One RRset of a name. */
  rrset(owner: NameKey, type: number): OwnedRRset | undefined {
    const node = this.node(owner);
    return node === undefined ? undefined : findSet(node, type);
  }

  /** Every RRset as it is now, whatever changes while they are being read: the apex's first, the others not sorted. */
  all(): Iterable<OwnedRRset> {
    const changed = new Map<NameKey, readonly OwnedRRset[]>();
    for (const [key, { sets }] of this.#frozen ?? []) changed.set(key, sets);
    for (const [key, { sets }] of this.#nodes) changed.set(key, [...sets]);
    return allSets(this.key, [...this.rrsets(this.key)], changed, this.#packed);
  }

  /** The zone as plain data, every RRset in it. */
  toData(): ZoneData {
    const data = { name: this.name, rrsets: [...this.all()], ...this.#state };
    return this.unavailable ? { ...data, unavailable: true } : data;
  }

  /** The zone as data for another thread, which shares what is packed. */
  toShared(): ZoneData {
    if (this.#packed === undefined) return this.toData();
    const changed = new Map([...(this.#frozen ?? []), ...this.#nodes]);
    const rrsets = [...changed.values()].flatMap(({ sets }) => sets);
    return { name: this.name, rrsets, packed: this.#packed.data, replaced: [...changed.keys()], ...this.#state };
  }

  get #state(): Pick<ZoneData, 'expiresAt'> {
    return this.#expiresAt === undefined ? {} : { expiresAt: this.#expiresAt };
  }

  /** Whether so much has changed since the zone was packed, if it was, that it should be packed now. */
  get wantsPacking(): boolean {
    if (this.#frozen !== undefined) return false;
    const packed = this.#packed?.count ?? 0;
    return this.#nodes.size >= Math.max(MIN_PACKED, (packed * CHANGED_PERCENT) / 100);
  }

  /** Packs the zone; the caller goes on with the iterator until it ends, and may change the zone in between. */
  *pack(slice = SLICE_NODES): Generator<void> {
    assert(this.#frozen === undefined, 'a zone is packed once at a time');
    const packer = new NodePacker(this.key);
    this.#frozen = this.#nodes;
    this.#nodes = new Map();
    let nodes = 0;
    for (const [key, node] of this.#frozen) {
      if (node.sets.length > 0) packer.add(key, node.sets);
      if (++nodes % slice === 0) yield;
    }
    if (this.#packed !== undefined) {
      for (const [key, at] of this.#packed.places()) {
        if (!this.#frozen.has(key)) packer.addPacked(this.#packed.data.bytes, at);
        if (++nodes % slice === 0) yield;
      }
    }
    this.#packed = new PackedNodes(packer.finish());
    this.#frozen = undefined;
  }

  /**
   * Applies the changes of one transaction: all are checked first, so that it applies whole or throws.
   * @throws {V6edgeError} V6_ASSERT: an owner outside the zone, an SOA gone, an RRset of another type than its change
   */
  apply(changes: readonly ZoneChange[]): void {
    const keys: NameKey[] = [];
    for (const { owner, type, rrset } of changes) {
      const key = nameKey(owner);
      assert(isSubdomainKey(key, this.key), 'every owner is in its zone');
      assert(rrset === undefined || (rrset.type === type && rrset.rdata.length > 0), 'a change is an RRset or none');
      assert(type !== TYPE.SOA || (key === this.key && rrset?.rdata.length === 1), 'a zone keeps its SOA');
      keys.push(key);
    }
    for (let i = 0; i < changes.length; i++) {
      const { owner, type, rrset } = changes[i]!;
      this.#set(keys[i]!, owner, type, rrset);
    }
    this.#soa = this.#readSoa();
  }

  #set(key: NameKey, owner: Name, type: number, rrset: RRset | undefined): void {
    if (rrset === undefined && this.node(key) === undefined) return;
    const node = this.#makeNode(key);
    const at = node.sets.findIndex((set) => set.rrset.type === type);
    if (this.#records !== undefined) {
      this.#records += (rrset?.rdata.length ?? 0) - (node.sets[at]?.rrset.rdata.length ?? 0);
    }
    if (rrset !== undefined) {
      if (at >= 0) node.sets[at] = { owner, rrset };
      else node.sets.push({ owner, rrset });
    } else if (at >= 0) {
      node.sets.splice(at, 1);
    }
    const step = (rrset === undefined ? 0 : 1) - (at >= 0 ? 1 : 0);
    this.#sets += step;
    if (type === TYPE.NS && key !== this.key) this.#cuts += step;
    if (type === TYPE.DNAME) this.#dnames += step;
    this.#dropEmpty(key, node);
  }

  /** What the map lies over has of a name. */
  #below(key: NameKey): ZoneNode | undefined {
    const node = this.#frozen?.get(key);
    if (node !== undefined) return node === GONE ? undefined : node;
    return this.#packed?.node(key);
  }

  /** A name's node in the map, where it may be changed; undefined if the name does not exist. */
  #own(key: NameKey): Node | undefined {
    const own = this.#nodes.get(key);
    if (own !== undefined) return own === GONE ? undefined : own;
    const below = this.#below(key);
    if (below === undefined) return undefined;
    const node = { sets: [...below.sets], children: below.children };
    this.#nodes.set(key, node);
    return node;
  }

  /** The node of a name, made with all that lie between it and the zone's apex. */
  #makeNode(key: NameKey): Node {
    const known = this.#own(key);
    if (known !== undefined) return known;
    this.#makeNode(parentKey(key)!).children++;
    const node = { sets: [], children: 0 };
    this.#nodes.set(key, node);
    return node;
  }

  /** Takes out a node that has nothing left, and its ancestors that were there for its sake only. */
  #dropEmpty(from: NameKey, first: Node): void {
    let key = from;
    let node = first;
    while (node.sets.length === 0 && node.children === 0 && key !== this.key) {
      if (this.#below(key) === undefined) this.#nodes.delete(key);
      else this.#nodes.set(key, GONE);
      key = parentKey(key)!;
      node = this.#own(key)!;
      node.children--;
    }
  }

  /** Takes every RRset of a name out; one that others lie below stays. */
  #clear(key: NameKey): void {
    for (const { owner, rrset } of [...this.rrsets(key)]) this.#set(key, owner, rrset.type, undefined);
  }

  #readSoa(): ZoneSoa {
    const set = this.rrset(this.key, TYPE.SOA);
    assert(set !== undefined && set.rrset.rdata.length === 1, 'a zone has one SOA');
    const rdata = set.rrset.rdata[0]!;
    return {
      set,
      serial: readUint32(rdata, rdata.length - 20),
      negativeTtl: Math.min(set.rrset.ttl, readUint32(rdata, rdata.length - 4)),
    };
  }
}

/** What stands in the place of a zone's data as long as there are none: an SOA that says nothing. */
export function unavailableZone(name: Name): ZoneData {
  const rrset = { type: TYPE.SOA, ttl: 0, rdata: [new Uint8Array(1 + 1 + 5 * 4)] };
  return { name, rrsets: [{ owner: name, rrset }], unavailable: true };
}

function* allSets(
  apex: NameKey,
  first: readonly OwnedRRset[],
  changed: ReadonlyMap<NameKey, readonly OwnedRRset[]>,
  packed: PackedNodes | undefined,
): Generator<OwnedRRset> {
  yield* first;
  for (const [key, sets] of changed) if (key !== apex) yield* sets;
  for (const [key, sets] of packed?.entries() ?? []) if (key !== apex && !changed.has(key)) yield* sets;
}

/** The RRset of a type at a node. */
export function findSet(node: ZoneNode, type: number): OwnedRRset | undefined {
  const { sets } = node;
  for (let i = 0; i < sets.length; i++) if (sets[i]!.rrset.type === type) return sets[i];
  return undefined;
}

/** The zones one server answers for. */
export class ZoneTable {
  readonly #zones = new Map<NameKey, Zone>();
  /** Which lengths the keys of zones have: other suffixes of a name need no probe. */
  readonly #lengths = new Uint16Array(256);

  constructor(zones: Iterable<Zone> = []) {
    for (const zone of zones) this.set(zone);
  }

  get size(): number {
    return this.#zones.size;
  }

  /** Adds a zone, in place of one of the same name. */
  set(zone: Zone): void {
    this.delete(zone.key);
    this.#zones.set(zone.key, zone);
    this.#lengths[zone.key.length]!++;
  }

  /** Takes a zone out. */
  delete(key: NameKey): void {
    if (this.#zones.delete(key)) this.#lengths[key.length]!--;
  }

  /** The zone of exactly this name. */
  get(key: NameKey): Zone | undefined {
    return this.#zones.get(key);
  }

  /** The zone nearest above a name (or of that name). */
  find(key: NameKey): Zone | undefined {
    for (let from = 0; from < key.length; from += key.charCodeAt(from) + 1) {
      if (this.#lengths[key.length - from] === 0) continue;
      const zone = this.#zones.get(from === 0 ? key : key.slice(from));
      if (zone !== undefined) return zone;
    }
    return undefined;
  }

  values(): IterableIterator<Zone> {
    return this.#zones.values();
  }
}
