/** Numbers of the Linux ABI, named as in its headers; the same on x86-64 and arm64. */
import { constants } from 'node:os';

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_PACKET = 17;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const IPPROTO_IP = 0;
export const IPPROTO_TCP = 6;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_ICMPV6 = 58;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_SNDTIMEO = 21;

export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

export const EAGAIN = constants.errno.EAGAIN;
export const EIO = constants.errno.EIO;
export const EINVAL = constants.errno.EINVAL;
export const EACCES = constants.errno.EACCES;
export const EADDRINUSE = constants.errno.EADDRINUSE;
export const EINTR = constants.errno.EINTR;
export const EINPROGRESS = constants.errno.EINPROGRESS;
export const ECONNRESET = constants.errno.ECONNRESET;
export const ECONNREFUSED = constants.errno.ECONNREFUSED;
export const ENODEV = constants.errno.ENODEV;
export const EMFILE = constants.errno.EMFILE;
export const ENFILE = constants.errno.ENFILE;
export const ETIMEDOUT = constants.errno.ETIMEDOUT;
