import { TYPE } from '../types.ts';
import { algorithm, base64, type RRType, uint } from './field.ts';

/** CDNSKEY: a DNSKEY the child wants a DS for (RFC 7344 §3.2). */
export const cdnskey: RRType = {
  type: TYPE.CDNSKEY,
  fields: [uint(2, 'the flags'), uint(1, 'the protocol'), algorithm(), base64('the key')],
};
