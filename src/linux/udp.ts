/**
 * UDP sockets, and batches of datagrams that cross the kernel's border in one call (recvmmsg(2), sendmmsg(2)).
 *
 * A `UdpBatch` lays its structures out once in memory the kernel reads and writes in place:
 *
 *   struct mmsghdr (64 bytes)
 *     msghdr   0 name · 8 u32 namelen · 16 iov · 24 iovlen · 32 control · 40 controllen · 48 i32 flags
 *     56 u32 bytes received or sent
 *   struct iovec (16)    0 base · 8 length
 *   struct cmsghdr (16)  0 u64 length · 8 i32 level · 12 i32 type, then
 *     in_pktinfo (12)    0 i32 ifindex · 4 source to send from · 8 destination in the header       (ip(7))
 *     in6_pktinfo (20)   0 destination, or source to send from · 16 i32 ifindex                    (ipv6(7), RFC 3542 §6.2)
 *
 * A reply names the address and the packet information of the datagram it answers by pointing at them: nothing is
 * decoded or copied. Offsets that methods return are into `bytes`.
 */
import type { Address, InetEndpoint } from '../core/address.ts';
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  EINTR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_RCVBUF,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from './constants.ts';
import { check } from './errors.ts';
import { addressOf, closeFd, getSocketInt, kernelBuffer, libcCall, orErrno, setSocketInt } from './libc.ts';
import { decodeSockaddr, encodeSockaddr, SOCKADDR_IN6_BYTES } from './sockaddr.ts';

const IP_PKTINFO = 8;
const IP_FREEBIND = 15;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPV6_FREEBIND = 78;
const SO_RCVBUFFORCE = 33;
const MSG_TRUNC = 0x20;

const CMSG_HEADER_BYTES = 8 + 4 + 4;
const CONTROL_BYTES = CMSG_HEADER_BYTES + 20 + 4; // an in6_pktinfo, padded to 8
const HEADER_BYTES = 56 + 4 + 4;
const IOVEC_BYTES = 8 + 8;
const NAME_BYTES = 32;

const socketCall = libcCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bindCall = libcCall<(fd: number, name: Uint8Array, length: number) => number>(
  'int bind(int fd, void *name, uint length)',
);
const connectCall = libcCall<(fd: number, name: Uint8Array, length: number) => number>(
  'int connect(int fd, void *name, uint length)',
);
const getsocknameCall = libcCall<(fd: number, name: Uint8Array, length: Uint8Array) => number>(
  'int getsockname(int fd, void *name, void *length)',
);
const sendCall = libcCall<(fd: number, data: Uint8Array, length: number, flags: number) => number>(
  'int64 send(int fd, void *data, size_t length, int flags)',
);
// Addresses as numbers (user space ends below 2^48): the structures stay where they are, so nothing is looked up a call.
const recvmmsgCall = libcCall<(fd: number, headers: number, count: number, flags: number, timeout: null) => number>(
  'int recvmmsg(int fd, int64 headers, uint count, int flags, void *timeout)',
);
const sendmmsgCall = libcCall<(fd: number, headers: number, count: number, flags: number) => number>(
  'int sendmmsg(int fd, int64 headers, uint count, int flags)',
);

/** What a listening socket may be given. */
export interface UdpListenOptions {
  /** Receive buffer; more than net.core.rmem_max only with CAP_NET_ADMIN, else as much as the kernel gives. */
  readonly receiveBufferBytes?: number;
}

/** One non-blocking UDP socket, owner of its descriptor. */
export class UdpSocket {
  readonly fd: number;
  readonly family: 4 | 6;
  /** Whether each datagram comes with the address it was sent to: on a wildcard address. */
  readonly packetInfo: boolean;
  #open = true;

  private constructor(fd: number, family: 4 | 6, packetInfo: boolean) {
    this.fd = fd;
    this.family = family;
    this.packetInfo = packetInfo;
  }

  /**
   * Binds with SO_REUSEPORT (one such socket a thread), IPV6_V6ONLY, and FREEBIND so that the address may come later.
   * @throws {SystemError}
   */
  static listen(address: Address, port: number, options: UdpListenOptions = {}): UdpSocket {
    const wildcard = address.bytes.every((byte) => byte === 0);
    return UdpSocket.#make(address, wildcard, (fd) => {
      check(setSocketInt(fd, SOL_SOCKET, SO_REUSEPORT, 1), 'setsockopt', 'SO_REUSEPORT');
      if (address.family === 6) {
        check(setSocketInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1), 'setsockopt', 'IPV6_V6ONLY');
        check(setSocketInt(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1), 'setsockopt', 'IPV6_FREEBIND');
        if (wildcard) check(setSocketInt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1), 'setsockopt', 'IPV6_RECVPKTINFO');
      } else {
        check(setSocketInt(fd, IPPROTO_IP, IP_FREEBIND, 1), 'setsockopt', 'IP_FREEBIND');
        if (wildcard) check(setSocketInt(fd, IPPROTO_IP, IP_PKTINFO, 1), 'setsockopt', 'IP_PKTINFO');
      }
      if (options.receiveBufferBytes !== undefined) setReceiveBuffer(fd, options.receiveBufferBytes);
      const name = encodeSockaddr(address, port);
      check(orErrno(bindCall(fd, name, name.length)), 'bind');
    });
  }

  /**
   * Connects to a peer from a port the kernel draws at random: datagrams of others are never received, and a closed
   * port there shows as ECONNREFUSED.
   * @throws {SystemError}
   */
  static connect(address: Address, port: number): UdpSocket {
    return UdpSocket.#make(address, false, (fd) => {
      const name = encodeSockaddr(address, port);
      check(orErrno(connectCall(fd, name, name.length)), 'connect');
    });
  }

  static #make(address: Address, packetInfo: boolean, prepare: (fd: number) => void): UdpSocket {
    const domain = address.family === 6 ? AF_INET6 : AF_INET;
    const fd = check(orErrno(socketCall(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), 'socket');
    try {
      prepare(fd);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    return new UdpSocket(fd, address.family, packetInfo);
  }

  /**
   * The address and port it is bound to.
   * @throws {SystemError}
   */
  get local(): InetEndpoint {
    const name = kernelBuffer(SOCKADDR_IN6_BYTES);
    const length = kernelBuffer(4);
    length.writeUInt32LE(name.length);
    check(orErrno(getsocknameCall(this.fd, name, length)), 'getsockname');
    return decodeSockaddr(name)!;
  }

  /** Bytes the kernel queues for this socket before it drops; it reports twice what was asked for (socket(7)). */
  get receiveBufferBytes(): number {
    return getSocketInt(this.fd, SOL_SOCKET, SO_RCVBUF);
  }

  /** Sends one datagram on a connected socket. Returns the bytes sent or -errno. */
  send(data: Uint8Array, length = data.length): number {
    return orErrno(sendCall(this.fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL));
  }

  /** Closes the descriptor; take it out of its reactor first. Idempotent. */
  close(): void {
    if (this.#open) closeFd(this.fd);
    this.#open = false;
  }
}

/** Where a reply goes and what address it leaves from: what the kernel gave, kept beyond its batch. */
export interface ReturnPath {
  readonly name: Uint8Array;
  readonly control: Uint8Array;
}

/** Sizes of a batch. */
export interface UdpBatchOptions {
  readonly count: number;
  /** Longest datagram received whole; a longer one arrives `truncated`. */
  readonly receiveBytes: number;
  /** Longest datagram sent; 0 for a batch that only receives. */
  readonly sendBytes: number;
}

/** Up to `count` datagrams received in one call, and up to `count` sent in another. One socket at a time. */
export class UdpBatch {
  readonly count: number;
  /** All memory: datagrams, addresses, structures. */
  readonly bytes: Buffer;
  /** How many replies a `flush` could not send: the send queue full, or the kernel said no. */
  unsent = 0;
  readonly #words: Uint32Array;
  readonly #sendHeaders: number;
  readonly #receiveNames: number;
  readonly #sendNames: number;
  readonly #receiveControls: number;
  readonly #sendControls: number;
  readonly #receiveData: number;
  readonly #sendData: number;
  readonly #sendIovecs: number;
  readonly #receiveStride: number;
  readonly #sendStride: number;
  readonly #base: number;
  /** Which received datagram's address a send header points at; -1 its own. */
  readonly #pointsAt: Int32Array;
  #received = 0;
  #queued = 0;
  #packetInfo = 0;

  constructor({ count, receiveBytes, sendBytes }: UdpBatchOptions) {
    this.count = count;
    const sends = sendBytes === 0 ? 0 : count;
    // 64 bytes more than a power of two: else the datagrams of a batch would share a few sets of the CPU's cache.
    this.#receiveStride = roundUp(receiveBytes) + 64;
    this.#sendStride = roundUp(sendBytes) + 64;
    let end = 0;
    const take = (items: number, bytes: number): number => {
      const at = end;
      end += roundUp(items * bytes);
      return at;
    };
    take(count, HEADER_BYTES);
    this.#sendHeaders = take(sends, HEADER_BYTES);
    const receiveIovecs = take(count, IOVEC_BYTES);
    this.#sendIovecs = take(sends, IOVEC_BYTES);
    this.#receiveNames = take(count, NAME_BYTES);
    this.#sendNames = take(sends, NAME_BYTES);
    this.#receiveControls = take(count, CONTROL_BYTES);
    this.#sendControls = take(sends, CONTROL_BYTES);
    this.#receiveData = take(count, this.#receiveStride);
    this.#sendData = take(sends, this.#sendStride);
    this.bytes = kernelBuffer(Math.max(end, 64 * 1024));
    this.#words = new Uint32Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length >> 2);
    this.#base = Number(addressOf(this.bytes));
    this.#pointsAt = new Int32Array(sends).fill(-1);
    for (let i = 0; i < count; i++) {
      const header = i * HEADER_BYTES;
      const iovec = receiveIovecs + i * IOVEC_BYTES;
      this.#setPointer(header, this.#receiveNames + i * NAME_BYTES);
      this.#setPointer(header + 16, iovec);
      this.#words[(header + 24) >> 2] = 1;
      this.#setPointer(header + 32, this.#receiveControls + i * CONTROL_BYTES);
      this.#setPointer(iovec, this.#receiveData + i * this.#receiveStride);
      this.#words[(iovec + 8) >> 2] = receiveBytes;
      this.#rearm(i, 0);
    }
    for (let i = 0; i < sends; i++) {
      const header = this.#sendHeaders + i * HEADER_BYTES;
      const iovec = this.#sendIovecs + i * IOVEC_BYTES;
      this.#setPointer(header, this.#sendNames + i * NAME_BYTES);
      this.#setPointer(header + 16, iovec);
      this.#words[(header + 24) >> 2] = 1;
      this.#setPointer(header + 32, this.#sendControls + i * CONTROL_BYTES);
      this.#setPointer(iovec, this.#sendData + i * this.#sendStride);
    }
  }

  /** Takes what waits in the socket's queue. Returns how many datagrams came, or -errno (-EAGAIN: none). */
  receive(socket: UdpSocket): number {
    const controlBytes = socket.packetInfo ? CONTROL_BYTES : 0;
    const used = this.#packetInfo === controlBytes ? this.#received : this.count;
    // Only headers the last call wrote need their in-out lengths again; all do for another kind of socket.
    for (let i = 0; i < used; i++) this.#rearm(i, controlBytes);
    this.#packetInfo = controlBytes;
    const got = orErrno(recvmmsgCall(socket.fd, this.#base, this.count, MSG_DONTWAIT, null));
    this.#received = Math.max(0, got);
    return got;
  }

  /** Where datagram `i` begins. */
  offset(i: number): number {
    return this.#receiveData + i * this.#receiveStride;
  }

  /** How many of its bytes are there. */
  length(i: number): number {
    return this.#words[(i * HEADER_BYTES + 56) >> 2]!;
  }

  /** Whether it was longer than the batch has room for. */
  truncated(i: number): boolean {
    return (this.#words[(i * HEADER_BYTES + 48) >> 2]! & MSG_TRUNC) !== 0;
  }

  /** Where the sender's address bytes begin: 4 or 16 by the socket's family. */
  sourceOffset(i: number, family: 4 | 6): number {
    return this.#receiveNames + i * NAME_BYTES + (family === 6 ? 8 : 4);
  }

  /** The sender's port. */
  sourcePort(i: number): number {
    return this.bytes.readUInt16BE(this.#receiveNames + i * NAME_BYTES + 2);
  }

  /** The sender, decoded. */
  source(i: number): InetEndpoint {
    return decodeSockaddr(this.bytes, this.#receiveNames + i * NAME_BYTES)!;
  }

  /** The address datagram `i` was sent to; undefined on a socket without packet information. */
  destination(i: number): Address | undefined {
    if (this.#words[(i * HEADER_BYTES + 40) >> 2] === 0) return undefined;
    const control = this.#receiveControls + i * CONTROL_BYTES;
    const data = control + CMSG_HEADER_BYTES;
    if (this.#words[(control + 8) >> 2] === IPPROTO_IP) {
      return { family: 4, bytes: Uint8Array.from(this.bytes.subarray(data + 4, data + 8)) };
    }
    const bytes = Uint8Array.from(this.bytes.subarray(data, data + 16));
    const scoped = bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80;
    return scoped ? { family: 6, bytes, zone: String(this.#words[(data + 16) >> 2]) } : { family: 6, bytes };
  }

  /** What a reply to datagram `i` needs once the batch holds others. */
  returnPath(i: number): ReturnPath {
    const header = i * HEADER_BYTES;
    const name = this.#receiveNames + i * NAME_BYTES;
    const control = this.#receiveControls + i * CONTROL_BYTES;
    this.#unpin(control, this.#words[(header + 40) >> 2]!);
    return {
      name: Uint8Array.from(this.bytes.subarray(name, name + this.#words[(header + 8) >> 2]!)),
      control: Uint8Array.from(this.bytes.subarray(control, control + this.#words[(header + 40) >> 2]!)),
    };
  }

  /** How many replies wait for `flush`. */
  get queued(): number {
    return this.#queued;
  }

  /** Where the next reply is to be written; there is always room for one, flushed or not, while `queued` < `count`. */
  get replyOffset(): number {
    return this.#sendData + this.#queued * this.#sendStride;
  }

  /** Queues the `length` bytes at `replyOffset` as answer to datagram `i`. */
  reply(i: number, length: number): void {
    const words = this.#words;
    const slot = this.#queued++;
    const header = this.#sendHeaders + slot * HEADER_BYTES;
    if (this.#pointsAt[slot] !== i) {
      this.#pointsAt[slot] = i;
      this.#setPointer(header, this.#receiveNames + i * NAME_BYTES);
      this.#setPointer(header + 32, this.#receiveControls + i * CONTROL_BYTES);
    }
    words[(header + 8) >> 2] = words[(i * HEADER_BYTES + 8) >> 2]!;
    const controlBytes = words[(i * HEADER_BYTES + 40) >> 2]!;
    words[(header + 40) >> 2] = controlBytes;
    if (controlBytes !== 0) this.#unpin(this.#receiveControls + i * CONTROL_BYTES, controlBytes);
    words[(this.#sendIovecs + slot * IOVEC_BYTES + 8) >> 2] = length;
  }

  /** Queues the `length` bytes at `replyOffset` for a return path kept earlier. */
  replyTo(path: ReturnPath, length: number): void {
    const words = this.#words;
    const slot = this.#queued++;
    const header = this.#sendHeaders + slot * HEADER_BYTES;
    const name = this.#sendNames + slot * NAME_BYTES;
    const control = this.#sendControls + slot * CONTROL_BYTES;
    if (this.#pointsAt[slot] !== -1) {
      this.#pointsAt[slot] = -1;
      this.#setPointer(header, name);
      this.#setPointer(header + 32, control);
    }
    this.bytes.set(path.name, name);
    this.bytes.set(path.control, control);
    words[(header + 8) >> 2] = path.name.length;
    words[(header + 40) >> 2] = path.control.length;
    words[(this.#sendIovecs + slot * IOVEC_BYTES + 8) >> 2] = length;
  }

  /**
   * Sends all that is queued. One that the kernel refuses (no route, a filter) is passed over; when the send queue is
   * full the rest is dropped, as a network would. Returns how many were sent; `unsent` counts the others.
   */
  flush(socket: UdpSocket): number {
    const queued = this.#queued;
    let sent = 0;
    let at = 0;
    this.#queued = 0;
    while (at < queued) {
      const first = this.#base + this.#sendHeaders + at * HEADER_BYTES;
      const n = orErrno(sendmmsgCall(socket.fd, first, queued - at, MSG_DONTWAIT | MSG_NOSIGNAL));
      if (n > 0) {
        sent += n;
        at += n;
      } else if (n === -EAGAIN) break;
      else if (n !== -EINTR) at++;
    }
    this.unsent += queued - sent;
    return sent;
  }

  #rearm(i: number, controlBytes: number): void {
    const header = (i * HEADER_BYTES) >> 2;
    this.#words[header + 2] = NAME_BYTES;
    this.#words[header + 10] = controlBytes;
  }

  /** Leaves the outgoing interface to the routing table: the way back may be another than the way in. */
  #unpin(control: number, controlBytes: number): void {
    if (controlBytes === 0) return;
    const data = control + CMSG_HEADER_BYTES;
    if (this.#words[(control + 8) >> 2] === IPPROTO_IP) this.#words[data >> 2] = 0;
    // A link-local source has a meaning on its interface alone.
    else if (this.bytes[data] !== 0xfe || (this.bytes[data + 1]! & 0xc0) !== 0x80) this.#words[(data + 16) >> 2] = 0;
  }

  #setPointer(at: number, target: number): void {
    const address = this.#base + target;
    this.#words[at >> 2] = address % 2 ** 32;
    this.#words[(at >> 2) + 1] = Math.floor(address / 2 ** 32);
  }
}

function setReceiveBuffer(fd: number, bytes: number): void {
  if (setSocketInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes) < 0) setSocketInt(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

function roundUp(bytes: number): number {
  return (bytes + 63) & ~63;
}
