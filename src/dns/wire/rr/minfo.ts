import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** MINFO: mailbox information (RFC 1035 §3.3.7). */
export const minfo: RRType = {
  type: TYPE.MINFO,
  fields: [name('RMAILBX'), name('EMAILBX')],
  canonicalNames: true,
};
