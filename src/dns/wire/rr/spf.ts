import { TYPE } from '../types.ts';
import { type RRType, strings } from './field.ts';

/** SPF: as TXT, obsolete (RFC 7208 §3.1). */
export const spf: RRType = {
  type: TYPE.SPF,
  fields: [strings('the text')],
};
