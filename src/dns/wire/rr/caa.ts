import { TYPE } from '../types.ts';
import { type Field, type RRType, string, text, uint } from './field.ts';

/** The tag: letters and digits, written without quotes. */
const tag: Field = {
  ...string('the tag'),
  scan(rdata, offset, end) {
    const next = string('the tag').scan(rdata, offset, end);
    return next > offset + 1 && /^[a-z0-9]+$/i.test(ascii(rdata, offset, next)) ? next : -1;
  },
  format: ascii,
};

function ascii(rdata: Uint8Array, offset: number, end: number): string {
  return String.fromCharCode(...rdata.subarray(offset + 1, end));
}

/** CAA: who may issue certificates (RFC 8659 §4.1). */
export const caa: RRType = {
  type: TYPE.CAA,
  fields: [uint(1, 'the flags'), tag, text('the value')],
};
