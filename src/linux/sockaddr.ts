/**
 * sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)) to and from addresses.
 *
 *   sockaddr_in   u16 family (host order) · u16 port (network order) · 4 address · 8 zero
 *   sockaddr_in6  u16 family (host order) · u16 port (network order) · u32 flowinfo · 16 address · u32 scope id (host order)
 */
import { readFileSync } from 'node:fs';
import { type Address, formatAddress, type InetEndpoint } from '../core/address.ts';
import { ValueError } from '../core/errors.ts';
import { AF_INET, AF_INET6 } from './constants.ts';

export const SOCKADDR_IN_BYTES = 2 + 2 + 4 + 8;
export const SOCKADDR_IN6_BYTES = 2 + 2 + 4 + 16 + 4;

/**
 * Encodes a socket address; the zone id of a link-local address is resolved to its interface index now.
 * @throws {ValueError} when the zone names no interface
 */
export function encodeSockaddr(address: Address, port: number): Buffer {
  if (address.family === 4) {
    const bytes = Buffer.alloc(SOCKADDR_IN_BYTES);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(port, 2);
    bytes.set(address.bytes, 4);
    return bytes;
  }
  const bytes = Buffer.alloc(SOCKADDR_IN6_BYTES);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address.bytes, 8);
  if (address.zone !== undefined) bytes.writeUInt32LE(zoneIndex(address), 24);
  return bytes;
}

/** Decodes a socket address of family INET or INET6 at `offset`; undefined for any other family. IPv4-mapped stays as it is. */
export function decodeSockaddr(bytes: Buffer, offset = 0): InetEndpoint | undefined {
  const family = bytes.readUInt16LE(offset);
  const port = bytes.readUInt16BE(offset + 2);
  if (family === AF_INET) {
    return {
      kind: 'inet',
      address: { family: 4, bytes: Uint8Array.from(bytes.subarray(offset + 4, offset + 8)) },
      port,
    };
  }
  if (family !== AF_INET6) return undefined;
  const address = { family: 6 as const, bytes: Uint8Array.from(bytes.subarray(offset + 8, offset + 24)) };
  const scope = bytes.readUInt32LE(offset + 24);
  return { kind: 'inet', address: scope === 0 ? address : { ...address, zone: String(scope) }, port };
}

function zoneIndex(address: Address): number {
  const zone = address.zone!;
  if (/^\d{1,10}$/.test(zone) && Number(zone) <= 0xffff_ffff) return Number(zone);
  try {
    if (zone.includes('/')) throw new ValueError('an interface name has no slash');
    return Number(readFileSync(`/sys/class/net/${zone}/ifindex`, 'ascii'));
  } catch (cause) {
    throw new ValueError(`${formatAddress(address)}: there is no interface ${zone}`, { cause });
  }
}
