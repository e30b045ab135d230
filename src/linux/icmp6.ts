/**
 * A raw ICMPv6 socket for Neighbor Discovery messages (RFC 3542, icmp6(7)).
 *
 * The kernel fills in and verifies the checksum (RFC 3542 §3.1). Everything is sent with hop limit 255, which receivers
 * demand, from the source and interface that the caller names, and in one piece: what is larger than the interface's MTU is
 * refused, for receivers drop fragments (RFC 6980 §5). A multicast that the kernel has no neighbour entry for leaves as a frame of
 * our own (`PacketSocket`).
 *
 *   icmp6_filter   u32[8], bit n set = type n is blocked
 *   ipv6_mreq      16 group · u32 interface index
 *   in6_pktinfo    16 address · u32 interface index
 *   msghdr         u64 name · u32 name length · 4 pad · u64 iov · u64 iov count · u64 control · u64 control length · u32 flags · 4 pad
 *   cmsghdr        u64 length (with this header) · u32 level · u32 type · value, padded to 8
 */
import type { Address } from '../core/address.ts';
import { hasAddress } from './bind-probe.ts';
import {
  AF_INET6,
  EAGAIN,
  EINVAL,
  IPPROTO_ICMPV6,
  IPPROTO_IPV6,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from './constants.ts';
import { check } from './errors.ts';
import { addressOf, closeFd, errno, kernelBuffer, libcCall, orErrno, setSocketBytes, setSocketInt } from './libc.ts';
import { PacketSocket } from './packet-socket.ts';
import { Poll } from './poll.ts';
import { SOCKADDR_IN6_BYTES } from './sockaddr.ts';

const ICMP6_FILTER = 1;
const ICMP6_FILTER_BYTES = 32;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_JOIN_GROUP = 20;
const IPV6_LEAVE_GROUP = 21;
const IPV6_MTU_DISCOVER = 23;
/** Nothing is fragmented, and no "Packet Too Big" that somebody sends us makes the interface's own MTU smaller. */
const IPV6_PMTUDISC_PROBE = 3;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_HOPLIMIT = 52;
const IPV6_RECVFRAGSIZE = 77;
const IPV6_FREEBIND = 78;

const MSGHDR_BYTES = 56;
const CMSGHDR_BYTES = 16;
const PKTINFO_BYTES = 16 + 4;
const IPV6_MREQ_BYTES = 16 + 4;
/** The largest packet that IPv6 carries without a jumbogram. */
const PACKET_BYTES = 65_536;
const CONTROL_BYTES = 256;
/** Of a rehearsal: system calls fail with EBADF. */
const NO_FD = -1;
/** No advertisement on Ethernet is larger. */
const MIN_SEND_BYTES = 1500;
const nothing = new Uint8Array(0);
/** Packets read before other work of the thread gets its turn; the loop comes back for the rest. */
const packetsPerTurn = 64;

const socketCall = libcCall<(family: number, type: number, protocol: number) => number>(
  'int socket(int family, int type, int protocol)',
);
// Addresses as numbers: koffi passes those on unseen, and a node waits for what these two do.
const recvmsgCall = libcCall<(fd: number, message: number, flags: number) => number>(
  'int64 recvmsg(int fd, size_t message, int flags)',
);
const sendmsgCall = libcCall<(fd: number, message: number, flags: number) => number>(
  'int64 sendmsg(int fd, size_t message, int flags)',
);

/** An ICMPv6 message as it came in, from the type octet on. */
export interface Icmp6Packet {
  /** Valid during the call only; the addresses stay. */
  readonly bytes: Uint8Array;
  readonly source: Address;
  readonly destination: Address;
  readonly ifindex: number;
  /** Of the IPv6 header, 0..255; -1 when the kernel did not say. */
  readonly hopLimit: number;
  /** It came in fragments, or as one that called itself a fragment (RFC 6946). */
  readonly fragmented: boolean;
}

export type Icmp6Handler = (packet: Icmp6Packet) => void;

/** What an engine needs of a socket; tests have their own. */
export interface Icmp6Sender {
  /** Receives multicast to `group` on the interface. Returns 0 or -errno (-EADDRINUSE: it does so already). */
  join(group: Address, ifindex: number): number;
  leave(group: Address, ifindex: number): number;
  /**
   * Sends an ICMPv6 message whose checksum field is zero. Returns bytes sent or -errno (-EMSGSIZE: larger than the MTU).
   * @param bytes not to be written into once it was sent: the same array again counts as the same message
   * @param foreign the source is no address of this host any more
   */
  send(bytes: Uint8Array, destination: Address, ifindex: number, source: Address, foreign?: boolean): number;
  /** Multicasts so far that the kernel had no room for in its neighbour table, and that left all the same. */
  readonly pastNeighbours: number;
  close(): void;
}

export class Icmp6Socket implements Icmp6Sender {
  readonly #fd: number;
  readonly #poll: Poll | undefined;
  readonly #handler: Icmp6Handler;
  readonly #packet = kernelBuffer(PACKET_BYTES);
  readonly #in = new Message(this.#packet, CONTROL_BYTES);
  /** Of the last length that came: nodes' solicitations are all alike. */
  #view = new Uint8Array(this.#packet.buffer, this.#packet.byteOffset, 0);
  /** What the next message is handed over in: made before it comes, for a node waits from then on. */
  #next = new Received();
  /** Grows with what is sent. */
  #sendData = kernelBuffer(MIN_SEND_BYTES);
  /** What lies there. */
  #sent: Uint8Array | undefined;
  readonly #out = new Message(this.#sendData, CMSGHDR_BYTES + 24);
  readonly #frames = new PacketSocket();
  #pastNeighbours = 0;
  #closed = false;

  /**
   * @param types ICMPv6 types that come in; the kernel drops all others
   * @param rehearsal without a socket: what is sent goes nowhere, and `rehearse` stands for what comes in
   * @throws {SystemError} EPERM without CAP_NET_RAW
   */
  constructor(types: readonly number[], handler: Icmp6Handler, rehearsal = false) {
    this.#handler = handler;
    this.#prepare();
    this.#fd = rehearsal ? NO_FD : openSocket(types);
    if (rehearsal) return;
    try {
      this.#poll = new Poll(this.#fd, () => this.#read());
    } catch (error) {
      closeFd(this.#fd);
      throw error;
    }
  }

  join(group: Address, ifindex: number): number {
    return setSocketBytes(this.#fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, encodeMembership(group, ifindex));
  }

  leave(group: Address, ifindex: number): number {
    return setSocketBytes(this.#fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, encodeMembership(group, ifindex));
  }

  send(bytes: Uint8Array, destination: Address, ifindex: number, source: Address, foreign = false): number {
    if (bytes !== this.#sent) this.#load(bytes);
    const { name, control, iov, address } = this.#out;
    copyAddress(destination.bytes, 0, name.bytes, 8);
    name.words[24 / 4] = ifindex;
    copyAddress(source.bytes, 0, control.bytes, CMSGHDR_BYTES);
    control.words[(CMSGHDR_BYTES + 16) / 4] = ifindex;
    iov.words[8 / 4] = bytes.length;
    if (!foreign) {
      const result = orErrno(sendmsgCall(this.#fd, address, 0));
      if (this.#fd === NO_FD) return bytes.length;
      return result === -EINVAL ? this.#frame(bytes, destination, ifindex, source, false) : result;
    }
    setSocketInt(this.#fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
    const result = orErrno(sendmsgCall(this.#fd, address, 0));
    setSocketInt(this.#fd, IPPROTO_IPV6, IPV6_FREEBIND, 0);
    return result === -EINVAL ? this.#frame(bytes, destination, ifindex, source, true) : result;
  }

  get pastNeighbours(): number {
    return this.#pastNeighbours;
  }

  /** In a rehearsal: all that comes after recvmsg(2) has read such a packet. */
  rehearse(message: Uint8Array, source: Address, destination: Address, ifindex: number): void {
    const { name, control } = this.#in;
    this.#packet.set(message);
    name.bytes.set(source.bytes, 8);
    control.words.set([CMSGHDR_BYTES + PKTINFO_BYTES, 0, IPPROTO_IPV6, IPV6_PKTINFO]);
    control.bytes.set(destination.bytes, CMSGHDR_BYTES);
    control.words[(CMSGHDR_BYTES + 16) / 4] = ifindex;
    control.words.set([CMSGHDR_BYTES + 4, 0, IPPROTO_IPV6, IPV6_HOPLIMIT, 255], 40 / 4);
    this.#in.controlLength = 40 + 24;
    this.#deliver(message.length);
  }

  /** Lets go of the socket and with it of all group memberships. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    this.#frames.close();
    if (this.#fd !== NO_FD) closeFd(this.#fd);
  }

  /** After EINVAL: unless it was for the source, there is no room for the destination in the neighbour table. */
  #frame(bytes: Uint8Array, destination: Address, ifindex: number, source: Address, foreign: boolean): number {
    if (destination.bytes[0] !== 0xff || !(foreign || hasAddress(source, ifindex))) return -EINVAL;
    const result = this.#frames.send(bytes, destination, ifindex, source);
    if (result < 0) return -EINVAL;
    this.#pastNeighbours++;
    return result;
  }

  #read(): void {
    for (let i = 0; i < packetsPerTurn && !this.#closed; i++) {
      this.#in.reset();
      const length = recvmsgCall(this.#fd, this.#in.address, 0);
      if (length >= 0) this.#deliver(length);
      // Any other failure is one packet's or the interface's; the next may be fine, and the loop tells whether there is one.
      else if (errno() === EAGAIN) return;
    }
  }

  #deliver(length: number): void {
    const next = this.#next;
    readControl(this.#in.control, this.#in.controlLength, next);
    if (next.ifindex === 0) return;
    copyAddress(this.#in.name.bytes, 8, next.source.bytes, 0);
    if (this.#view.length !== length) {
      this.#view = new Uint8Array(this.#packet.buffer, this.#packet.byteOffset, length);
    }
    next.bytes = this.#view;
    this.#handler(next);
    this.#next = new Received();
  }

  /** A copy: the caller's array may lie in Node's shared pool, whose address koffi could not vouch for. */
  #load(bytes: Uint8Array): void {
    if (bytes.length > this.#sendData.length) {
      this.#sendData = kernelBuffer(bytes.length);
      this.#out.data = this.#sendData;
    }
    this.#sendData.set(bytes);
    this.#sent = bytes;
  }

  /** What is the same in every message that is sent. */
  #prepare(): void {
    const { name, control } = this.#out;
    // Its upper half is the port, which raw sockets have none of.
    name.words[0] = AF_INET6;
    control.words[0] = CMSGHDR_BYTES + PKTINFO_BYTES;
    control.words[8 / 4] = IPPROTO_IPV6;
    control.words[12 / 4] = IPV6_PKTINFO;
  }
}

class Received implements Icmp6Packet {
  bytes: Uint8Array = nothing;
  readonly source: Address = { family: 6, bytes: new Uint8Array(16) };
  readonly destination: Address = { family: 6, bytes: new Uint8Array(16) };
  ifindex = 0;
  hopLimit = -1;
  fragmented = false;
}

/**
 * Memory for the kernel, as bytes and as 32-bit words of its own byte order (the machine's: x86-64 and arm64 are
 * little-endian). These views cost code that is seldom run, and so never compiled, less than a Buffer's methods.
 */
class Memory {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly address: bigint;

  constructor(length: number) {
    const buffer = kernelBuffer(length);
    this.bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, length);
    this.words = new Int32Array(buffer.buffer, buffer.byteOffset, length >> 2);
    this.address = addressOf(buffer);
  }
}

/** A msghdr with one piece of data, and the memory that it points to. Lengths are below 2³², so their upper words stay 0. */
class Message {
  readonly name = new Memory(SOCKADDR_IN6_BYTES);
  readonly control: Memory;
  readonly iov = new Memory(16);
  readonly #header = new Memory(MSGHDR_BYTES);
  // No integer from the first: some addresses are below 2³¹ and some not, and V8 would have two kinds of object, and compile for one.
  readonly address: number = Number.NaN;

  constructor(data: Buffer, controlBytes: number) {
    this.address = Number(this.#header.address);
    this.control = new Memory(controlBytes);
    this.data = data;
    const header = new BigUint64Array(this.#header.bytes.buffer, this.#header.bytes.byteOffset, MSGHDR_BYTES / 8);
    header[0] = this.name.address;
    header[16 / 8] = this.iov.address;
    header[24 / 8] = 1n;
    header[32 / 8] = this.control.address;
    this.reset();
  }

  /** The owner of the buffer keeps it referenced. */
  set data(data: Buffer) {
    const iov = new BigUint64Array(this.iov.bytes.buffer, this.iov.bytes.byteOffset, 2);
    iov[0] = addressOf(data);
    iov[1] = BigInt(data.length);
  }

  /** Lengths back to what there is room for: the kernel has written what it used. */
  reset(): void {
    this.#header.words[8 / 4] = SOCKADDR_IN6_BYTES;
    this.#header.words[40 / 4] = this.control.bytes.length;
  }

  get controlLength(): number {
    return this.#header.words[40 / 4]!;
  }

  set controlLength(bytes: number) {
    this.#header.words[40 / 4] = bytes;
  }
}

/** @throws {SystemError} */
function openSocket(types: readonly number[]): number {
  const fd = check(
    orErrno(socketCall(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6)),
    'socket',
    'raw ICMPv6',
  );
  try {
    check(setSocketBytes(fd, IPPROTO_ICMPV6, ICMP6_FILTER, encodeFilter(types)), 'setsockopt', 'ICMP6_FILTER');
    const options: [name: string, option: number, value: number][] = [
      ['IPV6_RECVPKTINFO', IPV6_RECVPKTINFO, 1],
      ['IPV6_RECVHOPLIMIT', IPV6_RECVHOPLIMIT, 1],
      ['IPV6_RECVFRAGSIZE', IPV6_RECVFRAGSIZE, 1],
      ['IPV6_UNICAST_HOPS', IPV6_UNICAST_HOPS, 255],
      ['IPV6_MULTICAST_HOPS', IPV6_MULTICAST_HOPS, 255],
      ['IPV6_MULTICAST_LOOP', IPV6_MULTICAST_LOOP, 0],
      ['IPV6_MTU_DISCOVER', IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE],
    ];
    for (const [name, option, value] of options) {
      check(setSocketInt(fd, IPPROTO_IPV6, option, value), 'setsockopt', name);
    }
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** ICMP6_FILTER that passes only `types` (RFC 3542 §3.2). */
export function encodeFilter(types: readonly number[]): Buffer {
  const filter = Buffer.alloc(ICMP6_FILTER_BYTES, 0xff);
  for (const type of types) filter[type >> 3]! &= ~(1 << (type & 7));
  return filter;
}

function encodeMembership(group: Address, ifindex: number): Buffer {
  const bytes = kernelBuffer(IPV6_MREQ_BYTES);
  bytes.set(group.bytes, 0);
  bytes.writeUInt32LE(ifindex, 16);
  return bytes;
}

/** Fills in what the control messages say; the interface stays 0 where none names it. */
function readControl({ bytes, words }: Memory, length: number, into: Received): void {
  into.ifindex = 0;
  into.hopLimit = -1;
  into.fragmented = false;
  for (let at = 0; at + CMSGHDR_BYTES <= length; ) {
    // Of a u64, whose upper word is zero in any message as short as this; the kernel aligns each to 8.
    const size = words[at >> 2]!;
    if (size < CMSGHDR_BYTES || at + size > length) break;
    const value = at + CMSGHDR_BYTES;
    if (words[(at >> 2) + 2] === IPPROTO_IPV6) {
      const type = words[(at >> 2) + 3];
      if (type === IPV6_PKTINFO && size >= CMSGHDR_BYTES + PKTINFO_BYTES) {
        copyAddress(bytes, value, into.destination.bytes, 0);
        into.ifindex = words[(value + 16) >> 2]!;
      } else if (type === IPV6_HOPLIMIT && size >= CMSGHDR_BYTES + 4) {
        into.hopLimit = words[value >> 2]!;
      } else if (type === IPV6_RECVFRAGSIZE) {
        // Present only if there was a fragment header.
        into.fragmented = true;
      }
    }
    at += (size + 7) & ~7;
  }
}

/** In JavaScript: V8's own copying of typed arrays is code of many cache lines, and cold when a node asks. */
function copyAddress(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number): void {
  for (let i = 0; i < 16; i++) to[toAt + i] = from[fromAt + i]!;
}
