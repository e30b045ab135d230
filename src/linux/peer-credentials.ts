/** Who is at the other end of a connected UNIX socket: SO_PEERCRED (unix(7)). */
import { SOL_SOCKET } from './constants.ts';
import { kernelBuffer, libcCall } from './libc.ts';

const SO_PEERCRED = 17;

const getsockoptCall = libcCall<
  (fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array) => number
>('int getsockopt(int fd, int level, int name, void *value, void *length)');

/** struct ucred: three 32-bit numbers, the same on x86-64 and arm64. */
const ucredBytes = 12;
const ucred = kernelBuffer(ucredBytes);
const length = kernelBuffer(4);

/** The process that connected, as it was then. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Undefined when `fd` is no connected UNIX socket (any more). */
export function peerCredentials(fd: number): PeerCredentials | undefined {
  length.writeInt32LE(ucredBytes, 0);
  if (getsockoptCall(fd, SOL_SOCKET, SO_PEERCRED, ucred, length) < 0 || length.readInt32LE(0) !== ucredBytes) {
    return undefined;
  }
  const [pid, uid, gid] = [ucred.readInt32LE(0), ucred.readInt32LE(4), ucred.readInt32LE(8)];
  // On other sockets the kernel answers with nobody: pid 0, uid and gid -1.
  return pid === 0 ? undefined : { pid, uid, gid };
}
