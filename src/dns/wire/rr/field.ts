/**
 * Fields of rdata. A type is a list of fields, and what it means to check, read, write and compare its rdata follows from
 * them. `scan` returns the offset after the field, or -1 when what stands there is none.
 */
import { formatAddress, parseAddress } from '../../../core/address.ts';
import { ValueError } from '../../../core/errors.ts';
import { readUint16, readUint32 } from '../bytes.ts';
import { quote, type RdataReader, ttlFromText } from '../master-text.ts';
import { nameToText, scanPlainName } from '../name.ts';
import { isDataType, typeFromText, typeToText } from '../types.ts';

/** DNSSEC algorithms (RFC 4034 appendix A.1 and the IANA registry after it). */
const algorithms = new Map([
  ['RSAMD5', 1],
  ['DH', 2],
  ['DSA', 3],
  ['RSASHA1', 5],
  ['NSEC3DSA', 6],
  ['NSEC3RSASHA1', 7],
  ['RSASHA256', 8],
  ['RSASHA512', 10],
  ['ECDSAP256SHA256', 13],
  ['ECDSAP384SHA384', 14],
  ['ED25519', 15],
  ['ED448', 16],
  ['INDIRECT', 252],
  ['PRIVATEDNS', 253],
  ['PRIVATEOID', 254],
]);

/** One field of rdata. */
export interface Field {
  readonly label: string;
  readonly isName: boolean;
  scan(rdata: Uint8Array, offset: number, end: number): number;
  /** Appends the field read from text. @throws {ValueError} */
  parse(text: RdataReader, out: number[]): void;
  format(rdata: Uint8Array, offset: number, end: number): string;
}

/** A resource record type. */
export interface RRType {
  readonly type: number;
  readonly fields: readonly Field[];
  /** Whether names in its rdata compare without case (RFC 4034 §6.2 lists the types; RFC 3597 §7: no others). */
  readonly canonicalNames?: boolean;
  /** What is wrong with rdata whose fields are sound. */
  check?(rdata: Uint8Array): string | undefined;
}

/** An unsigned integer of 1, 2 or 4 octets. */
export function uint(octets: 1 | 2 | 4, label: string): Field {
  return fixed(
    octets,
    label,
    (text, out) => pushUint(out, text.integer(2 ** (8 * octets) - 1, label), octets),
    (rdata, offset) => String(readUint(rdata, offset, octets)),
  );
}

/** An unsigned integer for which text may have a mnemonic; it is written as a number. */
export function mnemonic(octets: 1 | 2, label: string, names: ReadonlyMap<string, number>): Field {
  const number = uint(octets, label);
  return {
    ...number,
    parse(text, out) {
      const value = names.get(text.peek()?.text.toUpperCase() ?? '');
      if (value === undefined) number.parse(text, out);
      else {
        text.token(label);
        pushUint(out, value, octets);
      }
    },
  };
}

/** A DNSSEC algorithm. */
export function algorithm(): Field {
  return mnemonic(1, 'the algorithm', algorithms);
}

/** Seconds in four octets; text may have units. */
export function seconds(label: string): Field {
  return fixed(
    4,
    label,
    (text, out) => pushUint(out, ttlFromText(text.token(label).text), 4),
    (rdata, offset) => String(readUint32(rdata, offset)),
  );
}

/** An RR type by its mnemonic. */
export function rrType(label: string): Field {
  return fixed(
    2,
    label,
    (text, out) => pushUint(out, typeFromText(text.token(label).text), 2),
    (rdata, offset) => typeToText(readUint16(rdata, offset)),
  );
}

/** An IP address. */
export function address(family: 4 | 6): Field {
  return fixed(
    family === 4 ? 4 : 16,
    'the address',
    (text, out) => {
      const found = parseAddress(text.token('the address').text);
      if (found.family !== family || found.zone !== undefined)
        throw new ValueError(`an IPv${family} address is wanted`);
      out.push(...found.bytes);
    },
    (rdata, offset, end) => formatAddress({ family, bytes: rdata.slice(offset, end) }),
  );
}

/** So many octets as pairs of digits joined by `-` (RFC 7043 §3.2). */
export function dashedHex(octets: number, label: string): Field {
  return fixed(
    octets,
    label,
    (text, out) => {
      const word = text.token(label).text;
      const pairs = word.split('-');
      if (pairs.length !== octets || pairs.some((pair) => !/^[0-9a-f]{2}$/i.test(pair))) {
        throw new ValueError(`${label} is ${octets} pairs of hexadecimal digits, not "${word}"`);
      }
      for (const pair of pairs) out.push(Number.parseInt(pair, 16));
    },
    (rdata, offset, end) =>
      [...rdata.subarray(offset, end)].map((octet) => octet.toString(16).padStart(2, '0')).join('-'),
  );
}

/** Octets of which the type has its own idea. */
export function fixed(
  octets: number,
  label: string,
  parse: (text: RdataReader, out: number[]) => void,
  format: (rdata: Uint8Array, offset: number, end: number) => string,
): Field {
  const scan = (_: Uint8Array, offset: number, end: number) => (offset + octets <= end ? offset + octets : -1);
  return { label, isName: false, scan, parse, format };
}

/** A domain name. */
export function name(label: string): Field {
  return {
    label,
    isName: true,
    scan: scanPlainName,
    parse: (text, out) => void out.push(...text.name(label)),
    format(rdata, offset, end) {
      const text = nameToText(rdata.subarray(offset, end));
      return text === '.' ? text : `${text}.`;
    },
  };
}

/** A character-string: a length and at most 255 octets (RFC 1035 §3.3). */
export function string(label: string): Field {
  return {
    label,
    isName: false,
    scan: scanString,
    parse: (text, out) => pushString(out, text.octets(label), label),
    format: (rdata, offset, end) => quote(rdata.subarray(offset + 1, end)),
  };
}

/** One or more character-strings up to the end. */
export function strings(label: string): Field {
  return {
    label,
    isName: false,
    scan(rdata, offset, end) {
      let at = scanString(rdata, offset, end);
      while (at >= 0 && at < end) at = scanString(rdata, at, end);
      return at;
    },
    parse(text, out) {
      do pushString(out, text.octets(label), label);
      while (text.more);
    },
    format(rdata, offset, end) {
      const parts: string[] = [];
      for (let at = offset; at < end; at += rdata[at]! + 1)
        parts.push(quote(rdata.subarray(at + 1, at + 1 + rdata[at]!)));
      return parts.join(' ');
    },
  };
}

/** Octets up to the end as one quoted text without a length. */
export function text(label: string): Field {
  return rest(
    0,
    label,
    (reader) => reader.octets(label),
    (octets) => quote(octets),
  );
}

/** Octets up to the end, at least `least`, in hexadecimal. */
export function hex(label: string, least = 1): Field {
  return rest(
    least,
    label,
    (reader) => hexFromText(reader.rest(), label),
    (octets) => Buffer.from(octets).toString('hex'),
  );
}

/** Octets up to the end, at least `least`, in base64. */
export function base64(label: string, least = 1): Field {
  return rest(
    least,
    label,
    (reader) => {
      const word = reader.rest();
      if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(word)) {
        throw new ValueError(`${label} is no base64`);
      }
      return Buffer.from(word, 'base64');
    },
    (octets) => Buffer.from(octets).toString('base64'),
  );
}

/** The types at a name as windows of bits, up to the end (RFC 4034 §4.1.2). */
export const typeBitmap: Field = {
  label: 'the types',
  isName: false,
  scan(rdata, offset, end) {
    let last = -1;
    for (let at = offset; at < end; ) {
      const length = rdata[at + 1] ?? 0;
      if (rdata[at]! <= last || length < 1 || length > 32 || at + 2 + length > end || rdata[at + 1 + length] === 0)
        return -1;
      last = rdata[at]!;
      at += 2 + length;
    }
    return end;
  },
  parse(reader, out) {
    const windows = new Map<number, number[]>();
    while (reader.more) {
      const type = typeFromText(reader.token('a type').text);
      if (!isDataType(type)) throw new ValueError(`no record has the type ${typeToText(type)}`);
      const bits = windows.get(type >> 8) ?? [];
      windows.set(type >> 8, bits);
      const octet = (type & 255) >> 3;
      while (bits.length <= octet) bits.push(0);
      bits[octet]! |= 0x80 >> (type & 7);
    }
    for (const [window, bits] of [...windows].sort((a, b) => a[0] - b[0])) out.push(window, bits.length, ...bits);
  },
  format(rdata, offset, end) {
    const types: string[] = [];
    for (let at = offset; at < end; at += 2 + rdata[at + 1]!) {
      for (let bit = 0; bit < rdata[at + 1]! * 8; bit++) {
        if ((rdata[at + 2 + (bit >> 3)]! & (0x80 >> (bit & 7))) !== 0) types.push(typeToText((rdata[at]! << 8) | bit));
      }
    }
    return types.join(' ');
  },
};

/** Hexadecimal digits, an even number of them. @throws {ValueError} */
export function hexFromText(word: string, label: string): Uint8Array {
  if (word.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(word)) throw new ValueError(`${label} is no hexadecimal data`);
  return Uint8Array.from(Buffer.from(word, 'hex'));
}

function rest(
  least: number,
  label: string,
  read: (reader: RdataReader) => Uint8Array,
  write: (octets: Uint8Array) => string,
): Field {
  return {
    label,
    isName: false,
    scan: (_, offset, end) => (end - offset >= least ? end : -1),
    parse(reader, out) {
      const octets = read(reader);
      if (octets.length < least) throw new ValueError(`${label} is missing`);
      for (const octet of octets) out.push(octet);
    },
    format: (rdata, offset, end) => write(rdata.subarray(offset, end)),
  };
}

function scanString(rdata: Uint8Array, offset: number, end: number): number {
  const next = offset < end ? offset + 1 + rdata[offset]! : -1;
  return next > end ? -1 : next;
}

function pushString(out: number[], octets: Uint8Array, label: string): void {
  if (octets.length > 255) throw new ValueError(`${label} is longer than 255 octets: split it into several strings`);
  out.push(octets.length, ...octets);
}

function pushUint(out: number[], value: number, octets: number): void {
  for (let shift = 8 * (octets - 1); shift >= 0; shift -= 8) out.push((value >>> shift) & 255);
}

function readUint(rdata: Uint8Array, offset: number, octets: 1 | 2 | 4): number {
  if (octets === 1) return rdata[offset]!;
  return octets === 2 ? readUint16(rdata, offset) : readUint32(rdata, offset);
}
