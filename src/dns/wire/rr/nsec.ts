import { TYPE } from '../types.ts';
import { name, type RRType, typeBitmap } from './field.ts';

/** NSEC: the next name of a signed zone (RFC 4034 §4.1); its name keeps its case (RFC 6840 §5.1). */
export const nsec: RRType = {
  type: TYPE.NSEC,
  fields: [name('the next name'), typeBitmap],
};
