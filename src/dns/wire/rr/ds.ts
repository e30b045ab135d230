import { TYPE } from '../types.ts';
import { algorithm, hex, type RRType, uint } from './field.ts';

/** Digest lengths by type: SHA-1, SHA-256, SHA-384 (RFC 4034 §5.1.3, RFC 4509 §2.2, RFC 6605 §2). */
const digestLengths: Record<number, number> = { 1: 20, 2: 32, 4: 48 };

/** DS: delegation signer (RFC 4034 §5.1). */
export const ds: RRType = {
  type: TYPE.DS,
  fields: [uint(2, 'the key tag'), algorithm(), uint(1, 'the digest type'), hex('the digest')],
  check(rdata) {
    const length = digestLengths[rdata[3]!];
    return length === undefined || rdata.length === 4 + length ? undefined : 'the digest has a wrong length';
  },
};
