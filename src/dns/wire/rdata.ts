/** Rdata of any type: validity, text both ways, comparison. Types we do not know are octets (RFC 3597). */
import { ValueError } from '../../core/errors.ts';
import { bytesKey, copyBytes, equalBytes } from './bytes.ts';
import { RdataReader, type Token, tokenize } from './master-text.ts';
import type { Name } from './name.ts';
import { hexFromText, type RRType } from './rr/field.ts';
import { rrTypeOf } from './rr/registry.ts';
import { isDataType, typeToText } from './types.ts';

const MAX_RDATA = 65535;

/** Whether octets are valid rdata of a type, to the last octet, no name in it compressed. */
export function checkRdata(type: number, rdata: Uint8Array): boolean {
  return rdataFault(type, rdata) === undefined;
}

/** What is wrong with rdata, in words; undefined if nothing. */
export function rdataFault(type: number, rdata: Uint8Array): string | undefined {
  if (rdata.length > MAX_RDATA) return 'longer than 65535 octets';
  const known = rrTypeOf(type);
  if (known === undefined) return undefined;
  let at = 0;
  for (const field of known.fields) {
    at = field.scan(rdata, at, rdata.length);
    if (at < 0) return `${field.label} is not valid`;
  }
  return at < rdata.length ? 'octets after the last field' : known.check?.(rdata);
}

/** The canonical form (RFC 4034 §6.2): names in lower case for the types that say so. */
export function canonicalRdata(type: number, rdata: Uint8Array): Uint8Array {
  const known = rrTypeOf(type);
  if (known?.canonicalNames !== true) return rdata;
  const copy = copyBytes(rdata);
  let at = 0;
  for (const field of known.fields) {
    const next = field.scan(rdata, at, rdata.length);
    if (next < 0) return rdata;
    if (field.isName) lowerRange(copy, at, next);
    at = next;
  }
  return copy;
}

/** Whether two records' data are the same: names in it without case where the canonical form has them so. */
export function equalRdata(type: number, a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  if (equalBytes(a, b)) return true;
  return rrTypeOf(type)?.canonicalNames === true && equalBytes(canonicalRdata(type, a), canonicalRdata(type, b));
}

/** A map key for a record's data: equal where `equalRdata` says so. */
export function rdataKey(type: number, rdata: Uint8Array): string {
  return bytesKey(canonicalRdata(type, rdata));
}

/**
 * Reads a record's data from its presentation form or from `\# length hex` (RFC 3597 §5), which every type takes.
 * @throws {ValueError}
 */
export function rdataFromText(type: number, text: string | readonly Token[], origin?: Name): Uint8Array {
  const tokens = typeof text === 'string' ? tokenize(text) : text;
  if (!isDataType(type)) throw new ValueError(`no record has the type ${typeToText(type)}`);
  const reader = new RdataReader(tokens, origin);
  const known = rrTypeOf(type);
  const generic = tokens[0]?.text === '\\#' && !tokens[0].quoted;
  if (known === undefined && !generic) {
    throw new ValueError(`${typeToText(type)} data must be written \\# LENGTH HEX (RFC 3597)`);
  }
  const rdata = generic ? readGeneric(reader) : readFields(known!, reader);
  const fault = rdataFault(type, rdata);
  if (fault !== undefined) throw new ValueError(`${typeToText(type)}: ${fault}`);
  return rdata;
}

/** Writes a record's data the way `rdataFromText` reads it; names are absolute, with the final dot. */
export function rdataToText(type: number, rdata: Uint8Array): string {
  const known = rrTypeOf(type);
  if (known === undefined || !checkRdata(type, rdata))
    return `\\# ${rdata.length} ${Buffer.from(rdata).toString('hex')}`.trimEnd();
  const parts: string[] = [];
  let at = 0;
  for (const field of known.fields) {
    const next = field.scan(rdata, at, rdata.length);
    parts.push(field.format(rdata, at, next));
    at = next;
  }
  return parts.filter((part) => part !== '').join(' ');
}

function readGeneric(reader: RdataReader): Uint8Array {
  reader.token('\\#');
  const length = reader.integer(MAX_RDATA, 'the length');
  const rdata = hexFromText(reader.rest(), 'the data');
  if (rdata.length !== length) throw new ValueError(`the data has ${rdata.length} octets, its length says ${length}`);
  return rdata;
}

function readFields(known: RRType, reader: RdataReader): Uint8Array {
  const out: number[] = [];
  for (const field of known.fields) field.parse(reader, out);
  reader.end();
  return Uint8Array.from(out);
}

function lowerRange(bytes: Uint8Array, from: number, end: number): void {
  for (let i = from; i < end; i++) if (bytes[i]! >= 0x41 && bytes[i]! <= 0x5a) bytes[i]! |= 0x20;
}
