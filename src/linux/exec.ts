/** What programs that we run would get of us by execve(2), and do not: descriptors and capabilities. */
import { check } from './errors.ts';
import { libcCall, orErrno } from './libc.ts';

/** close_range(2) by its number, the same on x86-64 and arm64: glibc has a name for it since 2.34. */
const SYS_close_range = 436;
const CLOSE_RANGE_CLOEXEC = 1 << 2;
const firstFd = 3;
const lastFd = 0xffff_ffff;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;

// Declared with their arguments: integers of a variadic call travel like any other on x86-64 and arm64 Linux.
const closeRangeCall = libcCall<(number: number, first: number, last: number, flags: number) => number>(
  'long syscall(long number, uint first, uint last, uint flags)',
);
const prctlCall = libcCall<(option: number, what: number, a: number, b: number, c: number) => number>(
  'int prctl(int option, ulong what, ulong a, ulong b, ulong c)',
);

/**
 * Makes every descriptor but standard input, output and error close-on-exec. Ours are from the start; some of libraries (LMDB's of
 * its data file) and of whoever started us are not. Linux 5.11.
 * @throws {SystemError} code EINVAL on an older kernel
 */
export function closeDescriptorsOnExec(): void {
  check(orErrno(closeRangeCall(SYS_close_range, firstFd, lastFd, CLOSE_RANGE_CLOEXEC)), 'close_range', 'CLOEXEC');
}

/**
 * Empties the ambient set of this thread: the capabilities that the service manager gave us (`AmbientCapabilities=`) stay ours,
 * and programs that this thread runs start without them (PR_CAP_AMBIENT_CLEAR_ALL, capabilities(7)).
 * @throws {SystemError}
 */
export function clearAmbientCapabilities(): void {
  check(orErrno(prctlCall(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)), 'prctl', 'PR_CAP_AMBIENT');
}
