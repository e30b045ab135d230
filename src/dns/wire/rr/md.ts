import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** MD: a mail destination, obsolete (RFC 1035 §3.3.4). */
export const md: RRType = {
  type: TYPE.MD,
  fields: [name('the host')],
  canonicalNames: true,
};
