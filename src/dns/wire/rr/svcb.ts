/** SVCB: service binding (RFC 9460 §2), and the parameters that HTTPS shares. */
import { formatAddress, parseAddress } from '../../../core/address.ts';
import { ValueError } from '../../../core/errors.ts';
import { concatBytes, readUint16 } from '../bytes.ts';
import { quote, type RdataReader, tokenOctets } from '../master-text.ts';
import { TYPE } from '../types.ts';
import { type Field, name, type RRType, uint } from './field.ts';

/** SvcParamKeys (RFC 9460 §14.3.2, RFC 9461 §5, RFC 9540 §4). */
const keys = ['mandatory', 'alpn', 'no-default-alpn', 'port', 'ipv4hint', 'ech', 'ipv6hint', 'dohpath', 'ohttp'];
const MANDATORY = 0;
const ALPN = 1;
const NO_DEFAULT_ALPN = 2;
const PORT = 3;
const IPV4HINT = 4;
const ECH = 5;
const IPV6HINT = 6;
const OHTTP = 8;

/** SvcParams up to the end: key, length, value; keys strictly increasing (RFC 9460 §2.2). */
const params: Field = {
  label: 'the parameters',
  isName: false,
  scan(rdata, offset, end) {
    let last = -1;
    let at = offset;
    while (at < end) {
      if (at + 4 > end) return -1;
      const key = readUint16(rdata, at);
      const next = at + 4 + readUint16(rdata, at + 2);
      if (key <= last || key === 65535 || next > end || !validParam(key, rdata.subarray(at + 4, next))) return -1;
      last = key;
      at = next;
    }
    return at;
  },
  parse(reader: RdataReader, out) {
    const found = new Map<number, Uint8Array>();
    while (reader.more) {
      const { text } = reader.token('a parameter');
      const [, word, quoted, plain] = /^([a-z0-9-]+)(?:=(?:"(.*)"|(.*)))?$/s.exec(text) ?? [];
      if (word === undefined) throw new ValueError(`"${text}" is no parameter; write key=value`);
      const key = keyFromText(word);
      if (found.has(key)) throw new ValueError(`the parameter ${word} stands twice`);
      found.set(key, valueFromText(key, quoted ?? plain ?? ''));
    }
    for (const [key, value] of [...found].sort((a, b) => a[0] - b[0])) {
      out.push(key >> 8, key & 255, value.length >> 8, value.length & 255, ...value);
    }
  },
  format(rdata, offset, end) {
    const parts: string[] = [];
    for (let at = offset; at < end; at += 4 + readUint16(rdata, at + 2)) {
      const key = readUint16(rdata, at);
      const value = valueToText(key, rdata.subarray(at + 4, at + 4 + readUint16(rdata, at + 2)));
      parts.push(value === '' ? keyToText(key) : `${keyToText(key)}=${value}`);
    }
    return parts.join(' ');
  },
};

/** The fields that SVCB and its like have. */
export const bindingFields: readonly Field[] = [uint(2, 'the priority'), name('the target'), params];

/** SVCB: a service binding (RFC 9460 §2). */
export const svcb: RRType = { type: TYPE.SVCB, fields: bindingFields };

function validParam(key: number, value: Uint8Array): boolean {
  switch (key) {
    case MANDATORY:
      return value.length > 0 && value.length % 2 === 0 && increasing(value);
    case ALPN:
      return value.length > 0 && readList(value) !== undefined;
    case NO_DEFAULT_ALPN:
    case OHTTP:
      return value.length === 0;
    case PORT:
      return value.length === 2;
    case IPV4HINT:
      return value.length > 0 && value.length % 4 === 0;
    case IPV6HINT:
      return value.length > 0 && value.length % 16 === 0;
    default:
      return true;
  }
}

/** RFC 9460 §8: mandatory keys in order, none twice, itself not among them. */
function increasing(value: Uint8Array): boolean {
  let last = MANDATORY;
  for (let at = 0; at < value.length; at += 2) {
    if (readUint16(value, at) <= last) return false;
    last = readUint16(value, at);
  }
  return true;
}

function valueFromText(key: number, text: string): Uint8Array {
  const octets = tokenOctets(text);
  const word = Buffer.from(octets).toString('latin1');
  switch (key) {
    case MANDATORY:
      return Uint8Array.from(
        word
          .split(',')
          .map(keyFromText)
          .sort((a, b) => a - b)
          .flatMap((one) => [one >> 8, one & 255]),
      );
    case ALPN:
      return concatBytes(splitList(octets).map((item) => Uint8Array.from([item.length, ...item])));
    case PORT:
      if (!/^\d{1,5}$/.test(word) || Number(word) > 65535) throw new ValueError(`"${word}" is no port`);
      return Uint8Array.of(Number(word) >> 8, Number(word) & 255);
    case IPV4HINT:
    case IPV6HINT:
      return concatBytes(word.split(',').map((one) => hint(one, key === IPV4HINT ? 4 : 6)));
    case ECH:
      return Uint8Array.from(Buffer.from(word, 'base64'));
    default:
      return octets;
  }
}

function valueToText(key: number, value: Uint8Array): string {
  switch (key) {
    case MANDATORY:
      return chunks(value, 2)
        .map((one) => keyToText(readUint16(one, 0)))
        .join(',');
    case ALPN:
      return quote(joinList(readList(value) ?? []));
    case PORT:
      return String(readUint16(value, 0));
    case IPV4HINT:
      return chunks(value, 4)
        .map((bytes) => formatAddress({ family: 4, bytes }))
        .join(',');
    case IPV6HINT:
      return chunks(value, 16)
        .map((bytes) => formatAddress({ family: 6, bytes }))
        .join(',');
    case ECH:
      return Buffer.from(value).toString('base64');
    default:
      return value.length === 0 ? '' : quote(value);
  }
}

function hint(text: string, family: 4 | 6): Uint8Array {
  const found = parseAddress(text);
  if (found.family !== family || found.zone !== undefined) throw new ValueError(`"${text}" is no IPv${family} address`);
  return found.bytes;
}

function keyFromText(word: string): number {
  const known = keys.indexOf(word);
  if (known >= 0) return known;
  const number = /^key(0|[1-9]\d{0,4})$/.exec(word)?.[1];
  if (number === undefined || Number(number) >= 65535) throw new ValueError(`"${word}" is no parameter of a service`);
  return Number(number);
}

function keyToText(key: number): string {
  return keys[key] ?? `key${key}`;
}

/** Length-prefixed items; undefined when they do not fill the value, or one is empty. */
function readList(value: Uint8Array): Uint8Array[] | undefined {
  const items: Uint8Array[] = [];
  for (let at = 0; at < value.length; at += value[at]! + 1) {
    if (value[at] === 0 || at + 1 + value[at]! > value.length) return undefined;
    items.push(value.subarray(at + 1, at + 1 + value[at]!));
  }
  return items;
}

/** A comma-separated list, `\,` and `\\` inside items (RFC 9460 appendix A.1). */
function splitList(octets: Uint8Array): number[][] {
  const items: number[][] = [[]];
  for (let i = 0; i < octets.length; i++) {
    let octet = octets[i]!;
    if (octet === 0x2c) {
      items.push([]);
      continue;
    }
    if (octet === 0x5c) octet = octets[++i] ?? octet;
    items.at(-1)!.push(octet);
  }
  if (items.some((item) => item.length === 0 || item.length > 255)) {
    throw new ValueError('every item of a list has 1 to 255 octets');
  }
  return items;
}

function joinList(items: readonly Uint8Array[]): Uint8Array {
  const out: number[] = [];
  for (const item of items) {
    if (out.length > 0) out.push(0x2c);
    for (const octet of item) out.push(...(octet === 0x2c || octet === 0x5c ? [0x5c, octet] : [octet]));
  }
  return Uint8Array.from(out);
}

function chunks(value: Uint8Array, size: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < value.length; at += size) found.push(value.slice(at, at + size));
  return found;
}
