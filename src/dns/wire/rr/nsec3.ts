import { ValueError } from '../../../core/errors.ts';
import { TYPE } from '../types.ts';
import { type Field, type RRType, string, typeBitmap, uint } from './field.ts';
import { salt } from './nsec3param.ts';

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUV';

/** A hash with its length, never empty; text has it in base32hex without padding (RFC 5155 §3.3). */
const nextHash: Field = {
  ...string('the next hashed name'),
  scan(rdata, offset, end) {
    const next = string('').scan(rdata, offset, end);
    return next > offset + 1 ? next : -1;
  },
  parse(text, out) {
    const hash = fromBase32hex(text.token('the next hashed name').text);
    out.push(hash.length, ...hash);
  },
  format: (rdata, offset, end) => toBase32hex(rdata.subarray(offset + 1, end)),
};

function fromBase32hex(word: string): number[] {
  const octets: number[] = [];
  let bits = 0;
  let value = 0;
  for (const character of word.toUpperCase()) {
    const digit = digits.indexOf(character);
    if (digit < 0) throw new ValueError(`the next hashed name "${word}" is no base32hex`);
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    octets.push((value >> bits) & 255);
  }
  // What is left over is less than a digit, and zero (RFC 4648 §3.5).
  if (bits >= 5 || (value & ((1 << bits) - 1)) !== 0 || octets.length === 0 || octets.length > 255) {
    throw new ValueError(`the next hashed name "${word}" is not a whole number of octets`);
  }
  return octets;
}

function toBase32hex(octets: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const octet of octets) {
    value = ((value << 8) | octet) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) text += digits[(value >> (bits - 5)) & 31];
  }
  return bits > 0 ? text + digits[(value << (5 - bits)) & 31] : text;
}

/** NSEC3: the next name of a signed zone by hashes (RFC 5155 §3). */
export const nsec3: RRType = {
  type: TYPE.NSEC3,
  fields: [uint(1, 'the hash algorithm'), uint(1, 'the flags'), uint(2, 'the iterations'), salt, nextHash, typeBitmap],
};
