import { TYPE } from '../types.ts';
import { algorithm, hex, type RRType, uint } from './field.ts';

/** CDS: a DS the child wants; algorithm 0 asks for removal (RFC 7344 §3.1, RFC 8078 §4). */
export const cds: RRType = {
  type: TYPE.CDS,
  fields: [uint(2, 'the key tag'), algorithm(), uint(1, 'the digest type'), hex('the digest')],
};
