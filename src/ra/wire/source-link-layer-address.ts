import { newOption, type OptionCodec } from './option.ts';

/** Source link-layer address (RFC 4861 §4.6.1); for Ethernet 6 octets (RFC 2464 §6). */
export interface SourceLinkLayerAddress {
  readonly kind: 'source-link-layer-address';
  /** With the padding to the option's end, which nothing on the wire tells apart from the address. */
  readonly address: Uint8Array;
}

/** u8 type · u8 length · address, padded with zeros. */
export const sourceLinkLayerAddress: OptionCodec<SourceLinkLayerAddress> = {
  kind: 'source-link-layer-address',
  type: 1,
  encode(option) {
    const { bytes } = newOption(this.type, Math.max(1, Math.ceil((2 + option.address.length) / 8)));
    bytes.set(option.address, 2);
    return bytes;
  },
  parse(bytes) {
    return { kind: 'source-link-layer-address', address: bytes.slice(2) };
  },
};
