import { TYPE } from '../types.ts';
import { base64, type RRType } from './field.ts';

/** DHCID: whose DHCP lease the name is (RFC 4701 §3.1): identifier type, digest type, digest. */
export const dhcid: RRType = {
  type: TYPE.DHCID,
  fields: [base64('the identifier', 3)],
};
