import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** MG: a mail group member (RFC 1035 §3.3.6). */
export const mg: RRType = {
  type: TYPE.MG,
  fields: [name('the mailbox')],
  canonicalNames: true,
};
