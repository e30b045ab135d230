import { TYPE } from '../types.ts';
import { type RRType, string } from './field.ts';

/** HINFO: host information (RFC 1035 §3.3.2). */
export const hinfo: RRType = {
  type: TYPE.HINFO,
  fields: [string('CPU'), string('OS')],
};
