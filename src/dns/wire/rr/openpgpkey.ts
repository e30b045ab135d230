import { TYPE } from '../types.ts';
import { base64, type RRType } from './field.ts';

/** OPENPGPKEY: an OpenPGP key (RFC 7929 §2.1). */
export const openpgpkey: RRType = {
  type: TYPE.OPENPGPKEY,
  fields: [base64('the key')],
};
