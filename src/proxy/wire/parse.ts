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
import { parseTlvs, Tlv, tlvHeaderBytes, verifyCrc32c } from './tlv.ts';

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

/** What a header says that names no TCP addresses, in version 2's terms, so that it can be passed on. */
export interface Unaddressed {
  readonly local: boolean;
  /** Family and transport: 0x00 UNSPEC, 0x31 UNIX stream. */
  readonly transport: number;
  /** The address block: empty, or 216 bytes of UNIX paths. */
  readonly block: Uint8Array;
}

/** `unaddressed`: its socket addresses hold (LOCAL, UNKNOWN, AF_UNSPEC, AF_UNIX). `tlvs` are well-formed fields to pass on. */
export type ParsedHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'unaddressed'; readonly bytes: number; readonly what: Unaddressed; readonly tlvs: Uint8Array }
  | {
      readonly kind: 'proxied';
      readonly bytes: number;
      readonly addresses: ProxiedAddresses;
      readonly tlvs: Uint8Array;
    };

const unixBlockBytes = 108 + 108;
const nothing = new Uint8Array(0);
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
  if (words[1] === 'UNKNOWN') return unaddressed(bytes, false, 0, nothing, nothing);
  const family = words[1] === 'TCP4' ? 4 : words[1] === 'TCP6' ? 6 : 0;
  if (family === 0 || words.length !== 6) return invalid('version 1 line of a wrong form');
  const source = readAddress(words[2]!, family);
  const destination = readAddress(words[3]!, family);
  const sourcePort = readPort(words[4]!);
  const destinationPort = readPort(words[5]!);
  if (source === undefined || destination === undefined) return invalid('version 1 line with a bad address');
  if (sourcePort < 0 || destinationPort < 0) return invalid('version 1 line with a bad port');
  return {
    kind: 'proxied',
    bytes,
    addresses: unmapped(source, sourcePort, destination, destinationPort),
    tlvs: nothing,
  };
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
  const header = input.subarray(0, bytes);
  // §2.2: "the receiver must accept this connection as valid and must use the real connection endpoints and discard the
  // protocol block including the family".
  if (command === 0) return unaddressed(bytes, true, 0, nothing, nothing);
  const transport = input[13]!;
  if (transport === 0x11) return v2Addresses(header, 4);
  if (transport === 0x21) return v2Addresses(header, 6);
  if (transport === 0x31) return v2Unix(header);
  // UNSPEC: what follows may be anything; fields that are in order pass.
  if (transport === 0x00) {
    const tlvs = readTlvs(header, 16);
    return unaddressed(bytes, false, 0, nothing, typeof tlvs === 'string' ? nothing : tlvs);
  }
  return invalid('version 2 header with a protocol other than TCP');
}

function unaddressed(
  bytes: number,
  local: boolean,
  transport: number,
  block: Uint8Array,
  tlvs: Uint8Array,
): ParsedHeader {
  return { kind: 'unaddressed', bytes, what: { local, transport, block }, tlvs };
}

function v2Addresses(header: Buffer, family: 4 | 6): ParsedHeader {
  const width = family === 4 ? 4 : 16;
  const portsAt = 16 + 2 * width;
  if (header.length < portsAt + 4) return invalid('version 2 header too short for its addresses');
  const tlvs = readTlvs(header, portsAt + 4);
  if (typeof tlvs === 'string') return invalid(tlvs);
  const address = (at: number): Address => ({ family, bytes: Uint8Array.from(header.subarray(at, at + width)) });
  const [sourcePort, destinationPort] = [header.readUInt16BE(portsAt), header.readUInt16BE(portsAt + 2)];
  const addresses = unmapped(address(16), sourcePort, address(16 + width), destinationPort);
  return { kind: 'proxied', bytes: header.length, addresses, tlvs };
}

function v2Unix(header: Buffer): ParsedHeader {
  const end = 16 + unixBlockBytes;
  if (header.length < end) return invalid('version 2 header too short for its addresses');
  const tlvs = readTlvs(header, end);
  if (typeof tlvs === 'string') return invalid(tlvs);
  return unaddressed(header.length, false, 0x31, Uint8Array.from(header.subarray(16, end)), tlvs);
}

/** The fields to pass on, or what is wrong with them. Padding and the checksum were for this header alone. */
function readTlvs(header: Buffer, from: number): Uint8Array | string {
  if (from === header.length) return nothing;
  const fields = parseTlvs(header, from, header.length);
  if (fields === undefined) return 'version 2 header with fields that do not fill it';
  const kept: Uint8Array[] = [];
  for (const field of fields) {
    if (field.type === Tlv.crc32c) {
      // §2.2.3: "If the checksum doesn't match, the connection must be aborted".
      if (field.to - field.from !== 4 || !verifyCrc32c(header, field.from))
        return 'version 2 header with a bad checksum';
    } else if (field.type !== Tlv.noop) kept.push(header.subarray(field.from - tlvHeaderBytes, field.to));
  }
  return Uint8Array.from(Buffer.concat(kept));
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
