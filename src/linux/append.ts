/**
 * pwritev2(2) with RWF_NOWAIT: a write at the end that is made at once or not at all, whatever the flags of the open file are,
 * which other processes may share.
 *
 *   struct iovec (16)  0 base · 8 length
 */
import { addressOf, kernelBuffer, libcCall, orErrno } from './libc.ts';
import type { Memory } from './tcp.ts';

const RWF_NOWAIT = 0x08;
/** The file's own position. */
const atPosition = -1;

const pwritev2Call = libcCall<(fd: number, iov: number, count: number, offset: number, flags: number) => number>(
  'int64 pwritev2(int fd, size_t iov, int count, int64 offset, int flags)',
);

const iovecBytes = kernelBuffer(16);
const iovec = new BigUint64Array(iovecBytes.buffer, iovecBytes.byteOffset, 2);
const iovecAddress = Number(addressOf(iovecBytes));

/**
 * Writes the first `length` bytes of `memory` without waiting. Returns how many the kernel took, or -errno: -EAGAIN when it has
 * no room now, -EOPNOTSUPP when it cannot tell for such a file (pipes before Linux 6.5, some file systems).
 */
export function appendNow(fd: number, memory: Memory, length: number): number {
  iovec[0] = BigInt(memory.address);
  iovec[1] = BigInt(length);
  return orErrno(pwritev2Call(fd, iovecAddress, 1, atPosition, RWF_NOWAIT));
}
