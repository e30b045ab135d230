import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** MR: a renamed mailbox (RFC 1035 §3.3.8). */
export const mr: RRType = {
  type: TYPE.MR,
  fields: [name('the mailbox')],
  canonicalNames: true,
};
