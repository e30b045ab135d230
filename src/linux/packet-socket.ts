/**
 * ICMPv6 multicasts as Ethernet frames of our own (packet(7)): for when the kernel has no room for one more neighbour.
 *
 * Before it sends to a group the kernel wants an entry for it in its neighbour table, whose size is one for the machine
 * (net.ipv6.neigh.default.gc_thresh3). Whoever can speak on a link can fill it, and then sendmsg(2) says EINVAL. A
 * group's link-layer address needs no table: it follows from the group (RFC 2464 §7).
 *
 *   sockaddr_ll  u16 family · u16 protocol (network order) · i32 interface index · u16 hatype · u8 pkttype · u8 address length · 8 address
 */
import type { Address } from '../core/address.ts';
import { AF_PACKET, IPPROTO_ICMPV6, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from './constants.ts';
import { closeFd, libcCall, orErrno } from './libc.ts';

const ETH_P_IPV6 = 0x86dd;
const SOCKADDR_LL_BYTES = 2 + 2 + 4 + 2 + 1 + 1 + 8;
const ETHER_ADDR_BYTES = 6;
const IPV6_HEADER_BYTES = 40;
const CHECKSUM_AT = IPV6_HEADER_BYTES + 2;

const socketCall = libcCall<(family: number, type: number, protocol: number) => number>(
  'int socket(int family, int type, int protocol)',
);
const sendtoCall = libcCall<
  (fd: number, bytes: Uint8Array, length: number, flags: number, to: Uint8Array, toLength: number) => number
>('int64 sendto(int fd, void *bytes, size_t length, int flags, void *to, uint toLength)');

/** Sends only; opened with the first frame. Needs CAP_NET_RAW. */
export class PacketSocket {
  #fd: number | undefined;

  /**
   * Sends an ICMPv6 message whose checksum field is zero to a group, with hop limit 255.
   * @returns bytes of the message, or -errno (-EMSGSIZE: larger than the MTU; -EAFNOSUPPORT: forbidden to this process)
   */
  send(message: Uint8Array, group: Address, ifindex: number, source: Address): number {
    if (this.#fd === undefined) {
      // With protocol 0 nothing comes in.
      const fd = orErrno(socketCall(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      if (fd < 0) return fd;
      this.#fd = fd;
    }
    const packet = encodeIcmp6Packet(message, source, group);
    const to = encodeGroupSockaddr(group, ifindex);
    const result = orErrno(sendtoCall(this.#fd, packet, packet.length, 0, to, to.length));
    return result < 0 ? result : message.length;
  }

  /** Idempotent. */
  close(): void {
    if (this.#fd !== undefined) closeFd(this.#fd);
    this.#fd = undefined;
  }
}

/** A whole IPv6 packet (RFC 8200 §3), with the checksum of RFC 4443 §2.3. */
export function encodeIcmp6Packet(message: Uint8Array, source: Address, destination: Address): Buffer {
  const packet = Buffer.alloc(IPV6_HEADER_BYTES + message.length);
  packet[0] = 6 << 4;
  packet.writeUInt16BE(message.length, 4);
  packet[6] = IPPROTO_ICMPV6;
  packet[7] = 255;
  packet.set(source.bytes, 8);
  packet.set(destination.bytes, 24);
  packet.set(message, IPV6_HEADER_BYTES);
  // The pseudo-header (RFC 8200 §8.1): the two addresses, which lie before the message, its length and the next header.
  let sum = message.length + IPPROTO_ICMPV6;
  for (let at = 8; at < packet.length; at += 2) sum += (packet[at]! << 8) | (packet[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  packet.writeUInt16BE(~sum & 0xffff, CHECKSUM_AT);
  return packet;
}

/** 33:33 and the last four octets of the group (RFC 2464 §7). */
function encodeGroupSockaddr(group: Address, ifindex: number): Buffer {
  const bytes = Buffer.alloc(SOCKADDR_LL_BYTES);
  bytes.writeUInt16LE(AF_PACKET, 0);
  bytes.writeUInt16BE(ETH_P_IPV6, 2);
  bytes.writeInt32LE(ifindex, 4);
  bytes[11] = ETHER_ADDR_BYTES;
  bytes.set([0x33, 0x33, ...group.bytes.subarray(12)], 12);
  return bytes;
}
