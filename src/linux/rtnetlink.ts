/**
 * rtnetlink (rtnetlink(7)) as far as we read it: message framing, dump requests, RTM_*LINK, RTM_*ADDR and RTM_NEWNEIGH, and of their
 * attributes only those we use.
 *
 *   nlmsghdr   u32 length (with this header) · u16 type · u16 flags · u32 sequence · u32 port; the next starts 4-aligned
 *   ifinfomsg  u8 family · u8 pad · u16 type · i32 index · u32 flags · u32 change
 *   ifaddrmsg  u8 family · u8 prefix length · u8 flags · u8 scope · u32 index
 *   ndmsg      u8 family · 3 pad · i32 index · u16 state · u8 flags · u8 type
 *   rtattr     u16 length (with this header) · u16 type · value; the next starts 4-aligned
 */
import type { Address } from '../core/address.ts';
import { AF_INET, AF_INET6 } from './constants.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWNEIGH = 28;
export const RTM_GETNEIGH = 30;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
/** A dump that a change overtook. */
export const NLM_F_DUMP_INTR = 0x10;
const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP = 0x300;

const NLMSGHDR_BYTES = 4 + 2 + 2 + 4 + 4;
const IFINFOMSG_BYTES = 1 + 1 + 2 + 4 + 4 + 4;
const IFADDRMSG_BYTES = 1 + 1 + 1 + 1 + 4;
const NDMSG_BYTES = 1 + 3 + 4 + 2 + 1 + 1;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_TEMPORARY = 0x01;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;

const NDA_DST = 1;
const NDA_LLADDR = 2;

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Administratively up and with carrier (IFF_UP and IFF_RUNNING). */
  readonly up: boolean;
  readonly mtu: number;
  /** Link-layer address; empty where there is none. */
  readonly mac: Uint8Array;
}

/** RT_SCOPE_* of an address: where it is valid. */
export type AddressScope = 'global' | 'site' | 'link' | 'host';

/** An address of an interface. */
export interface InterfaceAddress {
  readonly address: Address;
  readonly prefixLength: number;
  /** Duplicate address detection has not ended (RFC 4862 §5.4); an optimistic one (RFC 4429) counts as tentative. */
  readonly tentative: boolean;
  /** The preferred lifetime is over. */
  readonly deprecated: boolean;
  /** A privacy address (RFC 8981). */
  readonly temporary: boolean;
  /** Another node has it. */
  readonly dadFailed: boolean;
  readonly scope: AddressScope;
}

/** One netlink message. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Port of the socket whose request this answers, or that made the change. */
  readonly port: number;
  readonly body: Buffer;
}

/** What of a neighbour the kernel holds to be true (NUD_*; RFC 4861 §7.3.2 has the first five). */
export type NeighbourState = (typeof neighbourStates)[number][1] | 'none';

const neighbourStates = [
  [0x01, 'incomplete'],
  [0x02, 'reachable'],
  [0x04, 'stale'],
  [0x08, 'delay'],
  [0x10, 'probe'],
  [0x20, 'failed'],
  [0x40, 'noarp'],
  [0x80, 'permanent'],
] as const;

/** An entry of the neighbour cache. */
export interface Neighbour {
  /** Index of the interface. */
  readonly index: number;
  readonly address: Address;
  readonly state: NeighbourState;
  /** Link-layer address; empty where the kernel has none. */
  readonly mac: Uint8Array;
}

const requestBytes = {
  [RTM_GETLINK]: IFINFOMSG_BYTES,
  [RTM_GETADDR]: IFADDRMSG_BYTES,
  [RTM_GETNEIGH]: NDMSG_BYTES,
};

/** A request for all links, addresses or neighbours, of all families. */
export function encodeDumpRequest(type: keyof typeof requestBytes, sequence: number): Buffer {
  const bytes = Buffer.alloc(NLMSGHDR_BYTES + requestBytes[type]);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(NLM_F_REQUEST | NLM_F_DUMP, 6);
  bytes.writeUInt32LE(sequence, 8);
  return bytes;
}

/** Reads the messages of one datagram; stops at one that does not fit. */
export function parseNetlinkMessages(datagram: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + NLMSGHDR_BYTES <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    if (length < NLMSGHDR_BYTES || at + length > datagram.length) break;
    messages.push({
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      sequence: datagram.readUInt32LE(at + 8),
      port: datagram.readUInt32LE(at + 12),
      body: datagram.subarray(at + NLMSGHDR_BYTES, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/**
 * Reads the body of RTM_NEWLINK or RTM_DELLINK; undefined for what is about no link as such: too short, no name, or of a
 * family. (A port that leaves a bridge is an RTM_DELLINK of family AF_BRIDGE; the link stays.)
 */
export function parseLink(body: Buffer): Link | undefined {
  if (body.length < IFINFOMSG_BYTES || body[0] !== 0) return undefined;
  const flags = body.readUInt32LE(8);
  const attributes = readAttributes(body, IFINFOMSG_BYTES);
  const name = attributes.get(IFLA_IFNAME);
  if (name === undefined) return undefined;
  const mtu = attributes.get(IFLA_MTU);
  return {
    index: body.readInt32LE(4),
    name: name.toString('utf8').replace(/\0.*$/s, ''),
    up: (flags & IFF_UP) !== 0 && (flags & IFF_RUNNING) !== 0,
    mtu: mtu === undefined || mtu.length < 4 ? 0 : mtu.readUInt32LE(0),
    mac: Uint8Array.from(attributes.get(IFLA_ADDRESS) ?? []),
  };
}

/** Reads the body of RTM_NEWADDR or RTM_DELADDR; undefined for other families and what is too short. */
export function parseInterfaceAddress(body: Buffer): { index: number; address: InterfaceAddress } | undefined {
  if (body.length < IFADDRMSG_BYTES) return undefined;
  const family = body[0] === AF_INET ? 4 : body[0] === AF_INET6 ? 6 : undefined;
  if (family === undefined) return undefined;
  const attributes = readAttributes(body, IFADDRMSG_BYTES);
  // On point-to-point links IFA_ADDRESS is the peer's and IFA_LOCAL is ours.
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (bytes?.length !== (family === 4 ? 4 : 16)) return undefined;
  // The flags in the header are the low eight bits of IFA_FLAGS, which hold all we look at.
  const wide = attributes.get(IFA_FLAGS);
  const flags = wide === undefined || wide.length < 4 ? body[2]! : wide.readUInt32LE(0);
  return {
    index: body.readUInt32LE(4),
    address: {
      address: { family, bytes: Uint8Array.from(bytes) },
      prefixLength: body[1]!,
      tentative: (flags & IFA_F_TENTATIVE) !== 0,
      deprecated: (flags & IFA_F_DEPRECATED) !== 0,
      // IFA_F_SECONDARY of IPv4 is the same bit.
      temporary: family === 6 && (flags & IFA_F_TEMPORARY) !== 0,
      dadFailed: (flags & IFA_F_DADFAILED) !== 0,
      scope: scopeOf(body[3]!),
    },
  };
}

/** Reads the body of RTM_NEWNEIGH; undefined for other families and what is too short. */
export function parseNeighbour(body: Buffer): Neighbour | undefined {
  if (body.length < NDMSG_BYTES) return undefined;
  const family = body[0] === AF_INET ? 4 : body[0] === AF_INET6 ? 6 : undefined;
  if (family === undefined) return undefined;
  const attributes = readAttributes(body, NDMSG_BYTES);
  const bytes = attributes.get(NDA_DST);
  if (bytes?.length !== (family === 4 ? 4 : 16)) return undefined;
  const bits = body.readUInt16LE(8);
  return {
    index: body.readInt32LE(4),
    address: { family, bytes: Uint8Array.from(bytes) },
    state: neighbourStates.find(([bit]) => (bits & bit) !== 0)?.[1] ?? 'none',
    mac: Uint8Array.from(attributes.get(NDA_LLADDR) ?? []),
  };
}

function scopeOf(scope: number): AddressScope {
  if (scope === 253) return 'link';
  if (scope === 254) return 'host';
  return scope === 200 ? 'site' : 'global';
}

/** Attributes by type, the first of each; stops at one that does not fit. */
function readAttributes(body: Buffer, start: number): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = start; at + 4 <= body.length; ) {
    const length = body.readUInt16LE(at);
    if (length < 4 || at + length > body.length) break;
    // The upper two bits say nested and network byte order.
    const type = body.readUInt16LE(at + 2) & 0x3fff;
    if (!found.has(type)) found.set(type, body.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}
