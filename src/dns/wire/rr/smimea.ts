import { TYPE } from '../types.ts';
import { hex, type RRType, uint } from './field.ts';

/** SMIMEA: an S/MIME certificate association (RFC 8162 §2). */
export const smimea: RRType = {
  type: TYPE.SMIMEA,
  fields: [uint(1, 'the usage'), uint(1, 'the selector'), uint(1, 'the matching type'), hex('the association data')],
};
