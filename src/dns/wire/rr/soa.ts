import { TYPE } from '../types.ts';
import { name, type RRType, seconds, uint } from './field.ts';

/** SOA: start of authority (RFC 1035 §3.3.13). */
export const soa: RRType = {
  type: TYPE.SOA,
  fields: [
    name('MNAME'),
    name('RNAME'),
    uint(4, 'SERIAL'),
    seconds('REFRESH'),
    seconds('RETRY'),
    seconds('EXPIRE'),
    seconds('MINIMUM'),
  ],
  canonicalNames: true,
};
