import { TYPE } from '../types.ts';
import { dashedHex, type RRType } from './field.ts';

/** EUI48: a 48-bit extended unique identifier (RFC 7043 §3.1). */
export const eui48: RRType = {
  type: TYPE.EUI48,
  fields: [dashedHex(6, 'the identifier')],
};
