/**
 * PROXY protocol headers as a receiver reads them, both versions
 * (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, §2).
 *
 * "The receiver MUST not try to guess": anything that does not begin like a header is an error, and a header that is
 * begun is waited for, up to the bounds below.
 */
import { type Address, parseAddress, unmapAddress } from '../../core/address.ts';
import { ValueError } from '../../core/errors.ts';
import { v2Signature } from './header.ts';

/** §2.1: "a 108-byte buffer is always enough to store all the line and a trailing zero". */
const maxV1Bytes = 107;
/**
 * Longest version 2 header taken. The length field allows 64 KiB of TLVs; senders known to us stay far below 1 KiB (an
 * AWS endpoint id, an SNI name), and what is not complete is read again with each segment.
 */
export const maxV2Bytes = 16 + 2048;

/** Addresses that a header names. */
export interface ProxiedAddresses {
  readonly source: Address;
  readonly sourcePort: number;
  readonly destination: Address;
  readonly destinationPort: number;
}

/** `local`: the connection is the sender's own, its socket addresses hold (LOCAL, UNKNOWN, AF_UNSPEC, AF_UNIX). */
export type ParsedHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'local'; readonly bytes: number }
  | { readonly kind: 'proxied'; readonly bytes: number; readonly addresses: ProxiedAddresses };

const incomplete: ParsedHeader = { kind: 'incomplete' };

/** Reads the header that `input` begins with; `bytes` of the result is where the client's own data starts. */
export function parseProxyHeader(input: Buffer): ParsedHeader {
  if (input.length === 0) return incomplete;
  if (input[0] === v2Signature[0]) return parseV2(input);
  return parseV1(input);
}

function invalid(reason: string): ParsedHeader {
  return { kind: 'invalid', reason };
}

function parseV1(input: Buffer): ParsedHeader {
  const prefix = 'PROXY ';
  const begin = input.toString('latin1', 0, Math.min(input.length, prefix.length));
  if (!prefix.startsWith(begin)) return invalid('no PROXY header');
  const window = input.subarray(0, maxV1Bytes);
  const end = window.indexOf('\r\n', 0, 'latin1');
  if (end < 0) return input.length >= maxV1Bytes ? invalid('version 1 line without an end') : incomplete;
  const bytes = end + 2;
  const words = window.toString('latin1', 0, end).split(' ');
  // §2.1: after UNKNOWN "the receiver must ignore anything presented before the CRLF".
  if (words[1] === 'UNKNOWN') return { kind: 'local', bytes };
  const family = words[1] === 'TCP4' ? 4 : words[1] === 'TCP6' ? 6 : 0;
  if (family === 0 || words.length !== 6) return invalid('version 1 line of a wrong form');
  const source = readAddress(words[2]!, family);
  const destination = readAddress(words[3]!, family);
  const sourcePort = readPort(words[4]!);
  const destinationPort = readPort(words[5]!);
  if (source === undefined || destination === undefined) return invalid('version 1 line with a bad address');
  if (sourcePort < 0 || destinationPort < 0) return invalid('version 1 line with a bad port');
  return { kind: 'proxied', bytes, addresses: unmapped(source, sourcePort, destination, destinationPort) };
}

/** A decimal number without leading zeroes, 0 to 65535; -1 when it is anything else. */
function readPort(text: string): number {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65535 ? Number(text) : -1;
}

function readAddress(text: string, family: 4 | 6): Address | undefined {
  try {
    const address = parseAddress(text);
    return address.family === family && address.zone === undefined ? address : undefined;
  } catch (error) {
    if (error instanceof ValueError) return undefined;
    throw error;
  }
}

function parseV2(input: Buffer): ParsedHeader {
  for (let i = 0; i < v2Signature.length && i < input.length; i++) {
    if (input[i] !== v2Signature[i]) return invalid('no PROXY header');
  }
  if (input.length < 16) return incomplete;
  const version = input[12]! >> 4;
  const command = input[12]! & 0x0f;
  // §2.2: "Any value other than 2 must be rejected"; "receivers must drop connections presenting unexpected values" of the command.
  if (version !== 2 || command > 1) return invalid('version 2 header with an unknown version or command');
  const bytes = 16 + input.readUInt16BE(14);
  if (bytes > maxV2Bytes) return invalid(`version 2 header longer than ${maxV2Bytes} bytes`);
  if (input.length < bytes) return incomplete;
  if (command === 0) return { kind: 'local', bytes };
  const transport = input[13]!;
  if (transport === 0x11) return v2Addresses(input, bytes, 4);
  if (transport === 0x21) return v2Addresses(input, bytes, 6);
  // UNSPEC and UNIX name no address a member could use (§2.2: "must ... use the real connection endpoints").
  if (transport === 0x00 || transport === 0x31) return { kind: 'local', bytes };
  return invalid('version 2 header with a protocol other than TCP');
}

function v2Addresses(input: Buffer, bytes: number, family: 4 | 6): ParsedHeader {
  const width = family === 4 ? 4 : 16;
  const portsAt = 16 + 2 * width;
  if (bytes < portsAt + 4) return invalid('version 2 header too short for its addresses');
  const problem = checkTlvs(input, portsAt + 4, bytes);
  if (problem !== undefined) return invalid(problem);
  const address = (at: number): Address => ({ family, bytes: Uint8Array.from(input.subarray(at, at + width)) });
  return {
    kind: 'proxied',
    bytes,
    addresses: unmapped(address(16), input.readUInt16BE(portsAt), address(16 + width), input.readUInt16BE(portsAt + 2)),
  };
}

/** Type, two bytes of length, value (§2.2.1 on): only that they fill the header exactly is checked. */
function checkTlvs(input: Buffer, from: number, end: number): string | undefined {
  let at = from;
  while (at < end) {
    if (at + 3 > end) return 'version 2 header with a cut TLV';
    at += 3 + input.readUInt16BE(at + 1);
  }
  return at === end ? undefined : 'version 2 header with a TLV longer than the header';
}

/** Senders that listen on a dual-stack socket leak ::ffff: addresses; a pair of them is an IPv4 pair. */
function unmapped(
  source: Address,
  sourcePort: number,
  destination: Address,
  destinationPort: number,
): ProxiedAddresses {
  const a = unmapAddress(source);
  const b = unmapAddress(destination);
  if (a.family !== b.family) return { source, sourcePort, destination, destinationPort };
  return { source: a, sourcePort, destination: b, destinationPort };
}
