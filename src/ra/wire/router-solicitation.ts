import { isUnspecified } from '../../core/address.ts';
import { WireError } from '../../core/errors.ts';
import { checkOptions, encodeOption, type NdOption } from './options.ts';
import { checkPacket, type PacketMeta, ROUTER_SOLICITATION } from './packet.ts';

/** Router solicitation (RFC 4861 §4.1). */
export interface RouterSolicitation {
  readonly options: readonly NdOption[];
}

const HEADER_BYTES = 1 + 1 + 2 + 4;
const SOURCE_LINK_LAYER_ADDRESS = 1;

/** u8 type · u8 code = 0 · u16 checksum (the kernel's) · 4 reserved · options. */
export function encodeRouterSolicitation(solicitation: RouterSolicitation): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header[0] = ROUTER_SOLICITATION;
  return Buffer.concat([header, ...solicitation.options.map(encodeOption)]);
}

/**
 * Validates a solicitation by RFC 4861 §6.1.1. Its options are not read: nothing here follows from them, and a node waits
 * for the answer.
 * @throws {WireError} V6_ND_HOP_LIMIT, V6_ND_FRAGMENT, V6_ND_LENGTH, V6_ND_CODE, V6_ND_OPTION_ZERO, V6_ND_OPTION_LENGTH,
 *   V6_ND_SOURCE
 */
export function checkRouterSolicitation(bytes: Uint8Array, meta: PacketMeta): void {
  checkPacket(bytes, meta, HEADER_BYTES);
  const linkLayer = checkOptions(bytes, HEADER_BYTES, SOURCE_LINK_LAYER_ADDRESS);
  // By the type alone, so that an odd length makes no difference.
  if (linkLayer && isUnspecified(meta.source)) {
    throw new WireError('V6_ND_SOURCE', 'a link-layer address from the unspecified address');
  }
}

/** The Ethernet address in the source link-layer address option (RFC 4861 §4.6.1) of a valid solicitation, if it has one. */
export function sourceLinkLayerAddress(bytes: Uint8Array): Uint8Array | undefined {
  for (let at = HEADER_BYTES; at + 8 <= bytes.length && bytes[at + 1]! > 0; at += bytes[at + 1]! * 8) {
    if (bytes[at] === SOURCE_LINK_LAYER_ADDRESS) return bytes.slice(at + 2, at + 8);
  }
  return undefined;
}
