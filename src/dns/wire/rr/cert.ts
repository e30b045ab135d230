import { TYPE } from '../types.ts';
import { algorithm, base64, mnemonic, type RRType, uint } from './field.ts';

/** Certificate types (RFC 4398 §2.1). */
const certificateTypes = new Map([
  ['PKIX', 1],
  ['SPKI', 2],
  ['PGP', 3],
  ['IPKIX', 4],
  ['ISPKI', 5],
  ['IPGP', 6],
  ['ACPKIX', 7],
  ['IACPKIX', 8],
  ['URI', 253],
  ['OID', 254],
]);

/** CERT: a certificate (RFC 4398 §2). */
export const cert: RRType = {
  type: TYPE.CERT,
  fields: [mnemonic(2, 'the type', certificateTypes), uint(2, 'the key tag'), algorithm(), base64('the certificate')],
};
