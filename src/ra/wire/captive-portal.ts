import { ValueError } from '../../core/errors.ts';
import { newOption, type OptionCodec } from './option.ts';

/** Captive portal (RFC 8910 §2.3). */
export interface CaptivePortal {
  readonly kind: 'captive-portal';
  /** URI of the portal's API, ASCII. */
  readonly uri: string;
}

/** u8 type · u8 length · URI, padded with zeros. */
export const captivePortal: OptionCodec<CaptivePortal> = {
  kind: 'captive-portal',
  type: 37,
  encode(option) {
    if (!/^[\x21-\x7e]+$/.test(option.uri)) throw new ValueError(`"${option.uri}" is no URI`);
    const { bytes } = newOption(this.type, Math.ceil((2 + option.uri.length) / 8));
    bytes.set(Buffer.from(option.uri, 'latin1'), 2);
    return bytes;
  },
  parse(bytes) {
    const uri = Buffer.from(bytes.subarray(2)).toString('latin1').replace(/\0+$/, '');
    return /^[\x21-\x7e]+$/.test(uri) ? { kind: 'captive-portal', uri } : undefined;
  },
};
