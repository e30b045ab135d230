/**
 * Where names stand in the rdata of the types whose names may arrive compressed: those of RFC 1035, and those RFC 3597
 * §4 adds for receivers. Only the former may be compressed when sent. Every other type's rdata is opaque to a message.
 */
import { WireError } from '../../core/errors.ts';
import { concatBytes, copyBytes } from './bytes.ts';
import { parseName } from './name.ts';
import { TYPE, typeToText } from './types.ts';

/** Layout of such rdata: `prefix` octets, `strings` character-strings, `names` names, then `tail` octets (-1: any). */
export interface RdataNames {
  readonly prefix: number;
  readonly strings: number;
  readonly names: number;
  readonly tail: number;
  readonly compressed: boolean;
}

const one = { prefix: 0, strings: 0, names: 1, tail: 0, compressed: true };

const layouts = new Map<number, RdataNames>([
  [TYPE.NS, one],
  [TYPE.MD, one],
  [TYPE.MF, one],
  [TYPE.CNAME, one],
  [TYPE.SOA, { ...one, names: 2, tail: 20 }],
  [TYPE.MB, one],
  [TYPE.MG, one],
  [TYPE.MR, one],
  [TYPE.PTR, one],
  [TYPE.MINFO, { ...one, names: 2 }],
  [TYPE.MX, { ...one, prefix: 2 }],
  [TYPE.RP, { ...one, names: 2, compressed: false }],
  [TYPE.AFSDB, { ...one, prefix: 2, compressed: false }],
  [TYPE.RT, { ...one, prefix: 2, compressed: false }],
  [TYPE.SIG, { ...one, prefix: 18, tail: -1, compressed: false }],
  [TYPE.PX, { ...one, prefix: 2, names: 2, compressed: false }],
  [TYPE.NXT, { ...one, tail: -1, compressed: false }],
  [TYPE.SRV, { ...one, prefix: 6, compressed: false }],
  [TYPE.NAPTR, { ...one, prefix: 4, strings: 3, compressed: false }],
]);

/** The layout of a type that has such names, or undefined. */
export function rdataNames(type: number): RdataNames | undefined {
  return layouts.get(type);
}

/** Offset of the first name in the rdata, or -1 when the fields before it run past `end`. */
export function firstNameOffset(layout: RdataNames, bytes: Uint8Array, offset: number, end: number): number {
  let at = offset + layout.prefix;
  for (let i = 0; i < layout.strings; i++) {
    if (at >= end) return -1;
    at += bytes[at]! + 1;
  }
  return at > end ? -1 : at;
}

/**
 * The rdata of a received record with its names uncompressed. Empty rdata stays empty: UPDATE has such records (RFC 2136 §2.4).
 * @throws {WireError}
 */
export function expandRdata(type: number, message: Uint8Array, offset: number, end: number): Uint8Array {
  const layout = layouts.get(type);
  if (layout === undefined || offset === end) return copyBytes(message, offset, end);
  let at = firstNameOffset(layout, message, offset, end);
  if (at < 0) throw badRdata(type);
  const parts = [copyBytes(message, offset, at)];
  for (let i = 0; i < layout.names; i++) {
    const { name, next } = parseName(message, at, end);
    parts.push(name);
    at = next;
  }
  if (layout.tail >= 0 && end - at !== layout.tail) throw badRdata(type);
  parts.push(copyBytes(message, at, end));
  return concatBytes(parts);
}

function badRdata(type: number): WireError {
  return new WireError('V6_DNS_RDATA', `a ${typeToText(type)} record with rdata that is none`);
}

/** Where the rdata of a type has a name whose addresses a client will want next (RFC 1034 §4.3.2 step 6); -1: nowhere. */
export function targetOffset(type: number): number {
  switch (type) {
    case TYPE.NS:
      return 0;
    case TYPE.MX:
    case TYPE.SVCB:
    case TYPE.HTTPS:
      return 2;
    case TYPE.SRV:
      return 6;
    default:
      return -1;
  }
}
