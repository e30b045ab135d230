/** Extended DNS errors that we send (RFC 8914 §4), and which of them goes with a refusal of the control thread. */
import { writeUint16 } from './wire/bytes.ts';
import type { EdnsOption } from './wire/message.ts';
import { RCODE } from './wire/types.ts';

/** RFC 8914 §2. */
export const EXTENDED_ERROR_OPTION = 15;

export const EDE = {
  NONE: -1,
  OTHER: 0,
  STALE_ANSWER: 3,
  CACHED_ERROR: 13,
  NOT_READY: 14,
  BLOCKED: 15,
  PROHIBITED: 18,
  STALE_NXDOMAIN: 19,
  NOT_AUTHORITATIVE: 20,
  NOT_SUPPORTED: 21,
  /** Silence from every upstream. */
  NO_REACHABLE_AUTHORITY: 22,
  /** They could not be reached at all, or answered nothing of use. */
  NETWORK_ERROR: 23,
  /** A secondary zone that never came, or has expired. */
  INVALID_DATA: 24,
} as const;

/** The option that tells an error; none for `EDE.NONE`. */
export function extendedErrorOptions(error: number): EdnsOption[] {
  if (error === EDE.NONE) return [];
  const data = new Uint8Array(2);
  writeUint16(data, 0, error);
  return [{ code: EXTENDED_ERROR_OPTION, data }];
}

/** What stands behind a refusal, unless more is known. */
export function usualError(rcode: number): number {
  switch (rcode) {
    case RCODE.REFUSED:
      return EDE.PROHIBITED;
    case RCODE.NOTAUTH:
      return EDE.NOT_AUTHORITATIVE;
    case RCODE.NOTIMP:
      return EDE.NOT_SUPPORTED;
    case RCODE.SERVFAIL:
      return EDE.OTHER;
    default:
      return EDE.NONE;
  }
}
