/**
 * The door to libc. Every module of `src/linux/` declares the calls it needs with `libcCall`; nothing outside this
 * folder does. Wrappers return what the call returned, or the negative errno: no exception is made in a packet path.
 *
 * Memory whose address the kernel keeps across calls comes from `kernelBuffer`, never from Node's shared pool, and its
 * owner keeps it referenced.
 */
import koffi from 'koffi';
import { V6edgeError } from '../core/errors.ts';
import { errnoName } from './errors.ts';

export { errnoName };

/** A libc function; arguments and result as declared. */
export type LibcCall = (...args: unknown[]) => number;

if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
  throw new V6edgeError(
    'V6_PLATFORM',
    `v6edge runs on Linux on x86-64 or arm64, not on ${process.platform} ${process.arch}`,
  );
}

const libc = koffi.load('libc.so.6');

/**
 * Declares a libc function by its C prototype. The result is raw: read `errno()` directly after a failed call.
 * @param prototype for example `int listen(int fd, int backlog)`; `int64` results arrive as numbers
 */
export function libcCall<T extends (...args: never[]) => number>(prototype: string): T {
  return libc.func(prototype) as unknown as T;
}

/** errno of the last failed call of this thread: read it before any other call is made. */
export function errno(): number {
  return koffi.errno();
}

/** The result, or the negative errno when it is -1. */
export function orErrno(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

/** Zeroed memory of its own, whose address stays valid as long as the buffer is referenced. */
export function kernelBuffer(bytes: number): Buffer {
  // Buffer.alloc never takes from the shared pool (unlike allocUnsafe and from).
  return Buffer.alloc(bytes);
}

/** The address of a `kernelBuffer`, for structures that point to one another. */
export function addressOf(buffer: Uint8Array): bigint {
  return BigInt(koffi.address(buffer));
}

const closeCall = libcCall<(fd: number) => number>('int close(int fd)');

/** close(2). The descriptor is gone whatever comes back (Linux closes it even on EINTR). Returns 0 or -errno. */
export function closeFd(fd: number): number {
  return orErrno(closeCall(fd));
}

// Declared with its third argument: integers of a variadic call travel like any other on x86-64 and arm64 Linux.
const fcntlCall = libcCall<(fd: number, command: number, argument: number) => number>(
  'int fcntl(int fd, int command, int argument)',
);
const F_DUPFD_CLOEXEC = 1030;

/** Another descriptor, close-on-exec, for what `fd` stands for (fcntl(2), F_DUPFD_CLOEXEC); or -errno. */
export function duplicateFd(fd: number): number {
  return orErrno(fcntlCall(fd, F_DUPFD_CLOEXEC, 0));
}

const setsockoptCall = libcCall<(fd: number, level: number, name: number, value: Uint8Array, length: number) => number>(
  'int setsockopt(int fd, int level, int name, void *value, uint length)',
);
const getsockoptCall = libcCall<
  (fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array) => number
>('int getsockopt(int fd, int level, int name, void *value, void *length)');

const intValue = kernelBuffer(4);
const intLength = kernelBuffer(4);

/** setsockopt(2) with an int. Returns 0 or -errno. */
export function setSocketInt(fd: number, level: number, name: number, value: number): number {
  intValue.writeInt32LE(value, 0);
  return orErrno(setsockoptCall(fd, level, name, intValue, 4));
}

/** setsockopt(2) with a structure. Returns 0 or -errno. */
export function setSocketBytes(fd: number, level: number, name: number, value: Uint8Array): number {
  return orErrno(setsockoptCall(fd, level, name, value, value.length));
}

/** getsockopt(2) of a structure into `value`. Returns the bytes the kernel wrote, or -errno. */
export function getSocketBytes(fd: number, level: number, name: number, value: Uint8Array): number {
  intLength.writeInt32LE(value.length, 0);
  const result = orErrno(getsockoptCall(fd, level, name, value, intLength));
  return result < 0 ? result : intLength.readInt32LE(0);
}

/** getsockopt(2) of an int; NaN when the call fails. */
export function getSocketInt(fd: number, level: number, name: number): number {
  intLength.writeInt32LE(4, 0);
  return getsockoptCall(fd, level, name, intValue, intLength) < 0 ? Number.NaN : intValue.readInt32LE(0);
}
