import { TYPE } from '../types.ts';
import type { RRType } from './field.ts';
import { bindingFields } from './svcb.ts';

/** HTTPS: SVCB for HTTP origins (RFC 9460 §9). */
export const https: RRType = {
  type: TYPE.HTTPS,
  fields: bindingFields,
};
