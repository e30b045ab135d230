/** All options that a router advertisement carries: the union, the table, and sequences of them. */
import { WireError } from '../../core/errors.ts';
import { type CaptivePortal, captivePortal } from './captive-portal.ts';
import { type Dnssl, dnssl } from './dnssl.ts';
import { type Mtu, mtu } from './mtu.ts';
import type { OptionCodec } from './option.ts';
import { type Pref64, pref64 } from './pref64.ts';
import { type PrefixInformation, prefixInformation } from './prefix-information.ts';
import { type Rdnss, rdnss } from './rdnss.ts';
import { type RouteInformation, routeInformation } from './route-information.ts';
import { type SourceLinkLayerAddress, sourceLinkLayerAddress } from './source-link-layer-address.ts';

/** An option of a kind we do not know, or one that does not follow its RFC. */
export interface RawOption {
  readonly kind: 'raw';
  readonly type: number;
  /** What follows type and length: 6 octets, or 8 more each unit. */
  readonly body: Uint8Array;
}

/** An option that we know. */
export type KnownOption =
  | PrefixInformation
  | RouteInformation
  | Rdnss
  | Dnssl
  | Pref64
  | CaptivePortal
  | Mtu
  | SourceLinkLayerAddress;

/** Any Neighbor Discovery option. */
export type NdOption = KnownOption | RawOption;

/** Every kind has its codec: a kind that is missing here does not compile. */
const codecs: { readonly [K in KnownOption['kind']]: OptionCodec<Extract<KnownOption, { kind: K }>> } = {
  'prefix-information': prefixInformation,
  'route-information': routeInformation,
  rdnss,
  dnssl,
  pref64,
  'captive-portal': captivePortal,
  mtu,
  'source-link-layer-address': sourceLinkLayerAddress,
};

const byType = new Map<number, OptionCodec<KnownOption>>(
  Object.values(codecs).map((codec) => [codec.type, codec as OptionCodec<KnownOption>]),
);

/** Options read from one message; a router that sends more is not worth the memory. */
const maxOptions = 256;

/**
 * Encodes one option.
 * @throws {ValueError} for a value that has no encoding
 */
export function encodeOption(option: NdOption): Uint8Array {
  if (option.kind !== 'raw') return (codecs[option.kind] as OptionCodec<KnownOption>).encode(option);
  const bytes = new Uint8Array(2 + option.body.length);
  bytes[0] = option.type;
  bytes[1] = bytes.length / 8;
  bytes.set(option.body, 2);
  return bytes;
}

/**
 * Reads all options from `offset` to the end. What does not parse as its kind becomes `raw`.
 * @throws {WireError} V6_ND_OPTION_ZERO, V6_ND_OPTION_LENGTH: RFC 4861 §4.6 and §6.1 discard the whole message
 */
export function parseOptions(bytes: Uint8Array, offset: number): NdOption[] {
  // As a plain Uint8Array: a Buffer's `slice` would not copy, and what is read here outlives the packet's memory.
  bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  const options: NdOption[] = [];
  for (let at = offset; at < bytes.length; ) {
    const end = endOfOption(bytes, at);
    if (options.length < maxOptions) options.push(parseOption(bytes.subarray(at, end)));
    at = end;
  }
  return options;
}

/**
 * Whether there is an option of a type, from `offset` to the end; whether they are well-formed is checked for all.
 * @throws {WireError} as `parseOptions`
 */
export function checkOptions(bytes: Uint8Array, offset: number, type: number): boolean {
  let found = false;
  for (let at = offset; at < bytes.length; at = endOfOption(bytes, at)) {
    if (bytes[at] === type) found = true;
  }
  return found;
}

function endOfOption(bytes: Uint8Array, at: number): number {
  if (bytes[at + 1] === 0) throw new WireError('V6_ND_OPTION_ZERO', `option ${bytes[at]} has length zero`);
  const end = at + (bytes[at + 1] ?? 255) * 8;
  if (end > bytes.length) throw new WireError('V6_ND_OPTION_LENGTH', `option ${bytes[at]} is cut off`);
  return end;
}

function parseOption(bytes: Uint8Array): NdOption {
  return byType.get(bytes[0]!)?.parse(bytes) ?? { kind: 'raw', type: bytes[0]!, body: bytes.slice(2) };
}
