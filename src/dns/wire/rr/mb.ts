import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** MB: a mailbox (RFC 1035 §3.3.3). */
export const mb: RRType = {
  type: TYPE.MB,
  fields: [name('the host')],
  canonicalNames: true,
};
