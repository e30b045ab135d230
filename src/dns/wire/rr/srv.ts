import { TYPE } from '../types.ts';
import { name, type RRType, uint } from './field.ts';

/** SRV: where a service is (RFC 2782). */
export const srv: RRType = {
  type: TYPE.SRV,
  fields: [uint(2, 'the priority'), uint(2, 'the weight'), uint(2, 'the port'), name('the target')],
  canonicalNames: true,
};
