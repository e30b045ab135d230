import { TYPE } from '../types.ts';
import { name, type RRType, uint } from './field.ts';

/** MX: a mail exchange (RFC 1035 §3.3.9). */
export const mx: RRType = {
  type: TYPE.MX,
  fields: [uint(2, 'PREFERENCE'), name('EXCHANGE')],
  canonicalNames: true,
};
