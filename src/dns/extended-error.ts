/** Extended DNS errors that we send (RFC 8914 §4). */
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
