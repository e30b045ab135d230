import { type Cidr, maskAddress } from '../../core/address.ts';
import { ValueError } from '../../core/errors.ts';
import { newOption, type OptionCodec, viewOf } from './option.ts';

/** NAT64 prefix (RFC 8781 §4). */
export interface Pref64 {
  readonly kind: 'pref64';
  /** Of length 96, 64, 56, 48, 40 or 32. */
  readonly prefix: Cidr;
  /** On the wire in units of 8 seconds: encoding rounds up, and cuts at 65528. */
  readonly lifetimeSeconds: number;
}

/** Prefix length codes, by place. */
const prefixLengths = [96, 64, 56, 48, 40, 32];
/** 13 bits of 8 seconds each. */
const maxScaledLifetime = 8191;

/** u8 type · u8 length = 2 · u16 scaled lifetime (13 bits) and prefix length code (3 bits) · 12 highest octets of the prefix. */
export const pref64: OptionCodec<Pref64> = {
  kind: 'pref64',
  type: 38,
  encode(option) {
    const code = prefixLengths.indexOf(option.prefix.length);
    if (code < 0) throw new ValueError(`a NAT64 prefix has a length of ${prefixLengths.join(', ')}`);
    if (!(option.lifetimeSeconds >= 0)) throw new ValueError(`${option.lifetimeSeconds} is no lifetime in seconds`);
    const { bytes, view } = newOption(this.type, 2);
    view.setUint16(2, (Math.min(maxScaledLifetime, Math.ceil(option.lifetimeSeconds / 8)) << 3) | code);
    bytes.set(option.prefix.base.bytes.subarray(0, 12), 4);
    return bytes;
  },
  parse(bytes) {
    if (bytes.length !== 16) return undefined;
    const field = viewOf(bytes).getUint16(2);
    // "a receiver MUST ignore the PREF64 option if the Prefix Length Code field is not set to one of those values."
    const length = prefixLengths[field & 0b111];
    if (length === undefined) return undefined;
    const prefix = new Uint8Array(16);
    prefix.set(bytes.subarray(4));
    return {
      kind: 'pref64',
      prefix: { base: maskAddress({ family: 6, bytes: prefix }, length), length },
      lifetimeSeconds: (field >> 3) * 8,
    };
  },
};
