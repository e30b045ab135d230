import { type Cidr, maskAddress } from '../../core/address.ts';
import { newOption, type OptionCodec, readLifetime, viewOf, writeLifetime } from './option.ts';
import { encodePreference, parsePreference, type RouterPreference } from './preference.ts';

/** Route information (RFC 4191 §2.3). */
export interface RouteInformation {
  readonly kind: 'route-information';
  readonly prefix: Cidr;
  readonly preference: RouterPreference;
  readonly lifetimeSeconds: number;
}

/** u8 type · u8 length = 1, 2 or 3 · u8 prefix length · u8 preference in bits 4 and 3 · u32 lifetime · 0, 8 or 16 prefix. */
export const routeInformation: OptionCodec<RouteInformation> = {
  kind: 'route-information',
  type: 24,
  encode(option) {
    const { bytes, view } = newOption(this.type, unitsFor(option.prefix.length));
    bytes[2] = option.prefix.length;
    bytes[3] = encodePreference(option.preference);
    writeLifetime(view, 4, option.lifetimeSeconds);
    bytes.set(option.prefix.base.bytes.subarray(0, bytes.length - 8), 8);
    return bytes;
  },
  parse(bytes) {
    const length = bytes[2]!;
    // "If the Reserved (10) value is received, the Route Information Option MUST be ignored."
    const preference = parsePreference(bytes[3]!);
    if (bytes.length > 24 || length > 128 || bytes[1]! < unitsFor(length) || preference === undefined) return undefined;
    const prefix = new Uint8Array(16);
    prefix.set(bytes.subarray(8));
    return {
      kind: 'route-information',
      prefix: { base: maskAddress({ family: 6, bytes: prefix }, length), length },
      preference,
      lifetimeSeconds: readLifetime(viewOf(bytes), 4),
    };
  },
};

function unitsFor(prefixLength: number): number {
  if (prefixLength === 0) return 1;
  return prefixLength <= 64 ? 2 : 3;
}
