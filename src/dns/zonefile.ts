/** Zone files (RFC 1035 §5), in and out. */
import { dirname, resolve } from 'node:path';
import { errorMessage, V6edgeError, ValueError } from '../core/errors.ts';
import type { OwnedRRset, RRset, ZoneData } from './snapshot.ts';
import { compareBytes } from './wire/bytes.ts';
import { type MasterEntry, masterEntries, type Token, tokenize, ttlFromText } from './wire/master-text.ts';
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
import { parseRange, substitute } from './zonefile-generate.ts';

/** One thing that is wrong with a zone file; line 0 is the file as a whole. */
export interface ZoneFileFault {
  /** Of a file that was included; undefined: the zone file itself. */
  readonly file: string | undefined;
  readonly line: number;
  readonly message: string;
}

/** Faults of a file that are told one by one: the wrong file has as many as it has lines. */
const MAX_TOLD = 50;

/** What is wrong with a zone file. */
export class ZoneFileError extends V6edgeError {
  /** The first of them. */
  readonly faults: readonly ZoneFileFault[];
  /** How many more there are. */
  readonly more: number;

  constructor(all: readonly ZoneFileFault[]) {
    const faults = all.slice(0, MAX_TOLD);
    const more = all.length - faults.length;
    super('V6_ZONE_FILE', [...faults.map(faultText), ...(more > 0 ? [`and ${more} more`] : [])].join('\n'));
    this.faults = faults;
    this.more = more;
  }
}

export interface ZoneFileOptions {
  /** The zone's name: the first origin, and every owner must be in it. */
  readonly zone: Name;
  /** TTL of records before the first `$TTL` or TTL in the file. */
  readonly ttlSeconds: number;
  /** Where the text is from: paths of `$INCLUDE` begin at its folder. */
  readonly file?: string;
  /** Reads what `$INCLUDE` names; without it there is no including. What it throws is a fault of the line. */
  readonly readFile?: (path: string) => string;
}

/** Files within files. */
const MAX_DEPTH = 8;
/** Files in all: one that includes others twice, which include others twice, must come to an end. */
const MAX_FILES = 256;

/** Types that may stand beside a CNAME (RFC 2181 §10.1, RFC 4034 §2.5). */
const besideCname: ReadonlySet<number> = new Set([TYPE.CNAME, TYPE.SIG, TYPE.KEY, TYPE.NXT, TYPE.RRSIG, TYPE.NSEC]);

/**
 * Reads a zone file. Equal records are taken once, an RRset whose records differ in TTL gets the lowest (RFC 2181 §5.2).
 * @throws {ZoneFileError}
 */
export function readZoneFile(text: string, options: ZoneFileOptions): OwnedRRset[] {
  const reader = new ZoneFileReader(options);
  reader.read(text);
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
  readonly file: string | undefined;
  readonly line: number;
  readonly type: number;
  ttl: number;
  readonly rdata: Uint8Array[];
}

/** A file in reading: what entries leave to the ones after them, and the sets so far. */
class ZoneFileReader {
  readonly #zone: Name;
  readonly #zoneKey: NameKey;
  readonly #sets = new Map<NameKey, Growing[]>();
  readonly #faults: ZoneFileFault[] = [];
  #origin: Name;
  #owner: Name | undefined;
  #ttl: number;
  #ttlDirective = false;
  readonly #options: ZoneFileOptions;
  /** The file being read, if it is an included one, and how deep. */
  #file: string | undefined;
  #depth = 0;
  #files = 0;

  constructor(options: ZoneFileOptions) {
    this.#options = options;
    this.#zone = options.zone;
    this.#zoneKey = nameKey(options.zone);
    this.#origin = options.zone;
    this.#ttl = options.ttlSeconds;
  }

  /** Takes all of a text; what is wrong with it is kept for `finish`. */
  read(text: string): void {
    for (const entry of masterEntries(text)) this.#take(entry);
  }

  #take(entry: MasterEntry): void {
    try {
      if (entry.fault !== undefined) throw new ValueError(entry.fault);
      const first = entry.tokens[0]!;
      if (first.text.startsWith('$') && !first.quoted && !entry.startsBlank) this.#directive(entry);
      else this.#record(entry);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      this.#faults.push({ file: this.#file, line: entry.line, message: errorMessage(error) });
    }
  }

  /** @throws {ZoneFileError} */
  finish(): OwnedRRset[] {
    const found: OwnedRRset[] = [];
    for (const sets of this.#sets.values()) {
      this.#checkNode(sets);
      for (const { owner, type, ttl, rdata } of sets) found.push({ owner, rrset: { type, ttl, rdata } });
    }
    if (this.#faults.length > 0) throw new ZoneFileError(this.#faults.sort(byPlace));
    return found;
  }

  #directive({ tokens, line }: MasterEntry): void {
    const word = tokens[0]!.text.toUpperCase();
    const value = tokens[1]?.text;
    if (word === '$INCLUDE') {
      this.#include(tokens);
      return;
    }
    if (word === '$GENERATE') {
      this.#generate(tokens, line);
      return;
    }
    if (word !== '$ORIGIN' && word !== '$TTL') throw new ValueError(`there is no ${tokens[0]!.text} in zone files`);
    if (value === undefined || tokens.length !== 2) throw new ValueError(`${word} takes one value`);
    if (word === '$ORIGIN') this.#origin = this.#name(value);
    else {
      this.#ttl = ttlFromText(value);
      this.#ttlDirective = true;
    }
  }

  /** RFC 1035 §5.1: what the file does to the origin and the owner ends with it. */
  #include(tokens: readonly Token[]): void {
    const { readFile, file = '' } = this.#options;
    const [, path, origin, more] = tokens;
    if (path === undefined || more !== undefined)
      throw new ValueError('$INCLUDE takes a file, and an origin if wanted');
    if (readFile === undefined) throw new ValueError('$INCLUDE is not taken here');
    if (this.#depth === MAX_DEPTH) throw new ValueError(`more than ${MAX_DEPTH} files within files: a circle?`);
    if (++this.#files > MAX_FILES) throw new ValueError(`more than ${MAX_FILES} files`);
    const before = { origin: this.#origin, owner: this.#owner, file: this.#file };
    const included = resolve(dirname(before.file ?? file), path.text);
    let text: string;
    try {
      text = readFile(included);
    } catch (cause) {
      throw new ValueError(`$INCLUDE ${included}: ${errorMessage(cause)}`, { cause });
    }
    if (origin !== undefined) this.#origin = this.#name(origin.text);
    this.#file = included;
    this.#depth++;
    this.read(text);
    this.#depth--;
    this.#origin = before.origin;
    this.#owner = before.owner;
    this.#file = before.file;
  }

  /** One line for many: `$GENERATE range owner [TTL] [class] type data`. */
  #generate(tokens: readonly Token[], line: number): void {
    const [, range, ...rest] = tokens;
    if (range === undefined || rest.length < 3)
      throw new ValueError('$GENERATE takes a range, an owner, a type and data');
    const { start, stop, step } = parseRange(range.text);
    // Data of several words stand in quotes that are not the data's own: "10 mx$".
    const last = rest.at(-1)!;
    const parts = last.quoted ? [...rest.slice(0, -1), ...tokenize(last.text.replaceAll('\\"', '"'))] : rest;
    for (let number = start; number <= stop; number += step) {
      this.#record({ line, startsBlank: false, tokens: parts.map((token) => substitute(token, number)) });
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
    const sets = this.#sets.get(key);
    const set = sets?.find((one) => one.type === type);
    if (set === undefined) {
      const made = { owner, file: this.#file, line, type, ttl, rdata: [rdata] };
      if (sets === undefined) this.#sets.set(key, [made]);
      else sets.push(made);
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
  #checkNode(sets: readonly Growing[]): void {
    const cname = sets.find(({ type }) => type === TYPE.CNAME);
    if (cname === undefined) return;
    for (const { type } of sets) {
      if (besideCname.has(type)) continue;
      const message = `${nameToText(cname.owner)} has a CNAME and ${typeToText(type)} records: a CNAME stands alone`;
      this.#faults.push({ file: cname.file, line: cname.line, message });
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

function faultText({ file, line, message }: ZoneFileFault): string {
  return `${file === undefined ? '' : `${file}: `}line ${line}: ${message}`;
}

/** Those of the zone file itself first, then file by file. */
function byPlace(a: ZoneFileFault, b: ZoneFileFault): number {
  const [one, other] = [a.file ?? '', b.file ?? ''];
  if (one === other) return a.line - b.line;
  return one < other ? -1 : 1;
}
