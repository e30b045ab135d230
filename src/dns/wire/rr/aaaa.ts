import { TYPE } from '../types.ts';
import { address, type RRType } from './field.ts';

/** AAAA: an IPv6 address (RFC 3596 §2.2). */
export const aaaa: RRType = {
  type: TYPE.AAAA,
  fields: [address(6)],
};
