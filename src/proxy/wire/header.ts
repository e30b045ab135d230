/**
 * PROXY protocol headers, versions 1 and 2, as a sender writes them
 * (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, §2.1 and §2.2).
 *
 * Written straight into the memory that the client's first bytes follow in, so that both leave in one send. The library
 * `proxy-protocol-js` builds the same bytes as new objects; tests compare the two.
 */

import { crc32c, Tlv, tlvHeaderBytes, writeTlv } from './tlv.ts';

/** The twelve bytes every version 2 header begins with. */
export const v2Signature: Uint8Array = Uint8Array.of(
  0x0d,
  0x0a,
  0x0d,
  0x0a,
  0x00,
  0x0d,
  0x0a,
  0x51,
  0x55,
  0x49,
  0x54,
  0x0a,
);

/** What stands before the addresses of a version 2 header: signature, version and command, family, length. */
export const v2PrefixBytes = 16;

/** What the longest header of ours takes: a version 1 line of 107 bytes. */
export const maxHeaderBytes = 107;

const commandLocal = 0x20;
const commandProxy = 0x21;
const streamOverInet = 0x11;
const streamOverInet6 = 0x21;

/** One address and port inside a socket address or a header: `bytes` from `at` on, 4 or 16 of them by `family`. */
export interface AddressSpan {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly port: number;
}

/**
 * Writes a version 2 PROXY header for a TCP connection; both addresses are of one family. Returns its length.
 * @param out at least 52 bytes from `start` on
 */
export function writeV2(out: Uint8Array, source: AddressSpan, destination: AddressSpan, start = 0): number {
  out.set(v2Signature, start);
  const family = source.family;
  const width = family === 4 ? 4 : 16;
  out[start + 12] = commandProxy;
  out[start + 13] = family === 4 ? streamOverInet : streamOverInet6;
  out[start + 14] = 0;
  out[start + 15] = 2 * width + 4;
  let at = copySpan(out, start + 16, source, width);
  at = copySpan(out, at, destination, width);
  at = writePort(out, at, source.port);
  return writePort(out, at, destination.port) - start;
}

/** What stands in a version 2 header before its fields. */
export interface V2Head {
  readonly local: boolean;
  /** Family and transport. */
  readonly transport: number;
  readonly block: Uint8Array;
}

/** The head of a TCP connection's header; both addresses are of one family. */
export function tcpHead(source: AddressSpan, destination: AddressSpan): V2Head {
  const whole = new Uint8Array(52);
  const length = writeV2(whole, source, destination);
  return { local: false, transport: whole[13]!, block: whole.subarray(16, length) };
}

/**
 * A version 2 header with fields, well-formed ones in `tlvs`; `checksum` adds theirs and the head's CRC32C (§2.2.3) as the
 * last.
 */
export function encodeV2(head: V2Head, tlvs: readonly Uint8Array[], checksum: boolean): Buffer {
  const crcBytes = tlvHeaderBytes + 4;
  const start = Buffer.alloc(v2PrefixBytes);
  start.set(v2Signature, 0);
  start[12] = head.local ? commandLocal : commandProxy;
  start[13] = head.transport;
  const header = Buffer.concat([start, head.block, ...tlvs, Buffer.alloc(checksum ? crcBytes : 0)]);
  header.writeUInt16BE(header.length - v2PrefixBytes, 14);
  if (checksum) {
    const at = header.length - crcBytes;
    writeTlv(header, at, Tlv.crc32c, new Uint8Array(4));
    header.writeUInt32BE(crc32c(header), at + tlvHeaderBytes);
  }
  return header;
}

/**
 * Writes a version 1 PROXY line (§2.1); both addresses are of one family. Returns its length.
 * @param out at least `maxHeaderBytes`
 * @param text writes the address of a span, as RFC 5952 has it for IPv6
 */
export function writeV1(
  out: Buffer,
  source: AddressSpan,
  destination: AddressSpan,
  text: (span: AddressSpan) => string,
): number {
  const ports = `${source.port} ${destination.port}`;
  return out.write(`PROXY TCP${source.family} ${text(source)} ${text(destination)} ${ports}\r\n`, 0, 'latin1');
}

/** The version 2 header of a connection of our own, such as a health check: command LOCAL, no family, no addresses (§2.2). */
export const v2Local: Uint8Array = Uint8Array.of(...v2Signature, commandLocal, 0, 0, 0);

/** The version 1 line of a connection of our own, for a health check: receivers ignore what follows UNKNOWN (§2.1). */
export const v1Unknown = 'PROXY UNKNOWN\r\n';

function copySpan(out: Uint8Array, to: number, span: AddressSpan, width: number): number {
  for (let i = 0; i < width; i++) out[to + i] = span.bytes[span.at + i]!;
  return to + width;
}

function writePort(out: Uint8Array, at: number, port: number): number {
  out[at] = port >> 8;
  out[at + 1] = port & 0xff;
  return at + 2;
}
