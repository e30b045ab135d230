/**
 * Type-length-value fields behind the addresses of a version 2 PROXY header
 * (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, §2.2.1 to §2.2.8), and the checksum that is one of them.
 */

/** Types that this program writes or treats apart; all others pass through. */
export const Tlv = { alpn: 0x01, authority: 0x02, crc32c: 0x03, noop: 0x04, uniqueId: 0x05 } as const;

/** Type, and two bytes of length. */
export const tlvHeaderBytes = 1 + 2;

/** §2.2.9: PP2_TYPE_MIN_CUSTOM to PP2_TYPE_MAX_CUSTOM, for who writes and reads the header to agree on. */
export const customTlvs = { min: 0xe0, max: 0xef } as const;

/** One field: where its value lies. */
export interface TlvSpan {
  readonly type: number;
  readonly from: number;
  readonly to: number;
}

/** The fields in `input` from `from` up to `end`, or undefined when they do not fill it exactly. */
export function parseTlvs(input: Uint8Array, from: number, end: number): TlvSpan[] | undefined {
  const found: TlvSpan[] = [];
  let at = from;
  while (at < end) {
    if (at + tlvHeaderBytes > end) return undefined;
    const value = at + tlvHeaderBytes;
    const to = value + ((input[at + 1]! << 8) | input[at + 2]!);
    if (to > end) return undefined;
    found.push({ type: input[at]!, from: value, to });
    at = to;
  }
  return found;
}

/** Writes a field; returns where the next begins. */
export function writeTlv(out: Uint8Array, at: number, type: number, value: Uint8Array): number {
  out[at] = type;
  out[at + 1] = value.length >> 8;
  out[at + 2] = value.length & 0xff;
  out.set(value, at + tlvHeaderBytes);
  return at + tlvHeaderBytes + value.length;
}

/**
 * Whether the checksum field holds the checksum of the whole header: §2.2.3 has it computed with the field's value zero.
 * @param at where the value lies, four bytes
 */
export function verifyCrc32c(header: Uint8Array, at: number): boolean {
  const zeroed = Uint8Array.from(header);
  zeroed.fill(0, at, at + 4);
  return crc32c(zeroed) === new DataView(header.buffer, header.byteOffset).getUint32(at);
}

/** CRC-32C (Castagnoli), as in RFC 9260 appendix A: unsigned. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffff_ffff) >>> 0;
}

const table: Uint32Array = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});
