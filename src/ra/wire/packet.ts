/** What both messages share: where a packet came from, and the checks of RFC 4861 §6.1. */
import type { Address } from '../../core/address.ts';
import { WireError } from '../../core/errors.ts';

/** ICMPv6 types (RFC 4861 §4.1, §4.2). */
export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;

/** What the IP header said. */
export interface PacketMeta {
  readonly source: Address;
  readonly hopLimit: number;
  /** It had a fragment header; absent = no. */
  readonly fragmented?: boolean;
}

/**
 * The checks that §6.1.1 and §6.1.2 have in common, and that of RFC 6980 §5. The kernel has verified the checksum.
 * @throws {WireError} V6_ND_HOP_LIMIT, V6_ND_FRAGMENT, V6_ND_LENGTH, V6_ND_CODE
 */
export function checkPacket(bytes: Uint8Array, meta: PacketMeta, minimum: number): void {
  // 255 says that no router has forwarded it: it comes from this very link.
  if (meta.hopLimit !== 255) throw new WireError('V6_ND_HOP_LIMIT', `the hop limit is ${meta.hopLimit}, not 255`);
  // Fragments get past what switches filter (RA guard), and nothing honest is as large.
  if (meta.fragmented === true) throw new WireError('V6_ND_FRAGMENT', 'it came in fragments');
  if (bytes.length < minimum) throw new WireError('V6_ND_LENGTH', `${bytes.length} octets are less than ${minimum}`);
  if (bytes[1] !== 0) throw new WireError('V6_ND_CODE', `the code is ${bytes[1]}, not 0`);
}
