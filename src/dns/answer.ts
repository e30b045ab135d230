/** Authoritative answers (RFC 1034 §4.3.2 with wildcards by RFC 4592, DNAME by RFC 6672, negatives by RFC 2308). */
import { EDE, extendedErrorOptions } from './extended-error.ts';
import type { OwnedRRset, RRset } from './snapshot.ts';
import { concatBytes, readUint16 } from './wire/bytes.ts';
import type { EdnsOption, MessageWriter, ResourceRecord } from './wire/message.ts';
import { equalNames, isSubdomainKey, MAX_NAME, type Name, type NameKey, nameKey, parentKey } from './wire/name.ts';
import { MAX_UDP_SIZE, type Query } from './wire/query.ts';
import { targetOffset } from './wire/rdata-names.ts';
import { CLASS, FLAG, RCODE, SECTION, TYPE } from './wire/types.ts';
import { findSet, type Zone, type ZoneNode, type ZoneTable } from './zone.ts';

/** How often an answer follows CNAME and DNAME: longer chains (and loops) end there. */
const MAX_CHAIN = 12;
const OPT_LENGTH = 11;
/** At most so many names get their addresses into the additional section. */
const MAX_ADDITIONAL_NAMES = 16;

export interface AnswerOptions {
  /** Octets the reply may have. */
  readonly limit: number;
  /** Whether the client may have queries forwarded (RA). */
  readonly recursionAvailable: boolean;
  /** Whether the client gets its answer from elsewhere where we are not the ones to give it. */
  readonly forwards?: boolean;
  /** The name that the one asked for is an alias of without standing in a zone (RFC 6147 §5.3.1): that one is looked up. */
  readonly alias?: Name | undefined;
  /** Options of the reply's OPT record, if it has one. */
  readonly edns?: readonly EdnsOption[];
}

/** An answer from our zones. */
export interface ZoneAnswer {
  /** The reply: a view into the writer's buffer. */
  readonly bytes: Uint8Array;
  readonly rcode: number;
  /** Where a chain of aliases left our zones: for a client that wants recursion, the answer goes on there. */
  readonly target: Name | undefined;
  /** The records of the chain up to `target`, if there is one. */
  readonly chain: readonly ResourceRecord[];
  /** A hash of what made the name that was asked for: a wildcard's name, or a DNAME's; 0: it is there itself, or not at all. */
  readonly pattern: number;
  /** Whether it says for want of the parent zone what the child knows of DS: nothing. Who wants recursion is told otherwise. */
  readonly childOnly: boolean;
}

/**
 * Answers a plain query of class IN from our zones; undefined when none of them has the name, or what is asked for belongs to
 * a parent zone that is not ours, and the client gets it from elsewhere.
 */
export function answerFromZone(
  zones: ZoneTable,
  query: Query,
  options: AnswerOptions,
  writer: MessageWriter,
): ZoneAnswer | undefined {
  if (query.class !== CLASS.IN) return undefined;
  const { alias, edns = [], forwards = false } = options;
  const key = alias === undefined ? query.key : nameKey(alias);
  const zone = zoneFor(zones, key, query.type, forwards);
  if (zone === undefined) return undefined;
  beginReply(writer, query, options.limit, edns);
  const answer = new Answer(zones, query.type, forwards, writer);
  if (alias !== undefined) answer.follow(query.name, ALIAS_TTL, alias);
  answer.resolve(zone, alias ?? query.name, key);
  let flags = options.recursionAvailable ? FLAG.RA : 0;
  if (answer.authoritative) flags |= FLAG.AA;
  if (answer.truncated) flags |= FLAG.TC;
  const error = answer.rcode === RCODE.SERVFAIL ? EDE.INVALID_DATA : EDE.NONE;
  const bytes = endReply(writer, query, flags, answer.rcode, [...edns, ...extendedErrorOptions(error)]);
  const target = answer.truncated ? undefined : answer.target;
  const { rcode, chain, pattern, childOnly } = answer;
  return { bytes, rcode, target, chain, pattern, childOnly };
}

/** A reply that has a rcode and nothing else: the question (if one could be read) and OPT, with the extended error, echoed. */
export function errorReply(
  query: Query,
  rcode: number,
  recursionAvailable: boolean,
  writer: MessageWriter,
  error: number = EDE.NONE,
): Uint8Array {
  beginReply(writer, query, MAX_UDP_SIZE);
  return endReply(writer, query, recursionAvailable ? FLAG.RA : 0, rcode, extendedErrorOptions(error));
}

function beginReply(writer: MessageWriter, query: Query, limit: number, edns: readonly EdnsOption[] = []): void {
  writer.begin(limit);
  if (query.hasEdns) writer.reserve(edns.reduce((sum, { data }) => sum + 4 + data.length, OPT_LENGTH));
  // The question goes back in its own case (RFC 4343 §4.1; clients use it against spoofing), and owners point to it.
  if (query.questionEnd > 0) writer.question(query.name, query.type, query.class);
}

function endReply(
  writer: MessageWriter,
  query: Query,
  flags: number,
  rcode: number,
  edns: readonly EdnsOption[],
): Uint8Array {
  // Without OPT there is no place for the upper bits (RFC 6891 §6.1.3).
  if (query.hasEdns) {
    writer.reserve(0);
    writer.opt(MAX_UDP_SIZE, rcode, 0, query.dnssecOk, edns);
  }
  const copied = query.flags & (FLAG.RD | FLAG.CD);
  writer.header(query.id, FLAG.QR | copied | flags, query.opcode, rcode);
  return writer.finish();
}

/**
 * The zone that answers: for DS at a zone's apex it is the parent (RFC 4035 §3.1.4.1). Without that the child says that it has
 * none, as all servers did before DS was known, but not to a client that gets the parent's word by recursion: then no zone.
 */
function zoneFor(zones: ZoneTable, key: NameKey, type: number, forwards: boolean): Zone | undefined {
  const zone = zones.find(key);
  const parent = type === TYPE.DS && zone?.key === key ? parentKey(key) : undefined;
  if (parent === undefined) return zone;
  return zones.find(parent) ?? (forwards ? undefined : zone);
}

/** Whether DS at this name is a matter of a zone that is not ours, although what lies below the name is. */
export function isParentElsewhere(zones: ZoneTable, key: NameKey): boolean {
  const parent = zones.get(key) === undefined ? undefined : parentKey(key);
  return parent !== undefined && zones.find(parent) === undefined;
}

/** TTL of an alias that is made up. */
const ALIAS_TTL = 600;

/** One answer in the making. */
class Answer {
  rcode: number = RCODE.NOERROR;
  authoritative = true;
  truncated = false;
  target: Name | undefined;
  pattern = 0;
  childOnly = false;
  readonly chain: ResourceRecord[] = [];
  readonly #zones: ZoneTable;
  readonly #type: number;
  readonly #forwards: boolean;
  readonly #writer: MessageWriter;

  constructor(zones: ZoneTable, type: number, forwards: boolean, writer: MessageWriter) {
    this.#zones = zones;
    this.#type = type;
    this.#forwards = forwards;
    this.#writer = writer;
  }

  /** RFC 1034 §4.3.2 from step 2 on, once for every name of a chain. */
  resolve(first: Zone, name: Name, key: NameKey): void {
    let zone: Zone | undefined = first;
    for (let step = 0; ; step++) {
      const next: Name | undefined = this.#step(zone, name, key);
      if (next === undefined || this.truncated || step === MAX_CHAIN) return;
      name = next;
      key = nameKey(next);
      zone = zoneFor(this.#zones, key, this.#type, this.#forwards);
      if (zone === undefined) {
        this.target = next;
        return;
      }
    }
  }

  /** Answers for one name; returns the name an alias points to, to go on with. */
  #step(zone: Zone, name: Name, key: NameKey): Name | undefined {
    if (this.#type === TYPE.DS && zone.key === key) this.childOnly = isParentElsewhere(this.#zones, key);
    if (zone.unavailable) {
      this.rcode = RCODE.SERVFAIL;
      this.authoritative = false;
      return undefined;
    }
    const end = findEnd(zone, key, this.#type);
    if (end !== undefined) return end.rrset.type === TYPE.NS ? this.#refer(zone, end) : this.#substitute(name, end);
    let node = zone.node(key);
    if (node === undefined) {
      node = findWildcard(zone, key);
      if (node !== undefined) this.#madeBy(node.sets[0]?.owner ?? zone.name);
    }
    if (node === undefined) {
      // A zone of ours that the parent does not delegate exists all the same: NXDOMAIN would deny all of it (RFC 8020 §2).
      if (this.#type !== TYPE.DS || this.#zones.get(key) === undefined) this.rcode = RCODE.NXDOMAIN;
      return this.#negative(zone);
    }
    const found = this.#type === TYPE.ANY ? node.sets[0] : findSet(node, this.#type);
    if (found !== undefined) return this.#positive(name, found.rrset);
    const alias = findSet(node, TYPE.CNAME);
    if (alias === undefined) return this.#negative(zone);
    return this.follow(name, alias.rrset.ttl, alias.rrset.rdata[0]!);
  }

  #madeBy(owner: Name): void {
    if (this.pattern !== 0) return;
    let hash = 0;
    for (const octet of owner) hash = Math.imul(hash ^ (octet | 0x20), 0x9e3779b1);
    this.pattern = hash | 1;
  }

  /** ANY gets one RRset (RFC 8482 §4.1): clients that want all are few, and reflectors many. */
  #positive(name: Name, set: RRset): undefined {
    const { type, ttl, rdata } = set;
    if (!this.#writer.rrset(SECTION.ANSWER, name, type, CLASS.IN, ttl, rdata)) {
      this.truncated = true;
      return;
    }
    const offset = targetOffset(type);
    if (offset >= 0) this.#addAddresses(name, set, offset);
  }

  #negative(zone: Zone): undefined {
    const { set, negativeTtl } = zone.soa;
    if (!this.#writer.rrset(SECTION.AUTHORITY, set.owner, TYPE.SOA, CLASS.IN, negativeTtl, set.rrset.rdata)) {
      this.truncated = true;
    }
  }

  /** Writes an alias; returns the name it leads to, if it fits. A chain that comes back to it is an error (RFC 1034 §3.6.2). */
  follow(name: Name, ttl: number, target: Name): Name | undefined {
    if (this.chain.some((record) => record.type === TYPE.CNAME && equalNames(record.name, name))) {
      this.rcode = RCODE.SERVFAIL;
      return undefined;
    }
    if (!this.#writer.record(SECTION.ANSWER, name, TYPE.CNAME, CLASS.IN, ttl, target)) {
      this.truncated = true;
      return undefined;
    }
    this.chain.push({ name, type: TYPE.CNAME, class: CLASS.IN, ttl, rdata: target });
    return target;
  }

  /** RFC 6672 §3.2: the DNAME, and a CNAME made of it. */
  #substitute(name: Name, dname: OwnedRRset): Name | undefined {
    const { ttl, rdata } = dname.rrset;
    this.#madeBy(dname.owner);
    // A chain may come by the same one twice.
    if (!this.chain.some((record) => record.type === TYPE.DNAME && equalNames(record.name, dname.owner))) {
      if (!this.#writer.rrset(SECTION.ANSWER, dname.owner, TYPE.DNAME, CLASS.IN, ttl, rdata)) {
        this.truncated = true;
        return undefined;
      }
      this.chain.push({ name: dname.owner, type: TYPE.DNAME, class: CLASS.IN, ttl, rdata: rdata[0]! });
    }
    const prefix = name.subarray(0, name.length - dname.owner.length);
    if (prefix.length + rdata[0]!.length > MAX_NAME) {
      this.rcode = RCODE.YXDOMAIN;
      return undefined;
    }
    const next = this.follow(name, ttl, concatBytes([prefix, rdata[0]!]));
    // Who asks for the alias itself has it.
    return this.#type === TYPE.CNAME || this.#type === TYPE.ANY ? undefined : next;
  }

  /** A referral (RFC 1034 §4.3.2 step 3b). Addresses of servers below the cut must not be missing (RFC 9471 §3.1). */
  #refer(zone: Zone, cut: OwnedRRset): undefined {
    // What was found before an alias led here is still authoritative.
    if (this.chain.length === 0) this.authoritative = false;
    const { ttl, rdata } = cut.rrset;
    const cutKey = nameKey(cut.owner);
    if (!this.#writer.rrset(SECTION.AUTHORITY, cut.owner, TYPE.NS, CLASS.IN, ttl, rdata)) {
      this.truncated = true;
      return;
    }
    for (const server of rdata) {
      const key = nameKey(server);
      if (isSubdomainKey(key, cutKey) && !this.#addNode(zone.node(key), server)) this.truncated = true;
    }
  }

  /** Addresses of the names that records point to (RFC 1034 §4.3.2 step 6, RFC 2782, RFC 9460 §4.1): as many as fit. */
  #addAddresses(owner: Name, set: RRset, offset: number): void {
    const seen = new Set<NameKey>();
    for (const rdata of set.rdata) {
      let target = plainName(rdata, offset);
      // RFC 9460 §2.5.2: in ServiceMode "." is the owner itself.
      if (target.length === 1 && set.type !== TYPE.MX && offset === 2 && readUint16(rdata, 0) > 0) target = owner;
      const key = nameKey(target);
      if (seen.has(key) || seen.size === MAX_ADDITIONAL_NAMES) continue;
      seen.add(key);
      const home = this.#zones.find(key);
      if (home === undefined || findEnd(home, key, TYPE.AAAA) !== undefined) continue;
      if (!this.#addNode(home.node(key), target)) return;
    }
  }

  #addNode(node: ZoneNode | undefined, owner: Name): boolean {
    if (node === undefined) return true;
    for (const { rrset } of node.sets) {
      if (rrset.type !== TYPE.AAAA && rrset.type !== TYPE.A) continue;
      if (!this.#writer.rrset(SECTION.ADDITIONAL, owner, rrset.type, CLASS.IN, rrset.ttl, rrset.rdata)) return false;
    }
    return true;
  }
}

/**
 * What ends the zone above a name: the NS records of a cut at or above it, or a DNAME above it, whichever is highest. What is
 * below either does not exist here, whatever an update put there (RFC 2136 §7.18, RFC 6672 §2.4). DS at a cut is the parent's.
 */
function findEnd(zone: Zone, key: NameKey, type: number): OwnedRRset | undefined {
  if (!zone.hasCuts && !zone.hasDnames) return undefined;
  let end: OwnedRRset | undefined;
  for (let at: NameKey = key; ; at = parentKey(at)!) {
    const node = zone.node(at);
    if (node !== undefined) {
      if (at !== key) end = findSet(node, TYPE.DNAME) ?? end;
      if (at !== zone.key && !(type === TYPE.DS && at === key)) end = findSet(node, TYPE.NS) ?? end;
    }
    if (at === zone.key) return end;
  }
}

/** The wildcard below the closest encloser of a name that does not exist (RFC 4592 §3.3.1). */
function findWildcard(zone: Zone, key: NameKey): ZoneNode | undefined {
  let encloser = parentKey(key)!;
  while (zone.node(encloser) === undefined) encloser = parentKey(encloser)!;
  return zone.node(`\x01*${encloser}`);
}

function plainName(rdata: Uint8Array, offset: number): Name {
  let end = offset;
  while (rdata[end]! > 0) end += rdata[end]! + 1;
  return rdata.subarray(offset, end + 1);
}
