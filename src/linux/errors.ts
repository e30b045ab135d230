import { constants } from 'node:os';
import { V6edgeError } from '../core/errors.ts';

const names = new Map<number, string>();
// Where two names share a number (EAGAIN and EWOULDBLOCK) the first stands, as in Node's own errors.
for (const [name, number] of Object.entries(constants.errno)) if (!names.has(number)) names.set(number, name);

/** `ECONNREFUSED` for 111; `E<number>` for one that Node does not name. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`;
}

/** A failed system call. `code` is the errno's name; `syscall` the call; `detail` what it was tried on. */
export class SystemError extends V6edgeError {
  readonly errno: number;
  readonly syscall: string;

  /** @param errno positive errno value */
  constructor(syscall: string, errno: number, detail = '') {
    const code = errnoName(errno);
    super(code, detail === '' ? `${syscall}: ${code}` : `${syscall} ${detail}: ${code}`);
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** What a call lacks of this process or machine (room in a queue, descriptors, memory): nothing that speaks of the other side. */
const shortages: ReadonlySet<string> = new Set(['EAGAIN', 'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);

/** What a connect may lack besides: a local port or address to connect from (connect(2)), room to be watched. */
const connectShortages: ReadonlySet<string> = new Set(['EADDRNOTAVAIL', 'ENOSPC']);

/** Whether a connect failed for want of something of our own, before a packet was sent. */
export function isConnectShortage(code: string): boolean {
  return isShortage(code) || connectShortages.has(code);
}

/** Whether an error's code is one of a shortage of our own. */
export function isShortage(code: string | undefined): boolean {
  return code !== undefined && shortages.has(code);
}

/**
 * Passes a result of a libc wrapper through, or throws it: wrappers return the negative errno on failure.
 * @throws {SystemError}
 */
export function check(result: number, syscall: string, detail = ''): number {
  if (result < 0) throw new SystemError(syscall, -result, detail);
  return result;
}
