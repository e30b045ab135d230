import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** CNAME: the canonical name (RFC 1035 §3.3.1). */
export const cname: RRType = {
  type: TYPE.CNAME,
  fields: [name('the canonical name')],
  canonicalNames: true,
};
