/** The kernel's neighbour cache, read whole (rtnetlink(7), RTM_GETNEIGH). */
import { EAGAIN, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from './constants.ts';
import { check } from './errors.ts';
import { closeFd, kernelBuffer, libcCall, orErrno } from './libc.ts';
import {
  encodeDumpRequest,
  type Neighbour,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseNeighbour,
  parseNetlinkMessages,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from './rtnetlink.ts';

export type { Neighbour, NeighbourState } from './rtnetlink.ts';

const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
/** The kernel builds dump datagrams of at most 32 KiB. */
const datagramBytes = 32_768;
/** Some 100 entries fit into one; the cache itself holds 1,024 unless told otherwise (gc_thresh3). */
const maxDatagrams = 1_000;

const socketCall = libcCall<(family: number, type: number, protocol: number) => number>(
  'int socket(int family, int type, int protocol)',
);
const sendCall = libcCall<(fd: number, bytes: Uint8Array, length: number, flags: number) => number>(
  'int64 send(int fd, void *bytes, size_t length, int flags)',
);
const recvCall = libcCall<(fd: number, bytes: Uint8Array, length: number, flags: number) => number>(
  'int64 recv(int fd, void *bytes, size_t length, int flags)',
);

/**
 * All entries, of all interfaces. The kernel makes a dump as it is read, so nothing is waited for.
 * @throws {SystemError}
 */
export function readNeighbours(): Neighbour[] {
  const fd = check(
    orErrno(socketCall(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE)),
    'socket',
    'netlink',
  );
  try {
    const request = encodeDumpRequest(RTM_GETNEIGH, 1);
    check(orErrno(sendCall(fd, request, request.length, 0)), 'send', 'RTM_GETNEIGH');
    return readDump(fd);
  } finally {
    closeFd(fd);
  }
}

function readDump(fd: number): Neighbour[] {
  const found: Neighbour[] = [];
  const datagram = kernelBuffer(datagramBytes);
  for (let i = 0; i < maxDatagrams; i++) {
    const length = orErrno(recvCall(fd, datagram, datagramBytes, 0));
    if (length === -EAGAIN) return found;
    check(length, 'recv', 'RTM_GETNEIGH');
    for (const { type, body } of parseNetlinkMessages(datagram.subarray(0, length))) {
      if (type === NLMSG_DONE) return found;
      if (type === NLMSG_ERROR) check(body.readInt32LE(0), 'RTM_GETNEIGH', 'netlink');
      const neighbour = type === RTM_NEWNEIGH ? parseNeighbour(body) : undefined;
      if (neighbour !== undefined) found.push(neighbour);
    }
  }
  return found;
}
