import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** DNAME: a subtree moved elsewhere (RFC 6672 §2.1). */
export const dname: RRType = {
  type: TYPE.DNAME,
  fields: [name('the target')],
  canonicalNames: true,
};
