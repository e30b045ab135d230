import { TYPE } from '../types.ts';
import { dashedHex, type RRType } from './field.ts';

/** EUI64: a 64-bit extended unique identifier (RFC 7043 §4.1). */
export const eui64: RRType = {
  type: TYPE.EUI64,
  fields: [dashedHex(8, 'the identifier')],
};
