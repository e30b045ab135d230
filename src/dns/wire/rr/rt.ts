import { TYPE } from '../types.ts';
import { name, type RRType, uint } from './field.ts';

/** RT: route through (RFC 1183 §3.3). */
export const rt: RRType = {
  type: TYPE.RT,
  fields: [uint(2, 'the preference'), name('the host')],
  canonicalNames: true,
};
