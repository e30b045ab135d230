import { TYPE } from '../types.ts';
import { name, type RRType, uint } from './field.ts';

/** PX: X.400 mail mapping (RFC 2163 §4). */
export const px: RRType = {
  type: TYPE.PX,
  fields: [uint(2, 'PREFERENCE'), name('MAP822'), name('MAPX400')],
  canonicalNames: true,
};
