/** Addresses of accepted connections as spans of the socket address the kernel gave, without a copy of their bytes. */
import { type Address, formatAddress } from '../core/address.ts';
import { AF_INET } from '../linux/constants.ts';
import type { AddressSpan } from './wire/header.ts';

/**
 * The address in the sockaddr_in or sockaddr_in6 that begins at `from`; an IPv4-mapped one (RFC 4291 §2.5.5.2) as the IPv4
 * address it stands for.
 */
export function spanOfSockaddr(bytes: Uint8Array, from = 0): AddressSpan {
  const port = (bytes[from + 2]! << 8) | bytes[from + 3]!;
  if (bytes[from] === AF_INET) return { family: 4, bytes, at: from + 4, port };
  const at = from + 8;
  if (isMapped(bytes, at)) return { family: 4, bytes, at: at + 12, port };
  return { family: 6, bytes, at, port };
}

/** The span of an address that came in a PROXY header. */
export function spanOfAddress(address: Address, port: number): AddressSpan {
  return { family: address.family, bytes: address.bytes, at: 0, port };
}

/** The same, an IPv4-mapped address as the IPv4 one: a PROXY header may name one beside an IPv6 address, and then has it so. */
export function unmapSpan(span: AddressSpan): AddressSpan {
  if (span.family === 4 || !isMapped(span.bytes, span.at)) return span;
  return { family: 4, bytes: span.bytes, at: span.at + 12, port: span.port };
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

function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}
