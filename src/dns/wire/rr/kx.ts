import { TYPE } from '../types.ts';
import { name, type RRType, uint } from './field.ts';

/** KX: a key exchanger (RFC 2230 §3.1). */
export const kx: RRType = {
  type: TYPE.KX,
  fields: [uint(2, 'PREFERENCE'), name('EXCHANGER')],
  canonicalNames: true,
};
