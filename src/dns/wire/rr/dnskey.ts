import { TYPE } from '../types.ts';
import { algorithm, base64, type RRType, uint } from './field.ts';

/** DNSKEY: a zone key (RFC 4034 §2.1). */
export const dnskey: RRType = {
  type: TYPE.DNSKEY,
  fields: [uint(2, 'the flags'), uint(1, 'the protocol'), algorithm(), base64('the key')],
};
