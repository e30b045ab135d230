import { TYPE } from '../types.ts';
import { type RRType, strings } from './field.ts';

/** TXT: text (RFC 1035 §3.3.14). */
export const txt: RRType = {
  type: TYPE.TXT,
  fields: [strings('the text')],
};
