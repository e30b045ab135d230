/** Addresses of accepted connections as spans of the socket address the kernel gave, without a copy of their bytes. */
import { type Address, formatAddress } from '../core/address.ts';
import { AF_INET } from '../linux/constants.ts';
import type { AddressSpan } from './wire/header.ts';

/** The address in a sockaddr_in or sockaddr_in6; an IPv4-mapped one (RFC 4291 §2.5.5.2) as the IPv4 address it stands for. */
export function spanOfSockaddr(name: Uint8Array): AddressSpan {
  const port = (name[2]! << 8) | name[3]!;
  if (name[0] === AF_INET) return { family: 4, bytes: name, at: 4, port };
  if (isMapped(name)) return { family: 4, bytes: name, at: 8 + 12, port };
  return { family: 6, bytes: name, at: 8, port };
}

/** The span of an address that came in a PROXY header. */
export function spanOfAddress(address: Address, port: number): AddressSpan {
  return { family: address.family, bytes: address.bytes, at: 0, port };
}

/** The 4 or 16 bytes of the address, not copied. */
export function spanBytes(span: AddressSpan): Uint8Array {
  return span.bytes.subarray(span.at, span.at + (span.family === 4 ? 4 : 16));
}

/** The address as text. */
export function spanAddress(span: AddressSpan): string {
  const { bytes, at } = span;
  if (span.family === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  return formatAddress({ family: 6, bytes: spanBytes(span) });
}

/** Address and port as `parseEndpoint` reads them. */
export function spanEndpoint(span: AddressSpan): string {
  return span.family === 4 ? `${spanAddress(span)}:${span.port}` : `[${spanAddress(span)}]:${span.port}`;
}

function isMapped(name: Uint8Array): boolean {
  for (let i = 8; i < 18; i++) if (name[i] !== 0) return false;
  return name[18] === 0xff && name[19] === 0xff;
}
