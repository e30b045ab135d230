import { ValueError } from '../../core/errors.ts';
import { newOption, type OptionCodec, readLifetime, viewOf, writeLifetime } from './option.ts';

/** DNS search list (RFC 8106 §5.2). */
export interface Dnssl {
  readonly kind: 'dnssl';
  readonly lifetimeSeconds: number;
  /** At least one; without the trailing dot, octets beyond letters, digits, `-` and `_` written `\DDD` (RFC 1035 §5.1). */
  readonly domains: readonly string[];
}

/** RFC 1035 §2.3.4. */
const maxLabelOctets = 63;
const maxNameOctets = 255;

/** u8 type · u8 length · 2 reserved · u32 lifetime · names (RFC 1035 §3.1, uncompressed), padded with zeros. */
export const dnssl: OptionCodec<Dnssl> = {
  kind: 'dnssl',
  type: 31,
  encode(option) {
    if (option.domains.length === 0) throw new ValueError('a DNSSL option has at least one domain');
    const names = option.domains.flatMap(encodeName);
    const { bytes, view } = newOption(this.type, 1 + Math.ceil(names.length / 8));
    writeLifetime(view, 4, option.lifetimeSeconds);
    bytes.set(names, 8);
    return bytes;
  },
  parse(bytes) {
    // §5.3.1: "the Length field […] greater than or equal to 2".
    if (bytes.length < 16) return undefined;
    const domains: string[] = [];
    for (let at = 8; at < bytes.length && bytes[at] !== 0; ) {
      const name = parseName(bytes, at);
      if (name === undefined) return undefined;
      domains.push(name.text);
      at = name.end;
    }
    if (domains.length === 0) return undefined;
    return { kind: 'dnssl', lifetimeSeconds: readLifetime(viewOf(bytes), 4), domains };
  },
};

function encodeName(text: string): number[] {
  const bytes: number[] = [];
  // A dot inside a label is written \046 here, so splitting at dots is safe.
  for (const label of text.replace(/\.$/, '').split('.')) {
    const octets: number[] = [];
    for (const [, code, character] of label.matchAll(/\\(\d{3})|(.)/gsu)) {
      const octet = code === undefined ? character!.codePointAt(0)! : Number(code);
      if (octet > (code === undefined ? 127 : 255)) {
        throw new ValueError(`"${text}" is no domain name: write other alphabets in their xn-- form`);
      }
      octets.push(octet);
    }
    if (octets.length === 0 || octets.length > maxLabelOctets) {
      throw new ValueError(`"${text}" is no domain name: a label has 1 to ${maxLabelOctets} octets`);
    }
    bytes.push(octets.length, ...octets);
  }
  bytes.push(0);
  if (bytes.length > maxNameOctets) throw new ValueError(`"${text}" is longer than a domain name can be`);
  return bytes;
}

/** Reads one name that is not the root; `end` is just beyond its zero octet. Compression is not allowed here. */
function parseName(bytes: Uint8Array, start: number): { text: string; end: number } | undefined {
  const labels: string[] = [];
  for (let at = start; at < bytes.length && at - start < maxNameOctets; ) {
    const length = bytes[at]!;
    if (length === 0) return { text: labels.join('.'), end: at + 1 };
    if (length > maxLabelOctets || at + 1 + length > bytes.length) return undefined;
    labels.push(Array.from(bytes.subarray(at + 1, at + 1 + length), labelCharacter).join(''));
    at += 1 + length;
  }
  return undefined;
}

function labelCharacter(octet: number): string {
  const character = String.fromCharCode(octet);
  return /[\w-]/.test(character) ? character : `\\${String(octet).padStart(3, '0')}`;
}
