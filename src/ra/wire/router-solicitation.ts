import { isUnspecified } from '../../core/address.ts';
import { WireError } from '../../core/errors.ts';
import { encodeOption, type NdOption, parseOptions } from './options.ts';
import { checkPacket, type PacketMeta, ROUTER_SOLICITATION } from './packet.ts';

/** Router solicitation (RFC 4861 §4.1). */
export interface RouterSolicitation {
  readonly options: readonly NdOption[];
}

const HEADER_BYTES = 1 + 1 + 2 + 4;

/** u8 type · u8 code = 0 · u16 checksum (the kernel's) · 4 reserved · options. */
export function encodeRouterSolicitation(solicitation: RouterSolicitation): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header[0] = ROUTER_SOLICITATION;
  return Buffer.concat([header, ...solicitation.options.map(encodeOption)]);
}

/**
 * Reads and validates a solicitation by RFC 4861 §6.1.1.
 * @throws {WireError} V6_ND_HOP_LIMIT, V6_ND_LENGTH, V6_ND_CODE, V6_ND_OPTION_ZERO, V6_ND_OPTION_LENGTH, V6_ND_SOURCE
 */
export function parseRouterSolicitation(bytes: Uint8Array, meta: PacketMeta): RouterSolicitation {
  checkPacket(bytes, meta, HEADER_BYTES);
  const options = parseOptions(bytes, HEADER_BYTES);
  // By the type alone, so that an odd length makes no difference.
  if (isUnspecified(meta.source) && options.some((option) => option.kind === 'source-link-layer-address')) {
    throw new WireError('V6_ND_SOURCE', 'a link-layer address from the unspecified address');
  }
  return { options };
}
