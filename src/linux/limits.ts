/**
 * Resource limits (getrlimit(2)).
 *
 *   struct rlimit   u64 soft · u64 hard; all bits set = no limit
 */
import { check } from './errors.ts';
import { kernelBuffer, libcCall, orErrno } from './libc.ts';

const RLIMIT_NOFILE = 7;
const rlimitBytes = 8 + 8;
const infinity = 0xffff_ffff_ffff_ffffn;

const getrlimitCall = libcCall<(resource: number, limit: Uint8Array) => number>(
  'int getrlimit(int resource, void *limit)',
);
const setrlimitCall = libcCall<(resource: number, limit: Uint8Array) => number>(
  'int setrlimit(int resource, void *limit)',
);

/** A soft limit, which holds, and the hard one it may be raised to; `Infinity` = none. */
export interface Limit {
  readonly soft: number;
  readonly hard: number;
}

/**
 * How many descriptors this process may have open.
 * @throws {SystemError}
 */
export function fileLimit(): Limit {
  const bytes = kernelBuffer(rlimitBytes);
  check(orErrno(getrlimitCall(RLIMIT_NOFILE, bytes)), 'getrlimit', 'NOFILE');
  return { soft: readLimit(bytes, 0), hard: readLimit(bytes, 8) };
}

/**
 * Sets the limit on open descriptors.
 * @throws {SystemError} code EPERM when `hard` is to grow without the right to, EINVAL when soft > hard
 */
export function setFileLimit(limit: Limit): void {
  const bytes = kernelBuffer(rlimitBytes);
  writeLimit(bytes, 0, limit.soft);
  writeLimit(bytes, 8, limit.hard);
  check(orErrno(setrlimitCall(RLIMIT_NOFILE, bytes)), 'setrlimit', `NOFILE ${limit.soft}`);
}

/**
 * Raises the soft limit on open descriptors to the hard one and returns what holds now: a proxied session takes two
 * descriptors, with its pipes up to six, and the usual soft limit is 1024.
 * @throws {SystemError}
 */
export function raiseFileLimit(): Limit {
  const { soft, hard } = fileLimit();
  if (soft < hard) setFileLimit({ soft: hard, hard });
  return fileLimit();
}

function readLimit(bytes: Buffer, at: number): number {
  const value = bytes.readBigUInt64LE(at);
  return value === infinity ? Number.POSITIVE_INFINITY : Number(value);
}

function writeLimit(bytes: Buffer, at: number, value: number): void {
  bytes.writeBigUInt64LE(value === Number.POSITIVE_INFINITY ? infinity : BigInt(value), at);
}
