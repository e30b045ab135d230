import { TYPE } from '../types.ts';
import { type RRType, typeBitmap, uint } from './field.ts';

/** CSYNC: what the parent should copy (RFC 7477 §2.1). */
export const csync: RRType = {
  type: TYPE.CSYNC,
  fields: [uint(4, 'the serial'), uint(2, 'the flags'), typeBitmap],
};
