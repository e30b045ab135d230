/**
 * TCP sockets for the data path (tcp(7), socket(7), ip(7), ipv6(7)).
 *
 * Calls that stand in the packet path take addresses as numbers (`Memory`), which koffi passes on unseen, and return what
 * the call returned or the negative errno. Set-up calls throw `SystemError`.
 */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from './constants.ts';
import { check } from './errors.ts';
import {
  addressOf,
  closeFd,
  getSocketInt,
  kernelBuffer,
  libcCall,
  orErrno,
  setSocketBytes,
  setSocketInt,
} from './libc.ts';
import { type LowMemory, mapLow } from './low-memory.ts';
import { encodeSockaddr, SOCKADDR_IN6_BYTES } from './sockaddr.ts';

const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const TCP_USER_TIMEOUT = 18;
const TCP_REPAIR = 19;
const TCP_NOTSENT_LOWAT = 25;
const IP_TTL = 2;
const IP_FREEBIND = 15;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;
const IPV6_FREEBIND = 78;
const MSG_PEEK = 0x02;
const MSG_MORE = 0x8000;
const SHUT_WR = 1;
const SIOCOUTQ = 0x5411;

/** Probes that may go unanswered before a connection counts as dead (HAProxy leaves the kernel's 9, which is minutes). */
const keepaliveProbes = 3;

const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bindCall = libcCall<(fd: number, name: Uint8Array, length: number) => number>(
  'int bind(int fd, void *name, uint length)',
);
const listenCall = libcCall<(fd: number, backlog: number) => number>('int listen(int fd, int backlog)');
const accept4Call = libcCall<(fd: number, name: number, length: number, flags: number) => number>(
  'int accept4(int fd, size_t name, size_t length, int flags)',
);
const connectCall = libcCall<(fd: number, name: number, length: number) => number>(
  'int connect(int fd, size_t name, uint length)',
);
// An `int` is what fits: nothing asks for 2 GiB at once, and koffi makes a small integer of it without a question.
const recvCall = libcCall<(fd: number, buffer: number, length: number, flags: number) => number>(
  'int recv(int fd, size_t buffer, size_t length, int flags)',
);
const sendCall = libcCall<(fd: number, buffer: number, length: number, flags: number) => number>(
  'int send(int fd, size_t buffer, size_t length, int flags)',
);
const shutdownCall = libcCall<(fd: number, how: number) => number>('int shutdown(int fd, int how)');
const getsocknameCall = libcCall<(fd: number, name: number, length: number) => number>(
  'int getsockname(int fd, size_t name, size_t length)',
);
const ioctlCall = libcCall<(fd: number, request: number, value: Uint8Array) => number>(
  'int ioctl(int fd, ulong request, void *value)',
);

/** Memory that calls get by its address; whoever holds the object keeps the memory. */
export class Memory {
  readonly bytes: Buffer;
  readonly address: number;

  private constructor({ bytes, address }: LowMemory) {
    this.bytes = bytes;
    this.address = address;
  }

  /** Zeroed memory. */
  static make(bytes: number): Memory {
    const memory = kernelBuffer(bytes);
    // User addresses have at most 52 bits on both architectures: a number holds them exactly.
    return new Memory({ bytes: memory, address: Number(addressOf(memory)) });
  }

  /** Zeroed memory for the packet path, kept as long as its thread: at an address that costs calls least, if there is room. */
  static lasting(bytes: number): Memory {
    const low = mapLow(bytes);
    return low === undefined ? Memory.make(bytes) : new Memory(low);
  }

  /** A copy of `bytes` that calls can be given. */
  static of(bytes: Uint8Array): Memory {
    const memory = Memory.make(bytes.length);
    memory.bytes.set(bytes);
    return memory;
  }
}

/** Where accept4 and getsockname write a socket address: `name` (room for sockaddr_in6), length behind it. */
export class SockaddrSlot {
  readonly #memory = Memory.make(SOCKADDR_IN6_BYTES + 4);
  readonly bytes = this.#memory.bytes.subarray(0, SOCKADDR_IN6_BYTES);
  readonly #length = new Int32Array(this.#memory.bytes.buffer, this.#memory.bytes.byteOffset + SOCKADDR_IN6_BYTES, 1);
  readonly name = this.#memory.address;

  /** A copy of the address. (Not by Uint8Array.from, which takes ten times as long.) */
  copy(): Uint8Array {
    const bytes = new Uint8Array(SOCKADDR_IN6_BYTES);
    bytes.set(this.bytes);
    return bytes;
  }

  /** The address of the length field, set to the room there is. */
  get length(): number {
    this.#length[0] = SOCKADDR_IN6_BYTES;
    return this.#memory.address + SOCKADDR_IN6_BYTES;
  }
}

export interface ListenOptions {
  readonly backlog: number;
  /** TCP keepalive on accepted sockets, seconds; 0 = off. Accepted sockets inherit it, as they do TCP_NODELAY. */
  readonly keepaliveSeconds: number;
}

/**
 * A listening socket: SO_REUSEPORT so that each thread has its own, IPv6 only when the address is IPv6, bound even when no
 * interface has the address yet. TCP_DEFER_ACCEPT is left off: it would make clients of protocols in which the server
 * speaks first wait.
 * @throws {SystemError}
 * @throws {ValueError} when a zone id names no interface
 */
export function listenTcp(endpoint: InetEndpoint, options: ListenOptions): number {
  const v6 = endpoint.address.family === 6;
  const name = encodeSockaddr(endpoint.address, endpoint.port);
  const text = formatEndpoint(endpoint);
  const fd = check(openTcp(v6 ? AF_INET6 : AF_INET), 'socket', text);
  try {
    const set = (level: number, option: number, value: number) =>
      check(setSocketInt(fd, level, option, value), 'setsockopt', text);
    set(SOL_SOCKET, SO_REUSEADDR, 1);
    set(SOL_SOCKET, SO_REUSEPORT, 1);
    if (v6) set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (v6) set(IPPROTO_IPV6, IPV6_FREEBIND, 1);
    else set(IPPROTO_IP, IP_FREEBIND, 1);
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    setKeepalive(fd, options.keepaliveSeconds);
    check(orErrno(bindCall(fd, name, name.length)), 'bind', text);
    check(orErrno(listenCall(fd, options.backlog)), 'listen', text);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** A non-blocking TCP socket, or -errno. */
export function openTcp(family: number): number {
  return orErrno(socketCall(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/** accept4(2): the new non-blocking descriptor, with the client's address in `peer`; or -errno. */
export function acceptTcp(fd: number, peer: SockaddrSlot): number {
  return orErrno(accept4Call(fd, peer.name, peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/** connect(2): 0, or -EINPROGRESS as a rule, or another -errno. */
export function connectTcp(fd: number, name: Memory): number {
  return orErrno(connectCall(fd, name.address, name.bytes.length));
}

/** getsockname(2) into `local`. Returns 0 or -errno. */
export function localAddress(fd: number, local: SockaddrSlot): number {
  return orErrno(getsocknameCall(fd, local.name, local.length));
}

/** recv(2) without waiting: bytes read, 0 at the end of the stream, or -errno. */
export function receive(fd: number, address: number, length: number): number {
  return orErrno(recvCall(fd, address, length, MSG_DONTWAIT));
}

/** `receive` that leaves the bytes in the socket. */
export function peek(fd: number, address: number, length: number): number {
  return orErrno(recvCall(fd, address, length, MSG_DONTWAIT | MSG_PEEK));
}

/** send(2) without waiting and without SIGPIPE. */
export function send(fd: number, address: number, length: number): number {
  return orErrno(sendCall(fd, address, length, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/** `send` of bytes that a shutdown or close follows at once: their FIN goes in the same segment. */
export function sendLast(fd: number, address: number, length: number): number {
  return orErrno(sendCall(fd, address, length, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE));
}

/** shutdown(2) of the writing half: a FIN after everything sent. Returns 0 or -errno. */
export function shutdownWrite(fd: number): number {
  return orErrno(shutdownCall(fd, SHUT_WR));
}

export function setNoDelay(fd: number): number {
  return setSocketInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/** TCP keepalive after `seconds` without a byte, probes as far apart; 0 turns it off. */
export function setKeepalive(fd: number, seconds: number): void {
  if (seconds <= 0) {
    setSocketInt(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
    return;
  }
  const value = Math.min(32767, Math.max(1, Math.round(seconds)));
  setSocketInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setSocketInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, value);
  setSocketInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, value);
  setSocketInt(fd, IPPROTO_TCP, TCP_KEEPCNT, keepaliveProbes);
}

/**
 * The longest time that sent bytes may go unacknowledged, or wait at a peer that takes none, before the connection ends with
 * ETIMEDOUT (RFC 5482; tcp(7)); 0 leaves it to the kernel, which tries for some 15 minutes.
 */
export function setUserTimeout(fd: number, milliseconds: number): void {
  setSocketInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, Math.min(0x7fff_ffff, Math.round(milliseconds)));
}

/**
 * How many bytes a socket takes that it cannot send yet, the peer's window being full (TCP_NOTSENT_LOWAT,
 * Linux 3.12); it is writable again at half of that. Without it the kernel takes 4 MiB, and tells of no room before a third
 * of them have gone. Accepted sockets inherit it.
 */
export function setUnsentLimit(fd: number, bytes: number): void {
  setSocketInt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes);
}

/** The pending error of a socket, a positive errno, 0 when there is none; reading it clears it. */
export function socketError(fd: number): number {
  return getSocketInt(fd, SOL_SOCKET, SO_ERROR);
}

const queueBytes = kernelBuffer(4);

/** Bytes sent that the peer has not acknowledged (SIOCOUTQ), or -errno. */
export function unacknowledged(fd: number): number {
  const result = orErrno(ioctlCall(fd, SIOCOUTQ, queueBytes));
  return result < 0 ? result : queueBytes.readInt32LE(0);
}

// struct linger { int l_onoff; int l_linger; }
const lingerZero = Buffer.from(Int32Array.of(1, 0).buffer);

/** Closes with a RST instead of a FIN; what the peer has not got yet is thrown away. */
export function resetTcp(fd: number): void {
  setSocketBytes(fd, SOL_SOCKET, SO_LINGER, lingerZero);
  closeFd(fd);
}

/**
 * Closes without a word to the peer, who goes on waiting. In repair mode the kernel sends nothing at all, which takes CAP_NET_ADMIN;
 * without it a RST leaves that dies at the first router (HAProxy does the same for `silent-drop`). Whatever the peer sends
 * later is answered by the kernel as for any closed port.
 */
export function dropTcp(fd: number): void {
  if (setSocketInt(fd, IPPROTO_TCP, TCP_REPAIR, 1) < 0) {
    // One of the two is of the socket's family.
    setSocketInt(fd, IPPROTO_IP, IP_TTL, 1);
    setSocketInt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1);
    resetTcp(fd);
  } else closeFd(fd);
}

/** Changes the backlog of a socket that listens. Returns 0 or -errno. */
export function setBacklog(fd: number, backlog: number): number {
  return orErrno(listenCall(fd, backlog));
}
