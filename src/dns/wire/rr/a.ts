import { TYPE } from '../types.ts';
import { address, type RRType } from './field.ts';

/** A: an IPv4 address (RFC 1035 §3.4.1). */
export const a: RRType = {
  type: TYPE.A,
  fields: [address(4)],
};
