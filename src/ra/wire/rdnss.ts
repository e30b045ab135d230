import type { Address } from '../../core/address.ts';
import { ValueError } from '../../core/errors.ts';
import { newOption, type OptionCodec, readLifetime, viewOf, writeLifetime } from './option.ts';

/** Recursive DNS servers (RFC 8106 §5.1). */
export interface Rdnss {
  readonly kind: 'rdnss';
  readonly lifetimeSeconds: number;
  /** At least one. */
  readonly servers: readonly Address[];
}

/** u8 type · u8 length = 1 + 2 × servers · 2 reserved · u32 lifetime · 16 each server. */
export const rdnss: OptionCodec<Rdnss> = {
  kind: 'rdnss',
  type: 25,
  encode(option) {
    if (option.servers.length === 0) throw new ValueError('an RDNSS option has at least one server');
    const { bytes, view } = newOption(this.type, 1 + 2 * option.servers.length);
    writeLifetime(view, 4, option.lifetimeSeconds);
    for (const [i, server] of option.servers.entries()) bytes.set(server.bytes, 8 + 16 * i);
    return bytes;
  },
  parse(bytes) {
    // §5.3.1: "the Length field […] greater than or equal to 3 […] and (Length - 1) % 2 == 0".
    if (bytes.length < 24 || (bytes.length - 8) % 16 !== 0) return undefined;
    const servers: Address[] = [];
    for (let at = 8; at < bytes.length; at += 16) servers.push({ family: 6, bytes: bytes.slice(at, at + 16) });
    return { kind: 'rdnss', lifetimeSeconds: readLifetime(viewOf(bytes), 4), servers };
  },
};
