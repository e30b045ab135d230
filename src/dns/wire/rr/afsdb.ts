import { TYPE } from '../types.ts';
import { name, type RRType, uint } from './field.ts';

/** AFSDB: an AFS cell database (RFC 1183 §1). */
export const afsdb: RRType = {
  type: TYPE.AFSDB,
  fields: [uint(2, 'the subtype'), name('the host')],
  canonicalNames: true,
};
