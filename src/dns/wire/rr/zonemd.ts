import { TYPE } from '../types.ts';
import { hex, type RRType, uint } from './field.ts';

/** ZONEMD: a digest of the zone (RFC 8976 §2.2): at least 12 octets of digest. */
export const zonemd: RRType = {
  type: TYPE.ZONEMD,
  fields: [uint(4, 'the serial'), uint(1, 'the scheme'), uint(1, 'the algorithm'), hex('the digest', 12)],
};
