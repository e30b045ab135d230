import { TYPE } from '../types.ts';
import { type RRType, text, uint } from './field.ts';

/** URI: a URI of a service (RFC 7553 §4.5). */
export const uri: RRType = {
  type: TYPE.URI,
  fields: [uint(2, 'the priority'), uint(2, 'the weight'), text('the target')],
  check: (rdata) => (rdata.length > 4 ? undefined : 'the target is empty'),
};
