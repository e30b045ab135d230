import { ValueError } from '../../../core/errors.ts';
import { TYPE } from '../types.ts';
import { type Field, hexFromText, type RRType, string, uint } from './field.ts';

/** A salt: its length and the octets; text has them in hexadecimal, or `-` for none (RFC 5155 §3.3). */
export const salt: Field = {
  ...string('the salt'),
  parse(text, out) {
    const word = text.token('the salt').text;
    const octets = word === '-' ? new Uint8Array(0) : hexFromText(word, 'the salt');
    if (octets.length > 255) throw new ValueError('the salt is longer than 255 octets');
    out.push(octets.length, ...octets);
  },
  format(rdata, offset, end) {
    return end === offset + 1 ? '-' : Buffer.from(rdata.subarray(offset + 1, end)).toString('hex');
  },
};

/** NSEC3PARAM: how a zone's names are hashed (RFC 5155 §4). */
export const nsec3param: RRType = {
  type: TYPE.NSEC3PARAM,
  fields: [uint(1, 'the hash algorithm'), uint(1, 'the flags'), uint(2, 'the iterations'), salt],
};
