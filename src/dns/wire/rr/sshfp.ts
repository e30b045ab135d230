import { TYPE } from '../types.ts';
import { hex, type RRType, uint } from './field.ts';

/** Fingerprint lengths by type: SHA-1, SHA-256 (RFC 4255 §3.1.2, RFC 6594 §4.1). */
const fingerprintLengths: Record<number, number> = { 1: 20, 2: 32 };

/** SSHFP: an SSH host key fingerprint (RFC 4255 §3.1). */
export const sshfp: RRType = {
  type: TYPE.SSHFP,
  fields: [uint(1, 'the algorithm'), uint(1, 'the fingerprint type'), hex('the fingerprint')],
  check(rdata) {
    const length = fingerprintLengths[rdata[1]!];
    return length === undefined || rdata.length === 2 + length ? undefined : 'the fingerprint has a wrong length';
  },
};
