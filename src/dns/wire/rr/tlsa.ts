import { TYPE } from '../types.ts';
import { hex, type RRType, uint } from './field.ts';

/** TLSA: a TLS certificate association (RFC 6698 §2.1). */
export const tlsa: RRType = {
  type: TYPE.TLSA,
  fields: [uint(1, 'the usage'), uint(1, 'the selector'), uint(1, 'the matching type'), hex('the association data')],
};
