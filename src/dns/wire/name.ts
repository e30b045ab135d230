/**
 * Domain names (RFC 1035 §3.1, §4.1.4): wire form, text, map keys, order.
 *
 * Convention for parsing here and in message.ts: functions take the whole message and a range `[offset, end)` in it, and
 * return what they read with the offset after it. `parse*` throws `WireError`; `scan*` allocates nothing and returns -1.
 */
import { ValueError, WireError } from '../../core/errors.ts';
import { copyBytes } from './bytes.ts';

/** A name's uncompressed wire form with the root label, case as it came. */
export type Name = Uint8Array;

/** Latin-1 text of a name's lower-cased wire form: what maps are keyed by (names compare without case, RFC 4343 §3). */
export type NameKey = string;

/** Longest label and longest name in octets (RFC 1035 §2.3.4). */
const MAX_LABEL = 63;
export const MAX_NAME = 255;
/**
 * Pointers of one name: as many as it can have labels. Whoever writes names points at labels; chains of pointers alone, of which
 * 14 bits allow 8,185 for each of 4,000 records, would make a message of 64 KiB cost a tenth of a second to read.
 */
export const MAX_POINTERS = 127;

/** The root's name. */
export const ROOT: Name = Uint8Array.of(0);

/** What stands before the first name of a message. */
const HEADER_LENGTH = 12;
const DOT = 0x2e;
const BACKSLASH = 0x5c;
/** What master files give a meaning: `"$().;@\` (RFC 1035 §5.1). */
const SPECIAL = new Set([0x22, 0x24, 0x28, 0x29, DOT, 0x3b, 0x40, BACKSLASH]);

/** Where keys are lower-cased on their way to a string; holds nothing between calls. */
const keyBytes = Buffer.alloc(MAX_NAME);

/**
 * Reads a name that may be compressed. A pointer must point before the run of labels it ends, so every jump goes further
 * back, and there are at most `MAX_POINTERS` of them.
 * @throws {WireError}
 */
export function parseName(message: Uint8Array, offset: number, end: number): { name: Name; next: number } {
  const next = skipName(message, offset, end);
  // Without a pointer the name is the bytes themselves: the last one is the root label.
  if (next - offset === 1 || message[next - 2]! < 0xc0 || !endsInPointer(message, offset, next)) {
    return { name: copyBytes(message, offset, next), next };
  }
  const name = new Uint8Array(expandedLength(message, offset));
  let at = 0;
  for (let from = offset; ; ) {
    const length = message[from]!;
    if (length >= 0xc0) {
      from = ((length & 0x3f) << 8) | message[from + 1]!;
      continue;
    }
    for (let i = 0; i <= length; i++) name[at++] = message[from + i]!;
    if (length === 0) return { name, next };
    from += length + 1;
  }
}

/**
 * Checks a name and finds its end.
 * @throws {WireError}
 */
export function skipName(message: Uint8Array, offset: number, end: number): number {
  const next = scanName(message, offset, end);
  if (next < 0) throw new WireError('V6_DNS_NAME', `no valid name at offset ${offset}`);
  return next;
}

/**
 * Checks a name and finds its end; -1 if it runs past `end`, points forward or into the header (no name is there, RFC 1035
 * §4.1.4, and who changes the header would change the name), has more than `MAX_POINTERS`, or is longer than 255 octets.
 */
export function scanName(message: Uint8Array, offset: number, end: number): number {
  let next = -1;
  let run = offset;
  let from = offset;
  let total = 0;
  let jumps = 0;
  for (;;) {
    if (from >= end) return -1;
    const length = message[from]!;
    if (length === 0) return next < 0 ? from + 1 : next;
    if (length <= MAX_LABEL) {
      total += length + 1;
      // 254: the root label is still to come.
      if (total > MAX_NAME - 1) return -1;
      from += length + 1;
    } else {
      // 01 and 10 are no labels any more (RFC 6891 §5); a pointer is two octets.
      if (length < 0xc0 || from + 1 >= end) return -1;
      if (next < 0) next = from + 2;
      const target = ((length & 0x3f) << 8) | message[from + 1]!;
      if (target >= run || target < HEADER_LENGTH || ++jumps > MAX_POINTERS) return -1;
      run = target;
      from = target;
    }
  }
}

/** Finds the end of a name that may not be compressed; -1 if there is none. */
export function scanPlainName(bytes: Uint8Array, offset: number, end: number): number {
  for (let from = offset; from < end; ) {
    const length = bytes[from]!;
    if (length > MAX_LABEL) return -1;
    from += length + 1;
    if (from - offset > MAX_NAME) return -1;
    if (length === 0) return from;
  }
  return -1;
}

/** The map key of a name. */
export function nameKey(name: Name): NameKey {
  return nameKeyAt(name, 0, name.length);
}

/** The map key of an uncompressed name inside a message. */
export function nameKeyAt(message: Uint8Array, offset: number, end: number): NameKey {
  // A length octet is at most 63, below 'A': all octets can be treated alike.
  for (let i = offset; i < end; i++) keyBytes[i - offset] = lower(message[i]!);
  return keyBytes.toString('latin1', 0, end - offset);
}

/** The (lower-cased) name of a map key. */
export function nameFromKey(key: NameKey): Name {
  const name = new Uint8Array(key.length);
  for (let i = 0; i < name.length; i++) name[i] = key.charCodeAt(i);
  return name;
}

/** The key of the name one label up; undefined for the root. */
export function parentKey(key: NameKey): NameKey | undefined {
  return key.length === 1 ? undefined : key.slice(key.charCodeAt(0) + 1);
}

/** Whether a name is the other or below it. */
export function isSubdomainKey(child: NameKey, parent: NameKey): boolean {
  let from = 0;
  while (child.length - from > parent.length) from += child.charCodeAt(from) + 1;
  return child.length - from === parent.length && child.endsWith(parent);
}

/** Whether two names are the same, case aside (RFC 4343 §3). */
export function equalNames(a: Name, b: Name): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (lower(a[i]!) !== lower(b[i]!)) return false;
  return true;
}

/** Whether the checked names at two places of a message, compressed or not, are the same. */
export function sameNameAt(message: Uint8Array, a: number, b: number): boolean {
  for (;;) {
    while (message[a]! >= 0xc0) a = ((message[a]! & 0x3f) << 8) | message[a + 1]!;
    while (message[b]! >= 0xc0) b = ((message[b]! & 0x3f) << 8) | message[b + 1]!;
    // Compressed names mostly end in the same octets.
    if (a === b) return true;
    const length = message[a]!;
    if (length !== message[b]!) return false;
    if (length === 0) return true;
    for (let i = 1; i <= length; i++) if (lower(message[a + i]!) !== lower(message[b + i]!)) return false;
    a += length + 1;
    b += length + 1;
  }
}

/** A copy in lower case. */
export function lowerName(name: Name): Name {
  const copy = new Uint8Array(name.length);
  for (let i = 0; i < name.length; i++) copy[i] = lower(name[i]!);
  return copy;
}

/** Canonical order: label by label from the root, lower-cased octets, absent before present (RFC 4034 §6.1). */
export function compareNames(a: Name, b: Name): number {
  const as = labelOffsets(a);
  const bs = labelOffsets(b);
  for (let i = 1; i <= as.length && i <= bs.length; i++) {
    const order = compareLabels(a, as[as.length - i]!, b, bs[bs.length - i]!);
    if (order !== 0) return order;
  }
  return as.length - bs.length;
}

/**
 * Reads a name in master-file form (RFC 1035 §5.1): `\.` and `\DDD` escapes; without a final dot it is relative to
 * `origin`, or absolute when there is none. The empty text is the root only where no origin is given.
 * @throws {ValueError}
 */
export function nameFromText(text: string, origin?: Name): Name {
  if (text === '.' || (text === '' && origin === undefined)) return ROOT;
  const name: number[] = [];
  let labelStart = 0;
  name.push(0);
  let i = 0;
  for (; i < text.length; i++) {
    let octet = text.charCodeAt(i);
    if (octet === DOT) {
      closeLabel(name, labelStart, text);
      labelStart = name.length;
      name.push(0);
      continue;
    }
    if (octet === BACKSLASH) {
      const digits = /^\d{3}/.exec(text.slice(i + 1, i + 4))?.[0];
      octet = digits === undefined ? text.charCodeAt(i + 1) : Number(digits);
      if (!(octet <= 255)) throw new ValueError(`"${text}" has a bad escape in it`);
      i += digits === undefined ? 1 : 3;
    } else if (octet <= 0x20 || octet >= 0x7f) {
      throw new ValueError(`"${text}" is no domain name: write such characters as \\DDD, or the name in its xn-- form`);
    }
    name.push(octet);
  }
  if (name.length - labelStart > 1) {
    closeLabel(name, labelStart, text);
    for (const octet of origin ?? ROOT) name.push(octet);
  } else if (text === '') {
    throw new ValueError('a domain name is empty');
  }
  if (name.length > MAX_NAME) throw new ValueError(`"${text}" is longer than ${MAX_NAME} octets as a domain name`);
  return Uint8Array.from(name);
}

/** Writes a name in master-file form, without the final dot; the root is `.`. */
export function nameToText(name: Name): string {
  if (name.length === 1) return '.';
  let text = '';
  for (let from = 0; name[from]! > 0; ) {
    if (from > 0) text += '.';
    const labelEnd = from + name[from]! + 1;
    for (from++; from < labelEnd; from++) text += escapeOctet(name[from]!);
  }
  return text;
}

function escapeOctet(octet: number): string {
  if (octet <= 0x20 || octet >= 0x7f) return `\\${String(octet).padStart(3, '0')}`;
  return (SPECIAL.has(octet) ? '\\' : '') + String.fromCharCode(octet);
}

function closeLabel(name: number[], labelStart: number, text: string): void {
  const length = name.length - labelStart - 1;
  if (length === 0) throw new ValueError(`"${text}" has an empty label`);
  if (length > MAX_LABEL) throw new ValueError(`"${text}" has a label longer than ${MAX_LABEL} octets`);
  name[labelStart] = length;
}

function endsInPointer(message: Uint8Array, offset: number, next: number): boolean {
  let from = offset;
  while (message[from]! <= MAX_LABEL && from < next) from += message[from]! + 1;
  return from === next - 2;
}

/** Length of a checked name with its pointers followed. */
function expandedLength(message: Uint8Array, offset: number): number {
  let total = 1;
  for (let from = offset; message[from] !== 0; ) {
    const length = message[from]!;
    if (length >= 0xc0) {
      from = ((length & 0x3f) << 8) | message[from + 1]!;
    } else {
      total += length + 1;
      from += length + 1;
    }
  }
  return total;
}

function labelOffsets(name: Name): number[] {
  const offsets: number[] = [];
  for (let from = 0; name[from]! > 0; from += name[from]! + 1) offsets.push(from);
  return offsets;
}

function compareLabels(a: Name, aFrom: number, b: Name, bFrom: number): number {
  const length = Math.min(a[aFrom]!, b[bFrom]!);
  for (let i = 1; i <= length; i++) {
    const order = lower(a[aFrom + i]!) - lower(b[bFrom + i]!);
    if (order !== 0) return order;
  }
  return a[aFrom]! - b[bFrom]!;
}

function lower(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet;
}
