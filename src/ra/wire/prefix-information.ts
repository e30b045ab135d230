import { type Address, type Cidr, maskAddress } from '../../core/address.ts';
import { newOption, type OptionCodec, readLifetime, viewOf, writeLifetime } from './option.ts';

/** Prefix information (RFC 4861 §4.6.2). */
export interface PrefixInformation {
  readonly kind: 'prefix-information';
  readonly prefix: Cidr;
  /** L. */
  readonly onLink: boolean;
  /** A. */
  readonly autonomous: boolean;
  readonly validSeconds: number;
  readonly preferredSeconds: number;
  /** With R (RFC 6275 §7.2): the router's whole address, which lies in the prefix. */
  readonly routerAddress?: Address;
}

const flagOnLink = 0x80;
const flagAutonomous = 0x40;
const flagRouterAddress = 0x20;

/** u8 type · u8 length = 4 · u8 prefix length · u8 L A R reserved · u32 valid · u32 preferred · 4 reserved · 16 prefix. */
export const prefixInformation: OptionCodec<PrefixInformation> = {
  kind: 'prefix-information',
  type: 3,
  encode(option) {
    const { bytes, view } = newOption(this.type, 4);
    bytes[2] = option.prefix.length;
    bytes[3] =
      (option.onLink ? flagOnLink : 0) |
      (option.autonomous ? flagAutonomous : 0) |
      (option.routerAddress === undefined ? 0 : flagRouterAddress);
    writeLifetime(view, 4, option.validSeconds);
    writeLifetime(view, 8, option.preferredSeconds);
    bytes.set((option.routerAddress ?? option.prefix.base).bytes, 16);
    return bytes;
  },
  parse(bytes) {
    const length = bytes[2]!;
    if (bytes.length !== 32 || length > 128) return undefined;
    const view = viewOf(bytes);
    const field: Address = { family: 6, bytes: bytes.slice(16, 32) };
    return {
      kind: 'prefix-information',
      // "The bits in the prefix after the prefix length are reserved and […] MUST be ignored by the receiver."
      prefix: { base: maskAddress(field, length), length },
      onLink: (bytes[3]! & flagOnLink) !== 0,
      autonomous: (bytes[3]! & flagAutonomous) !== 0,
      validSeconds: readLifetime(view, 4),
      preferredSeconds: readLifetime(view, 8),
      ...((bytes[3]! & flagRouterAddress) !== 0 && { routerAddress: field }),
    };
  },
};
