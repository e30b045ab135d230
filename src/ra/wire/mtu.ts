import { ValueError } from '../../core/errors.ts';
import { newOption, type OptionCodec, viewOf } from './option.ts';

/** MTU (RFC 4861 §4.6.4). */
export interface Mtu {
  readonly kind: 'mtu';
  readonly mtu: number;
}

/** u8 type · u8 length = 1 · 2 reserved · u32 MTU. */
export const mtu: OptionCodec<Mtu> = {
  kind: 'mtu',
  type: 5,
  encode(option) {
    if (!Number.isInteger(option.mtu) || option.mtu < 0 || option.mtu > 0xffff_ffff) {
      throw new ValueError(`${option.mtu} is no MTU`);
    }
    const { bytes, view } = newOption(this.type, 1);
    view.setUint32(4, option.mtu);
    return bytes;
  },
  parse(bytes) {
    return bytes.length === 8 ? { kind: 'mtu', mtu: viewOf(bytes).getUint32(4) } : undefined;
  },
};
