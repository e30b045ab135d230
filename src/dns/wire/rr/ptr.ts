import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** PTR: a pointer (RFC 1035 §3.3.12). */
export const ptr: RRType = {
  type: TYPE.PTR,
  fields: [name('the name')],
  canonicalNames: true,
};
