import { TYPE } from '../types.ts';
import { name, type RRType } from './field.ts';

/** NS: an authoritative server (RFC 1035 §3.3.11). */
export const ns: RRType = {
  type: TYPE.NS,
  fields: [name('the server')],
  canonicalNames: true,
};
