import { createServer } from 'node:net';
import t from 'tap';
import {
  AF_INET6,
  SO_LINGER,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import {
  addressOf,
  closeFd,
  errno,
  getSocketInt,
  kernelBuffer,
  libcCall,
  orErrno,
  setSocketBytes,
  setSocketInt,
} from '../../src/linux/libc.ts';

const EBADF = 9;
const ENOPROTOOPT = 92;
const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const memcpy = libcCall<(to: Uint8Array, from: bigint, bytes: number) => number>(
  'int64 memcpy(void *to, uint64 from, size_t bytes)',
);

t.test('errno of the call before', (t) => {
  t.equal(closeFd(-1), -EBADF);
  t.equal(errno(), EBADF, 'stays until the next call that fails');
  t.equal(orErrno(-1), -EBADF);
  t.equal(orErrno(0), 0);
  t.equal(orErrno(7), 7);
  t.throws(() => libcCall('int v6edge_no_such_function(int fd)'), 'a function libc has not');
  t.end();
});

t.test('socket options', (t) => {
  const fd = check(orErrno(socketCall(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)), 'socket');
  t.equal(setSocketInt(-1, SOL_SOCKET, SO_REUSEADDR, 1), -EBADF);
  t.equal(setSocketInt(fd, SOL_SOCKET, 9999, 1), -ENOPROTOOPT);
  t.ok(Number.isNaN(getSocketInt(-1, SOL_SOCKET, SO_REUSEADDR)));
  t.equal(getSocketInt(fd, SOL_SOCKET, SO_REUSEADDR), 0);
  t.equal(setSocketInt(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
  t.equal(getSocketInt(fd, SOL_SOCKET, SO_REUSEADDR), 1);
  t.equal(setSocketInt(fd, SOL_SOCKET, SO_RCVBUF, 16_384), 0);
  t.equal(getSocketInt(fd, SOL_SOCKET, SO_RCVBUF), 32_768, 'socket(7): the kernel doubles it');
  // struct linger: int on · int seconds
  const linger = kernelBuffer(8);
  linger.writeInt32LE(1, 0);
  t.equal(setSocketBytes(fd, SOL_SOCKET, SO_LINGER, linger), 0);
  t.equal(getSocketInt(fd, SOL_SOCKET, SO_LINGER), 1);
  t.equal(setSocketBytes(fd, SOL_SOCKET, SO_LINGER, linger.subarray(0, 3)), -22, 'EINVAL: too short');
  t.equal(closeFd(fd), 0);
  t.equal(closeFd(fd), -EBADF, 'a second close is seen');
  t.end();
});

t.test('memory for the kernel', (t) => {
  const buffer = kernelBuffer(64);
  t.strictSame(buffer, Buffer.alloc(64), 'zeroed');
  t.equal(buffer.byteOffset, 0, 'of its own, not from the pool');
  t.equal(buffer.buffer.byteLength, 64);
  buffer.write('here', 16);
  const copy = kernelBuffer(4);
  memcpy(copy, addressOf(buffer) + 16n, 4);
  t.equal(copy.toString(), 'here', 'addressOf is where C finds it');
  memcpy(copy, addressOf(buffer.subarray(16)), 4);
  t.equal(copy.toString(), 'here', 'also of a part');
  t.end();
});

t.test('a descriptor from node and one from libc are the same numbers', (t) => {
  const server = createServer().listen(0, '::1', () => {
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    t.equal(getSocketInt(fd, SOL_SOCKET, 30), 1, 'SO_ACCEPTCONN');
    server.close();
    t.end();
  });
});
