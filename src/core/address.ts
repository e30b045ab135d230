import ipaddr from 'ipaddr.js';
import { ValueError } from './errors.ts';

/** An IP address: 4 or 16 bytes in network order, with the zone id (RFC 4007 §11) of a scoped IPv6 address. */
export interface Address {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
  readonly zone?: string;
}

/** Address and port. */
export interface InetEndpoint {
  readonly kind: 'inet';
  readonly address: Address;
  readonly port: number;
}

/** A UNIX socket's path. */
export interface UnixEndpoint {
  readonly kind: 'unix';
  readonly path: string;
}

export type Endpoint = InetEndpoint | UnixEndpoint;

/** An address prefix; bits of `base` beyond `length` are zero. */
export interface Cidr {
  readonly base: Address;
  readonly length: number;
}

/** An interface's name or number: at most 15 characters (IFNAMSIZ less its NUL), no space and no slash. */
const zonePattern = /^[!-.0-~]{1,15}$/;

const v4MappedPrefix = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

/**
 * Reads an IPv4 or IPv6 address, `fe80::1%eth1` with its zone id.
 * @throws {ValueError}
 */
export function parseAddress(text: string): Address {
  const plainIpv6 = parsePlainIpv6(text);
  if (plainIpv6 !== undefined) return { family: 6, bytes: plainIpv6 };
  const [host, zone, ...rest] = text.split('%');
  const family = host!.includes(':') ? 6 : 4;
  const plain = family === 6 ? withoutDottedQuad(host!) : host!;
  const valid =
    rest.length === 0 &&
    (zone === undefined || zonePattern.test(zone)) &&
    (family === 6 ? ipaddr.IPv6.isValid(plain) : ipaddr.IPv4.isValidFourPartDecimal(plain) && zone === undefined);
  if (!valid) throw new ValueError(`"${text}" is no IPv4 or IPv6 address`);
  const bytes = Uint8Array.from(ipaddr.parse(plain).toByteArray());
  return zone === undefined ? { family, bytes } : { family, bytes, zone };
}

/** IPv6 text of hexadecimal groups alone, by hand: a zone file may have a hundred thousand. Undefined: it is something else. */
function parsePlainIpv6(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  let groups = 0;
  /** How many groups stand before `::`; -1 without one. */
  let gap = -1;
  let at = 0;
  if (text.startsWith('::')) {
    gap = 0;
    at = 2;
  }
  while (at < text.length) {
    let value = 0;
    const start = at;
    for (; at < text.length && at < start + 4; at++) {
      const digit = hexDigit(text.charCodeAt(at));
      if (digit < 0) break;
      value = (value << 4) | digit;
    }
    if (at === start || groups === 8) return undefined;
    bytes[2 * groups] = value >> 8;
    bytes[2 * groups + 1] = value;
    groups++;
    if (at === text.length) break;
    if (text[at++] !== ':') return undefined;
    if (text[at] === ':') {
      if (gap >= 0) return undefined;
      gap = groups;
      at++;
    } else if (at === text.length) {
      return undefined;
    }
  }
  if (gap < 0) return groups === 8 ? bytes : undefined;
  // `::` stands for a group at least.
  if (groups === 8) return undefined;
  const end = 16 - 2 * (groups - gap);
  bytes.copyWithin(end, 2 * gap, 2 * groups);
  return bytes.fill(0, 2 * gap, end);
}

/** -1: it is none. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** IPv6 text whose last 32 bits stand as IPv4 (RFC 4291 §2.2), in groups: ipaddr.js takes ::192.0.2.1 for ::ffff:192.0.2.1. */
function withoutDottedQuad(host: string): string {
  const start = host.lastIndexOf(':') + 1;
  const quad = host.slice(start);
  if (!ipaddr.IPv4.isValidFourPartDecimal(quad)) return host;
  const [a, b, c, d] = quad.split('.').map(Number);
  return `${host.slice(0, start)}${((a! << 8) | b!).toString(16)}:${((c! << 8) | d!).toString(16)}`;
}

/** Writes an address, IPv6 by RFC 5952, IPv4-mapped ones in mixed notation (its §5). */
export function formatAddress(address: Address): string {
  if (address.family === 4) return address.bytes.join('.');
  const text = startsWith(address.bytes, v4MappedPrefix)
    ? `::ffff:${address.bytes.subarray(12).join('.')}`
    : formatIpv6(address.bytes);
  return address.zone === undefined ? text : `${text}%${address.zone}`;
}

/** RFC 5952 §4 by hand: it stands in every session's log line, where ipaddr.js would take microseconds. */
function formatIpv6(bytes: Uint8Array): string {
  let runAt = -1;
  let runLength = 1; // §4.2.2: a single group of zeros is not shortened
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && group(bytes, i + length) === 0) length++;
    if (length > runLength) {
      runAt = i;
      runLength = length;
    }
    i += length;
  }
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === runAt) {
      text += '::';
      i += runLength - 1;
    } else {
      if (i > 0 && i !== runAt + runLength) text += ':';
      text += group(bytes, i).toString(16);
    }
  }
  return text;
}

function group(bytes: Uint8Array, i: number): number {
  return (bytes[i * 2]! << 8) | bytes[i * 2 + 1]!;
}

/** The IPv4 address inside an IPv4-mapped one (::ffff:0:0/96, RFC 4291 §2.5.5.2); any other address as it is. */
export function unmapAddress(address: Address): Address {
  if (address.family === 4 || !startsWith(address.bytes, v4MappedPrefix)) return address;
  return { family: 4, bytes: address.bytes.slice(12) };
}

/** Whether two addresses are the same, zone included. */
export function equalAddress(a: Address, b: Address): boolean {
  return a.family === b.family && a.zone === b.zone && a.bytes.every((byte, i) => byte === b.bytes[i]);
}

/** Whether the address is in fe80::/10 (RFC 4291 §2.5.6). */
export function isLinkLocal(address: Address): boolean {
  return address.family === 6 && address.bytes[0] === 0xfe && (address.bytes[1]! & 0xc0) === 0x80;
}

/** Whether the address is 0.0.0.0 or ::. */
export function isUnspecified(address: Address): boolean {
  return address.bytes.every((byte) => byte === 0);
}

/** Whether the address is in 127.0.0.0/8 or is ::1. */
export function isLoopback(address: Address): boolean {
  if (address.family === 4) return address.bytes[0] === 127;
  return address.bytes.every((byte, i) => byte === (i === 15 ? 1 : 0));
}

/**
 * Reads `1.2.3.4:53`, `[fd00::1]:53`, `[fe80::1%eth1]:53` or `unix:/path`.
 * @throws {ValueError}
 */
export function parseEndpoint(text: string): Endpoint {
  if (text.startsWith('unix:')) {
    const path = text.slice(5);
    // sun_path holds 108 bytes with its NUL (unix(7)).
    if (!path.startsWith('/') || path.includes('\0') || Buffer.byteLength(path) > 107) {
      throw new ValueError(`"${text}" is no UNIX socket: the path must be absolute and at most 107 bytes`);
    }
    return { kind: 'unix', path };
  }
  const match = /^(?:\[([^\]]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    throw new ValueError(`"${text}" is no endpoint; write 1.2.3.4:53, [fd00::1]:53 or unix:/path`);
  }
  const address = parseAddress(match[1] ?? match[2]!);
  if ((address.family === 6) !== (match[1] !== undefined)) throw new ValueError(`"${text}": brackets are for IPv6`);
  return { kind: 'inet', address, port };
}

/**
 * `parseEndpoint` for places where only address and port make sense.
 * @throws {ValueError}
 */
export function parseInetEndpoint(text: string): InetEndpoint {
  const endpoint = parseEndpoint(text);
  if (endpoint.kind !== 'inet') throw new ValueError(`"${text}": an address and port is wanted here`);
  return endpoint;
}

/** Writes an endpoint the way `parseEndpoint` reads it. */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`;
  const host = formatAddress(endpoint.address);
  return endpoint.address.family === 6 ? `[${host}]:${endpoint.port}` : `${host}:${endpoint.port}`;
}

/**
 * Reads `fd00::/64` or `10.0.0.0/8`; an address alone is a prefix of full length.
 * @throws {ValueError} also when bits are set beyond the length: such a prefix is more often a slip than meant
 */
export function parseCidr(text: string): Cidr {
  const [host, suffix, ...rest] = text.split('/');
  const base = parseAddress(host!);
  const width = base.bytes.length * 8;
  const length = suffix === undefined ? width : Number(suffix);
  if (rest.length > 0 || (suffix !== undefined && !/^\d{1,3}$/.test(suffix)) || length > width) {
    throw new ValueError(`"${text}" is no prefix; write for example fd00:6:6::/64 or 192.0.2.0/24`);
  }
  if (base.zone !== undefined) throw new ValueError(`"${text}": a prefix has no zone id`);
  const masked = maskAddress(base, length);
  if (!equalAddress(masked, base)) {
    throw new ValueError(`"${text}" has bits beyond its length; did you mean ${formatAddress(masked)}/${length}?`);
  }
  return { base, length };
}

/** A prefix of IPv4-mapped addresses (RFC 4291 §2.5.5.2) as the IPv4 prefix it stands for; any other as it is. */
export function unmapCidr(cidr: Cidr): Cidr {
  const base = unmapAddress(cidr.base);
  const mapping = 8 * v4MappedPrefix.length;
  return base.family === cidr.base.family || cidr.length < mapping ? cidr : { base, length: cidr.length - mapping };
}

/** Writes `fd00::/64`, as `parseCidr` reads it. */
export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.base)}/${cidr.length}`;
}

/** The address with all bits beyond `length` cleared. */
export function maskAddress(address: Address, length: number): Address {
  const bytes = address.bytes.map((byte, i) => byte & (0xff << Math.max(0, Math.min(8, 8 - (length - i * 8)))));
  return { family: address.family, bytes };
}

/** Whether `bytes` (4 or 16, an unmapped address) lies in the prefix. Allocates nothing: it stands in packet paths. */
export function cidrContains(cidr: Cidr, bytes: Uint8Array): boolean {
  const base = cidr.base.bytes;
  if (base.length !== bytes.length) return false;
  const whole = cidr.length >> 3;
  for (let i = 0; i < whole; i++) if (base[i] !== bytes[i]) return false;
  const rest = cidr.length & 7;
  return rest === 0 || ((base[whole]! ^ bytes[whole]!) & (0xff00 >> rest) & 0xff) === 0;
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.every((byte, i) => byte === bytes[i]);
}
