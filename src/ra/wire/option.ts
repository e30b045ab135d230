/**
 * What all Neighbor Discovery options have in common (RFC 4861 §4.6): u8 type · u8 length in units of 8 octets, this
 * header included · body.
 *
 * Convention of the codecs in this folder: `parse` gets exactly one option, header included, whose length was checked to
 * be what its length octet says and not zero. It returns undefined when the option does not follow its own RFC, which says
 * of each of these that receivers ignore such an option (the others of the message still count); it then becomes `raw`.
 * `encode` returns a whole option and throws `ValueError` for a value that has no encoding.
 */
import { ValueError } from '../../core/errors.ts';

/** One option: its number and both directions. */
export interface OptionCodec<T extends { readonly kind: string }> {
  readonly kind: T['kind'];
  readonly type: number;
  encode(option: T): Uint8Array;
  parse(bytes: Uint8Array): T | undefined;
}

/** RFC 4861 §4.6: "All 1 bits (0xffffffff) represents infinity." Here `Infinity`. */
const infiniteLifetime = 0xffff_ffff;

/** An option of `units` × 8 octets with type and length filled in, and a view to write numbers with. */
export function newOption(type: number, units: number): { bytes: Uint8Array; view: DataView } {
  if (units > 255) throw new ValueError(`option ${type} would be ${units * 8} octets long; an option has at most 2040`);
  const bytes = new Uint8Array(units * 8);
  bytes[0] = type;
  bytes[1] = units;
  return { bytes, view: viewOf(bytes) };
}

/** A view of exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Writes a lifetime in seconds as 32 bits. */
export function writeLifetime(view: DataView, at: number, seconds: number): void {
  const valid = seconds === Infinity || (Number.isInteger(seconds) && seconds >= 0 && seconds < infiniteLifetime);
  if (!valid) throw new ValueError(`${seconds} is no lifetime in seconds`);
  view.setUint32(at, seconds === Infinity ? infiniteLifetime : seconds);
}

/** Reads a lifetime in seconds. */
export function readLifetime(view: DataView, at: number): number {
  const seconds = view.getUint32(at);
  return seconds === infiniteLifetime ? Infinity : seconds;
}
