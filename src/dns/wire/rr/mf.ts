import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** MF: a mail forwarder, obsolete (RFC 1035 §3.3.5). */
export const mf: RRType = {
  type: TYPE.MF,
  fields: [name('the host')],
  canonicalNames: true,
};
