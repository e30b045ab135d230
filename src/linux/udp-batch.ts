/**
 * Batches of datagrams that cross the kernel's border in one call (recvmmsg(2), sendmmsg(2)).
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
import { EAGAIN, EINTR, IPPROTO_IP, MSG_DONTWAIT, MSG_NOSIGNAL } from './constants.ts';
import { addressOf, kernelBuffer, libcCall, orErrno } from './libc.ts';
import { decodeSockaddr } from './sockaddr.ts';
import type { UdpSocket } from './udp.ts';

const MSG_TRUNC = 0x20;

const CMSG_HEADER_BYTES = 8 + 4 + 4;
const CONTROL_BYTES = CMSG_HEADER_BYTES + 20 + 4; // an in6_pktinfo, padded to 8
const HEADER_BYTES = 56 + 4 + 4;
const IOVEC_BYTES = 8 + 8;
const NAME_BYTES = 32;

// Addresses as numbers (user space ends below 2^48): the structures stay where they are, so nothing is looked up a call.
const recvmmsgCall = libcCall<(fd: number, headers: number, count: number, flags: number, timeout: null) => number>(
  'int recvmmsg(int fd, int64 headers, uint count, int flags, void *timeout)',
);
const sendmmsgCall = libcCall<(fd: number, headers: number, count: number, flags: number) => number>(
  'int sendmmsg(int fd, int64 headers, uint count, int flags)',
);

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
      name: new Uint8Array(this.bytes.subarray(name, name + this.#words[(header + 8) >> 2]!)),
      control: new Uint8Array(this.bytes.subarray(control, control + this.#words[(header + 40) >> 2]!)),
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
  flush(socket: Pick<UdpSocket, 'fd'>): number {
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

function roundUp(bytes: number): number {
  return (bytes + 63) & ~63;
}
