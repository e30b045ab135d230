import { TYPE } from '../types.ts';
import { base64, type RRType, uint } from './field.ts';

/** CERT: a certificate (RFC 4398 §2). */
export const cert: RRType = {
  type: TYPE.CERT,
  fields: [uint(2, 'the type'), uint(2, 'the key tag'), uint(1, 'the algorithm'), base64('the certificate')],
};
