/** Advisory locks on open files (flock(2)): the kernel lets go of them when the process ends, however it ends. */
import { EAGAIN } from './constants.ts';
import { check } from './errors.ts';
import { libcCall, orErrno } from './libc.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;

const flockCall = libcCall<(fd: number, operation: number) => number>('int flock(int fd, int operation)');

/**
 * Takes the exclusive lock of an open file or directory, until the descriptor is closed; false if another has it.
 * @throws {SystemError}
 */
export function tryLock(fd: number): boolean {
  const result = orErrno(flockCall(fd, LOCK_EX | LOCK_NB));
  if (result === -EAGAIN) return false;
  check(result, 'flock');
  return true;
}
