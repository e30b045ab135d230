import { isLinkLocal } from '../../core/address.ts';
import { ValueError, WireError } from '../../core/errors.ts';
import { viewOf } from './option.ts';
import { encodeOption, type NdOption, parseOptions } from './options.ts';
import { checkPacket, type PacketMeta, ROUTER_ADVERTISEMENT } from './packet.ts';
import { encodePreference, parsePreference, type RouterPreference } from './preference.ts';

/** Router advertisement (RFC 4861 §4.2, preference by RFC 4191 §2.2). */
export interface RouterAdvertisement {
  /** Cur Hop Limit; 0 = unspecified. */
  readonly hopLimit: number;
  /** M. */
  readonly managed: boolean;
  /** O. */
  readonly other: boolean;
  /** H (RFC 6275 §7.1). */
  readonly homeAgent: boolean;
  readonly preference: RouterPreference;
  /** Router Lifetime; 0 = no default router. */
  readonly lifetimeSeconds: number;
  /** Reachable Time; 0 = unspecified. */
  readonly reachableTimeMs: number;
  /** Retrans Timer; 0 = unspecified. */
  readonly retransTimerMs: number;
  readonly options: readonly NdOption[];
}

const flagManaged = 0x80;
const flagOther = 0x40;
const flagHomeAgent = 0x20;

/** Octets before the first option. */
export const ADVERTISEMENT_HEADER_BYTES = 1 + 1 + 2 + 1 + 1 + 2 + 4 + 4;

/**
 * u8 type · u8 code = 0 · u16 checksum (the kernel's) · u8 hop limit · u8 M O H preference · u16 lifetime · u32 reachable
 * time · u32 retrans timer · options.
 * @throws {ValueError} for a value that has no encoding
 */
export function encodeRouterAdvertisement(advertisement: RouterAdvertisement): Uint8Array {
  const header = new Uint8Array(ADVERTISEMENT_HEADER_BYTES);
  const view = viewOf(header);
  header[0] = ROUTER_ADVERTISEMENT;
  header[4] = checkRange('hop limit', advertisement.hopLimit, 0xff);
  header[5] =
    (advertisement.managed ? flagManaged : 0) |
    (advertisement.other ? flagOther : 0) |
    (advertisement.homeAgent ? flagHomeAgent : 0) |
    encodePreference(advertisement.preference);
  view.setUint16(6, checkRange('router lifetime', advertisement.lifetimeSeconds, 0xffff));
  view.setUint32(8, checkRange('reachable time', advertisement.reachableTimeMs, 0xffff_ffff));
  view.setUint32(12, checkRange('retrans timer', advertisement.retransTimerMs, 0xffff_ffff));
  return Buffer.concat([header, ...advertisement.options.map(encodeOption)]);
}

/**
 * Reads and validates an advertisement by RFC 4861 §6.1.2.
 * @throws {WireError} V6_ND_HOP_LIMIT, V6_ND_FRAGMENT, V6_ND_LENGTH, V6_ND_CODE, V6_ND_OPTION_ZERO, V6_ND_OPTION_LENGTH,
 *   V6_ND_SOURCE
 */
export function parseRouterAdvertisement(bytes: Uint8Array, meta: PacketMeta): RouterAdvertisement {
  if (!isLinkLocal(meta.source)) throw new WireError('V6_ND_SOURCE', 'the source is no link-local address');
  checkPacket(bytes, meta, ADVERTISEMENT_HEADER_BYTES);
  const view = viewOf(bytes);
  return {
    hopLimit: bytes[4]!,
    managed: (bytes[5]! & flagManaged) !== 0,
    other: (bytes[5]! & flagOther) !== 0,
    homeAgent: (bytes[5]! & flagHomeAgent) !== 0,
    // RFC 4191 §2.2: "If the Reserved (10) value is received, the receiver MUST treat the value as if it were (00)."
    preference: parsePreference(bytes[5]!) ?? 'medium',
    lifetimeSeconds: view.getUint16(6),
    reachableTimeMs: view.getUint32(8),
    retransTimerMs: view.getUint32(12),
    options: parseOptions(bytes, ADVERTISEMENT_HEADER_BYTES),
  };
}

function checkRange(name: string, value: number, maximum: number): number {
  if (!Number.isInteger(value) || value < 0 || value > maximum)
    throw new ValueError(`${name} ${value} is not 0..${maximum}`);
  return value;
}
