/** Zone files (RFC 1035 §5), in and out. */
import { errorMessage, V6edgeError, ValueError } from '../core/errors.ts';
import type { OwnedRRset, RRset, ZoneData } from './snapshot.ts';
import { compareBytes } from './wire/bytes.ts';
import { type MasterEntry, masterEntries, type Token, ttlFromText } from './wire/master-text.ts';
import {
  compareNames,
  isSubdomainKey,
  type Name,
  type NameKey,
  nameFromText,
  nameKey,
  nameToText,
} from './wire/name.ts';
import { canonicalRdata, equalRdata, rdataFromText, rdataToText } from './wire/rdata.ts';
import { CLASS, classFromText, TYPE, typeFromText, typeToText } from './wire/types.ts';

/** One thing that is wrong with a zone file; line 0 is the file as a whole. */
export interface ZoneFileFault {
  readonly line: number;
  readonly message: string;
}

/** All that is wrong with a zone file. */
export class ZoneFileError extends V6edgeError {
  readonly faults: readonly ZoneFileFault[];

  constructor(faults: readonly ZoneFileFault[]) {
    super('V6_ZONE_FILE', faults.map(({ line, message }) => `line ${line}: ${message}`).join('\n'));
    this.faults = faults;
  }
}

export interface ZoneFileOptions {
  /** The zone's name: the first origin, and every owner must be in it. */
  readonly zone: Name;
  /** TTL of records before the first `$TTL` or TTL in the file. */
  readonly ttlSeconds: number;
}

/** Types that may stand beside a CNAME (RFC 2181 §10.1, RFC 4034 §2.5). */
const besideCname: ReadonlySet<number> = new Set([TYPE.CNAME, TYPE.SIG, TYPE.KEY, TYPE.NXT, TYPE.RRSIG, TYPE.NSEC]);

/**
 * Reads a zone file. Equal records are taken once, an RRset whose records differ in TTL gets the lowest (RFC 2181 §5.2).
 * `$INCLUDE` and `$GENERATE` are not taken.
 * @throws {ZoneFileError} with every fault found
 */
export function readZoneFile(text: string, options: ZoneFileOptions): OwnedRRset[] {
  const reader = new ZoneFileReader(options);
  for (const entry of masterEntries(text)) reader.take(entry);
  return reader.finish();
}

/** Writes a zone: one line a record, absolute names, apex SOA first, then in canonical order; equal zones give equal text. */
export function writeZoneFile(zone: ZoneData): string {
  const sorted = [...zone.rrsets].sort(
    (a, b) => compareNames(a.owner, b.owner) || rank(a.rrset.type) - rank(b.rrset.type),
  );
  let text = '';
  for (const { owner, rrset } of sorted) {
    const { type, ttl } = rrset;
    const rdata = [...rrset.rdata].sort((a, b) => compareBytes(canonicalRdata(type, a), canonicalRdata(type, b)));
    const start = `${absolute(owner)}\t${ttl}\tIN\t${typeToText(type)}\t`;
    for (const one of rdata) text += `${start}${rdataToText(type, one)}\n`;
  }
  return text;
}

interface Growing {
  readonly owner: Name;
  readonly line: number;
  readonly type: number;
  ttl: number;
  readonly rdata: Uint8Array[];
}

/** A file in reading: what entries leave to the ones after them, and the sets so far. */
class ZoneFileReader {
  readonly #zone: Name;
  readonly #zoneKey: NameKey;
  readonly #sets = new Map<NameKey, Map<number, Growing>>();
  readonly #faults: ZoneFileFault[] = [];
  #origin: Name;
  #owner: Name | undefined;
  #ttl: number;
  #ttlDirective = false;

  constructor(options: ZoneFileOptions) {
    this.#zone = options.zone;
    this.#zoneKey = nameKey(options.zone);
    this.#origin = options.zone;
    this.#ttl = options.ttlSeconds;
  }

  /** Takes an entry; what is wrong with it is kept for `finish`. */
  take(entry: MasterEntry): void {
    try {
      if (entry.fault !== undefined) throw new ValueError(entry.fault);
      const first = entry.tokens[0]!;
      if (first.text.startsWith('$') && !first.quoted && !entry.startsBlank) this.#directive(entry.tokens);
      else this.#record(entry);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      this.#faults.push({ line: entry.line, message: errorMessage(error) });
    }
  }

  /** @throws {ZoneFileError} */
  finish(): OwnedRRset[] {
    const found: OwnedRRset[] = [];
    for (const sets of this.#sets.values()) {
      this.#checkNode(sets);
      for (const { owner, type, ttl, rdata } of sets.values()) found.push({ owner, rrset: { type, ttl, rdata } });
    }
    if (this.#faults.length > 0) throw new ZoneFileError(this.#faults.sort((a, b) => a.line - b.line));
    return found;
  }

  #directive(tokens: readonly Token[]): void {
    const word = tokens[0]!.text.toUpperCase();
    if (word !== '$ORIGIN' && word !== '$TTL')
      throw new ValueError(`${tokens[0]!.text} is not taken in zone files here`);
    if (tokens.length !== 2) throw new ValueError(`${word} takes one value`);
    if (word === '$ORIGIN') this.#origin = this.#name(tokens[1]!.text);
    else {
      this.#ttl = ttlFromText(tokens[1]!.text);
      this.#ttlDirective = true;
    }
  }

  #record(entry: MasterEntry): void {
    const { tokens } = entry;
    let at = 0;
    if (!entry.startsBlank) this.#owner = this.#name(tokens[at++]!.text);
    const owner = this.#owner;
    if (owner === undefined) throw new ValueError('the first record has no owner');
    let ttl: number | undefined;
    let cls: number | undefined;
    // TTL and class may both be left out, and stand in either order (RFC 1035 §5.1).
    for (; at < tokens.length; at++) {
      const { text } = tokens[at]!;
      if (cls === undefined && /^(IN|CH|HS|NONE|ANY|CLASS\d+)$/i.test(text) && at + 1 < tokens.length)
        cls = classFromText(text);
      else if (ttl === undefined && /^\d/.test(text)) ttl = ttlFromText(text);
      else break;
    }
    const word = tokens[at];
    if (word === undefined) throw new ValueError('a record without a type');
    if ((cls ?? CLASS.IN) !== CLASS.IN) throw new ValueError('only class IN is served');
    if (ttl !== undefined && !this.#ttlDirective) this.#ttl = ttl;
    const type = typeFromText(word.text);
    const rdata = rdataFromText(type, tokens.slice(at + 1), this.#origin);
    this.#add(owner, type, ttl ?? this.#ttl, rdata, entry.line);
  }

  #add(owner: Name, type: number, ttl: number, rdata: Uint8Array, line: number): void {
    const key = nameKey(owner);
    if (!isSubdomainKey(key, this.#zoneKey)) {
      throw new ValueError(`${nameToText(owner)} is not in the zone ${nameToText(this.#zone)}`);
    }
    if (type === TYPE.SOA && key !== this.#zoneKey)
      throw new ValueError("an SOA record stands at the zone's name only");
    let sets = this.#sets.get(key);
    if (sets === undefined) {
      sets = new Map();
      this.#sets.set(key, sets);
    }
    const set = sets.get(type);
    if (set === undefined) {
      sets.set(type, { owner, line, type, ttl, rdata: [rdata] });
      return;
    }
    set.ttl = Math.min(set.ttl, ttl);
    if (set.rdata.some((other) => equalRdata(type, other, rdata))) return;
    if (type === TYPE.SOA || type === TYPE.CNAME || type === TYPE.DNAME) {
      throw new ValueError(`${nameToText(owner)} has two ${typeToText(type)} records`);
    }
    set.rdata.push(rdata);
  }

  /** A CNAME stands alone (RFC 1034 §3.6.2), in the order of the file or against it. */
  #checkNode(sets: ReadonlyMap<number, Growing>): void {
    const cname = sets.get(TYPE.CNAME);
    if (cname === undefined) return;
    for (const { type } of sets.values()) {
      if (besideCname.has(type)) continue;
      const message = `${nameToText(cname.owner)} has a CNAME and ${typeToText(type)} records: a CNAME stands alone`;
      this.#faults.push({ line: cname.line, message });
      return;
    }
  }

  #name(text: string): Name {
    return text === '@' ? this.#origin : nameFromText(text, this.#origin);
  }
}

function rank(type: RRset['type']): number {
  return type === TYPE.SOA ? -1 : type;
}

function absolute(name: Name): string {
  return name.length === 1 ? '.' : `${nameToText(name)}.`;
}
