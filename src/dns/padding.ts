/**
 * Padding of answers on encrypted connections (RFC 7830), so that their lengths tell little of what was asked: to the next
 * multiple of 468 octets (RFC 8467 §4.1). Who sent EDNS gets it, also without a padding option of his own (RFC 7830 §4).
 */
import { readUint16, writeUint16 } from './wire/bytes.ts';
import { type RecordVisitor, scanRecords } from './wire/scan.ts';
import { TYPE } from './wire/types.ts';

const BLOCK = 468;
const MAX_MESSAGE = 65535;
const PADDING_OPTION = 12;
const OPTION_HEADER = 4;

/** Pads messages, one after another. */
export class Padding implements RecordVisitor {
  #lastType = 0;
  #lastRdata = 0;
  #lastEnd = 0;

  record(
    _section: number,
    type: number,
    _class: number,
    _owner: number,
    _ttlOffset: number,
    _ttl: number,
    rdata: number,
    length: number,
  ): void {
    this.#lastType = type;
    this.#lastRdata = rdata;
    this.#lastEnd = rdata + length;
  }

  /**
   * How many octets padding adds to a reply: 0 unless OPT is its last record, as it is to a query that had one. A signature
   * comes after OPT, and covers it.
   */
  extra(reply: Uint8Array): number {
    this.#lastType = 0;
    if (!scanRecords(reply, this) || this.#lastType !== TYPE.OPT || this.#lastEnd !== reply.length) return 0;
    const least = reply.length + OPTION_HEADER;
    if (least > MAX_MESSAGE) return 0;
    return Math.min(Math.ceil(least / BLOCK) * BLOCK, MAX_MESSAGE) - reply.length;
  }

  /** Writes the padding option into the last `extra` octets of `message`, which are zero: of the reply last asked about. */
  write(message: Uint8Array, extra: number): void {
    const option = message.length - extra;
    writeUint16(message, option, PADDING_OPTION);
    writeUint16(message, option + 2, extra - OPTION_HEADER);
    const rdataLength = this.#lastRdata - 2;
    writeUint16(message, rdataLength, readUint16(message, rdataLength) + extra);
  }
}
