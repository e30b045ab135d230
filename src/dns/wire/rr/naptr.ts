import { TYPE } from '../types.ts';
import { name, type RRType, string, uint } from './field.ts';

/** NAPTR: naming authority pointer (RFC 3403 §4.1). */
export const naptr: RRType = {
  type: TYPE.NAPTR,
  fields: [
    uint(2, 'ORDER'),
    uint(2, 'PREFERENCE'),
    string('FLAGS'),
    string('SERVICES'),
    string('REGEXP'),
    name('REPLACEMENT'),
  ],
  canonicalNames: true,
};
