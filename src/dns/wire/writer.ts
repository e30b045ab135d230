/**
 * Writes messages record by record into one buffer that is used again and again, with name compression.
 *
 * Compression (RFC 1035 §4.1.4): every label start that was written is a candidate to point to. A small hash table, keyed
 * by the suffix that starts there, finds it; a miss costs octets, never correctness, so the table may drop entries.
 */
import { assert } from '../../core/errors.ts';
import { readUint16, writeUint16, writeUint32 } from './bytes.ts';
import type { EdnsOption } from './message.ts';
import type { Name } from './name.ts';
import { firstNameOffset, rdataNames } from './rdata-names.ts';
import { FLAG_MASK, SECTION, TYPE } from './types.ts';

const HEADER_LENGTH = 12;
/** A pointer has 14 bits. */
const MAX_POINTER = 0x3fff;
const SLOTS = 512;
const MAX_PROBES = 8;
/** A name of 255 octets has at most 127 labels. */
const MAX_LABELS = 127;

/** A place to come back to. */
export interface Mark {
  readonly length: number;
  readonly counts: readonly [number, number, number, number];
}

/** How a message is to be written. */
export interface WriterOptions {
  /** Names point only to names of the very same case: zone transfers keep the case of every owner. Default false. */
  readonly preserveCase?: boolean;
}

/** The writer: `begin`, sections in order, `header`, `finish`. */
export class MessageWriter {
  readonly #buffer: Uint8Array;
  readonly #slots = new Uint16Array(SLOTS);
  readonly #labels = new Uint8Array(MAX_LABELS);
  readonly #hashes = new Int32Array(MAX_LABELS);
  #counts = [0, 0, 0, 0] as [number, number, number, number];
  #preserveCase = false;
  #limit = 0;
  #reserved = 0;
  #at = 0;

  /** @param buffer what messages are written into; 65,535 octets hold every message */
  constructor(buffer = new Uint8Array(65535)) {
    this.#buffer = buffer;
  }

  /** Starts a message of at most `limit` octets. */
  begin(limit: number, options?: WriterOptions): void {
    this.#limit = Math.min(limit, this.#buffer.length, 65535);
    assert(this.#limit >= HEADER_LENGTH, 'a message has room for its header');
    this.#preserveCase = options?.preserveCase === true;
    this.#reserved = 0;
    this.#at = HEADER_LENGTH;
    this.#slots.fill(0);
    this.#counts[0] = this.#counts[1] = this.#counts[2] = this.#counts[3] = 0;
    this.#buffer.fill(0, 0, HEADER_LENGTH);
  }

  /** Octets written so far. */
  get length(): number {
    return this.#at;
  }

  /** Octets that can still be written. */
  get room(): number {
    return this.#limit - this.#reserved - this.#at;
  }

  /** Keeps `octets` at the end free for what comes last (OPT, TSIG); 0 gives them back. */
  reserve(octets: number): void {
    this.#reserved = octets;
  }

  /** Where the message stands, for `rollback`. */
  mark(): Mark {
    return { length: this.#at, counts: [...this.#counts] };
  }

  /** Takes back all that was written since `mark`. */
  rollback(mark: Mark): void {
    this.#at = mark.length;
    this.#counts = [...mark.counts];
    this.#forgetFrom(mark.length);
  }

  /** Writes id and flags; may be called at any time after `begin`. Only the low four bits of `rcode` stand here. */
  header(id: number, flags: number, opcode: number, rcode: number): void {
    writeUint16(this.#buffer, 0, id);
    writeUint16(this.#buffer, 2, (flags & FLAG_MASK) | ((opcode & 15) << 11) | (rcode & 15));
  }

  /** Appends a question; false (and nothing written) when it does not fit. */
  question(name: Name, type: number, cls: number): boolean {
    const start = this.#at;
    if (!this.#name(name) || this.room < 4) return this.#undo(start);
    this.#uint16(type);
    this.#uint16(cls);
    this.#counts[SECTION.QUESTION]++;
    return true;
  }

  /** Appends a record; false (and nothing written) when it does not fit. Sections must come in their order. */
  record(section: number, owner: Name, type: number, cls: number, ttl: number, rdata: Uint8Array): boolean {
    const start = this.#at;
    if (!this.#name(owner) || this.room < 10) return this.#undo(start);
    this.#uint16(type);
    this.#uint16(cls);
    writeUint32(this.#buffer, this.#at, ttl);
    this.#at += 4 + 2;
    const rdataStart = this.#at;
    if (!this.#rdata(type, rdata)) return this.#undo(start);
    writeUint16(this.#buffer, rdataStart - 2, this.#at - rdataStart);
    this.#counts[section as 1 | 2 | 3]++;
    return true;
  }

  /** Appends a whole RRset, or nothing and false. */
  rrset(section: number, owner: Name, type: number, cls: number, ttl: number, rdata: readonly Uint8Array[]): boolean {
    const start = this.#at;
    for (let i = 0; i < rdata.length; i++) {
      if (this.record(section, owner, type, cls, ttl, rdata[i]!)) continue;
      this.#counts[section as 1 | 2 | 3] -= i;
      return this.#undo(start);
    }
    return true;
  }

  /** Appends an OPT record (RFC 6891 §6.1.2) with the upper bits of `rcode`; false when it does not fit. */
  opt(
    udpSize: number,
    rcode: number,
    version: number,
    dnssecOk: boolean,
    options: readonly EdnsOption[] = [],
  ): boolean {
    let length = 0;
    for (const option of options) length += 4 + option.data.length;
    if (this.room < 11 + length) return false;
    const buffer = this.#buffer;
    buffer[this.#at++] = 0;
    this.#uint16(TYPE.OPT);
    this.#uint16(udpSize);
    buffer[this.#at++] = rcode >> 4;
    buffer[this.#at++] = version;
    this.#uint16(dnssecOk ? 0x8000 : 0);
    this.#uint16(length);
    for (const option of options) {
      this.#uint16(option.code);
      this.#uint16(option.data.length);
      buffer.set(option.data, this.#at);
      this.#at += option.data.length;
    }
    this.#counts[SECTION.ADDITIONAL]++;
    return true;
  }

  /** The finished message: a view into the writer's buffer, good until the next `begin`. */
  finish(): Uint8Array {
    for (let i = 0; i < 4; i++) writeUint16(this.#buffer, 4 + 2 * i, this.#counts[i]!);
    return this.#buffer.subarray(0, this.#at);
  }

  #uint16(value: number): void {
    writeUint16(this.#buffer, this.#at, value);
    this.#at += 2;
  }

  #undo(start: number): false {
    this.#at = start;
    this.#forgetFrom(start);
    return false;
  }

  /** Bytes from `offset` on will be written anew: nothing may point there. */
  #forgetFrom(offset: number): void {
    for (let i = 0; i < SLOTS; i++) if (this.#slots[i]! >= offset) this.#slots[i] = 0;
  }

  #rdata(type: number, rdata: Uint8Array): boolean {
    const layout = rdataNames(type);
    if (layout === undefined || !layout.compressed || rdata.length === 0) return this.#bytes(rdata, 0, rdata.length);
    let from = firstNameOffset(layout, rdata, 0, rdata.length);
    if (from < 0) return this.#bytes(rdata, 0, rdata.length);
    if (!this.#bytes(rdata, 0, from)) return false;
    for (let i = 0; i < layout.names; i++) {
      let end = from;
      while (rdata[end]! > 0) end += rdata[end]! + 1;
      end++;
      if (!this.#name(rdata.subarray(from, end))) return false;
      from = end;
    }
    return this.#bytes(rdata, from, rdata.length);
  }

  #bytes(bytes: Uint8Array, from: number, end: number): boolean {
    const length = end - from;
    if (this.room < length) return false;
    const buffer = this.#buffer;
    const at = this.#at;
    if (length > 64) buffer.set(from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end), at);
    else for (let i = 0; i < length; i++) buffer[at + i] = bytes[from + i]!;
    this.#at += length;
    return true;
  }

  /** Writes a name: its labels up to the longest suffix that is in the message already, then a pointer to that. */
  #name(name: Name): boolean {
    const buffer = this.#buffer;
    const count = this.#hashSuffixes(name);
    let pointer = 0;
    let label = 0;
    for (; label < count; label++) {
      pointer = this.#find(name, this.#labels[label]!, this.#hashes[label]!);
      if (pointer > 0) break;
    }
    const plain = label < count ? this.#labels[label]! : name.length - 1;
    if (this.room < plain + (pointer > 0 ? 2 : 1)) return false;
    const start = this.#at;
    for (let i = 0; i < plain; i++) buffer[start + i] = name[i]!;
    this.#at = start + plain;
    if (pointer > 0) this.#uint16(0xc000 | pointer);
    else buffer[this.#at++] = 0;
    for (let i = 0; i < label; i++) {
      const offset = start + this.#labels[i]!;
      if (offset > MAX_POINTER) break;
      this.#remember(offset, this.#hashes[i]!);
    }
    return true;
  }

  /** Fills `#labels` with the offsets of the name's labels and `#hashes` with a hash of the suffix from each. */
  #hashSuffixes(name: Name): number {
    let count = 0;
    for (let from = 0; name[from]! > 0; from += name[from]! + 1) this.#labels[count++] = from;
    let hash = 17;
    for (let i = count - 1; i >= 0; i--) {
      const from = this.#labels[i]!;
      const end = from + name[from]!;
      // | 0x20 makes upper and lower case alike (and a few others, which #matches tells apart).
      for (let j = from; j <= end; j++) hash = (Math.imul(hash, 31) + (name[j]! | 0x20)) | 0;
      this.#hashes[i] = hash;
    }
    return count;
  }

  #find(name: Name, from: number, hash: number): number {
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const offset = this.#slots[(hash + probe) & (SLOTS - 1)]!;
      if (offset === 0) return 0;
      if (this.#matches(offset, name, from)) return offset;
    }
    return 0;
  }

  #remember(offset: number, hash: number): void {
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const slot = (hash + probe) & (SLOTS - 1);
      if (this.#slots[slot] !== 0) continue;
      this.#slots[slot] = offset;
      return;
    }
  }

  /** Whether the name written at `offset` is the rest of `name` from `from` on. */
  #matches(offset: number, name: Name, from: number): boolean {
    const buffer = this.#buffer;
    for (;;) {
      const length = buffer[offset]!;
      if (length >= 0xc0) {
        offset = readUint16(buffer, offset) & MAX_POINTER;
        continue;
      }
      if (length !== name[from]) return false;
      if (length === 0) return true;
      for (let i = 1; i <= length; i++) {
        if (buffer[offset + i] !== name[from + i] && !this.#sameLetter(buffer[offset + i]!, name[from + i]!))
          return false;
      }
      offset += length + 1;
      from += length + 1;
    }
  }

  #sameLetter(a: number, b: number): boolean {
    if (this.#preserveCase) return false;
    const lower = a | 0x20;
    return lower === (b | 0x20) && lower >= 0x61 && lower <= 0x7a;
  }
}
