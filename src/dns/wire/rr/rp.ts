import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** RP: the responsible person (RFC 1183 §2.2). */
export const rp: RRType = {
  type: TYPE.RP,
  fields: [name('the mailbox'), name('the TXT name')],
  canonicalNames: true,
};
