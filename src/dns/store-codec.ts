/** Values of the zone store as bytes: RRsets, changes, leases, and the checksum before each. */
import { crc32 } from 'node:zlib';
import { assert } from '../core/errors.ts';
import type { LeaseSet } from './leases.ts';
import type { RRsetChange } from './overlay.ts';
import type { OwnedRRset, RRset } from './snapshot.ts';
import type { ZoneCommit } from './stored-zone.ts';
import { copyBytes, readUint16, readUint32, writeUint16, writeUint32 } from './wire/bytes.ts';
import { type Name, nameFromKey, nameKey } from './wire/name.ts';

/** One commit of the journal. */
export interface JournalEntry {
  readonly fromSerial: number;
  readonly toSerial: number;
  readonly changes: readonly RRsetChange[];
}

/** CRC-32 of key and value, before each value. */
export const CHECKSUM_OCTETS = 4;

/** Memory for writing that is kept; a zone that comes whole takes more. */
const KEEP_OCTETS = 64 * 1024;

/** A value as it is stored under a key. */
export function seal(key: Buffer, value: Uint8Array): Buffer {
  const sealed = Buffer.alloc(CHECKSUM_OCTETS + value.length);
  sealed.set(value, CHECKSUM_OCTETS);
  sealed.writeUInt32BE(crc32(value, crc32(key)), 0);
  return sealed;
}

/** The value; undefined if its checksum is wrong. */
export function unseal(key: Buffer, sealed: Buffer): Uint8Array | undefined {
  const value = sealed.subarray(CHECKSUM_OCTETS);
  if (sealed.length < CHECKSUM_OCTETS || sealed.readUInt32BE(0) !== crc32(value, crc32(key))) return undefined;
  return value;
}

/** Reads forward through a value whose checksum was right: a length that does not fit is our own fault. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  uint8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  uint16(): number {
    return readUint16(this.#bytes, this.#take(2));
  }

  uint32(): number {
    return readUint32(this.#bytes, this.#take(4));
  }

  uint48(): number {
    return this.uint16() * 2 ** 32 + this.uint32();
  }

  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return copyBytes(this.#bytes, start, start + length);
  }

  #take(length: number): number {
    const start = this.#at;
    assert(start + length <= this.#bytes.length, 'a stored value ends early');
    this.#at = start + length;
    return start;
  }
}

/** Where values are written before their length is known; it grows, and is used again. */
class ByteWriter {
  #bytes = new Uint8Array(KEEP_OCTETS);
  #at = 0;

  uint8(value: number): void {
    this.#bytes[this.#take(1)] = value;
  }

  uint16(value: number): void {
    const at = this.#take(2);
    writeUint16(this.#bytes, at, value);
  }

  uint32(value: number): void {
    const at = this.#take(4);
    writeUint32(this.#bytes, at, value);
  }

  uint48(value: number): void {
    this.uint16(Math.floor(value / 2 ** 32));
    this.uint32(value % 2 ** 32);
  }

  bytes(value: Uint8Array): void {
    const at = this.#take(value.length);
    this.#bytes.set(value, at);
  }

  /** A copy of what `write` has written. */
  encode(write: () => void): Uint8Array {
    this.#at = 0;
    write();
    const value = this.#bytes.slice(0, this.#at);
    if (this.#bytes.length > KEEP_OCTETS) this.#bytes = new Uint8Array(KEEP_OCTETS);
    return value;
  }

  #take(length: number): number {
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#at);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return start;
  }
}

const writer = new ByteWriter();

export function encodeRRset(owner: Name, rrset: RRset): Uint8Array {
  return writer.encode(() => writeRRset(owner, rrset));
}

/** Owner with its length, type, TTL, number of records, records with their lengths. */
function writeRRset(owner: Name, { type, ttl, rdata }: RRset): void {
  writer.uint8(owner.length);
  writer.bytes(owner);
  writer.uint16(type);
  writer.uint32(ttl);
  writer.uint16(rdata.length);
  for (const one of rdata) {
    writer.uint16(one.length);
    writer.bytes(one);
  }
}

export function decodeRRset(reader: ByteReader): OwnedRRset {
  const owner = reader.bytes(reader.uint8());
  const type = reader.uint16();
  const ttl = reader.uint32();
  const rdata = Array.from({ length: reader.uint16() }, () => reader.bytes(reader.uint16()));
  return { owner, rrset: { type, ttl, rdata } };
}

/** Which of the two sides there are, then these. */
function writeChange({ owner, before, rrset }: RRsetChange): void {
  writer.uint8((before === undefined ? 0 : 1) | (rrset === undefined ? 0 : 2));
  if (before !== undefined) writeRRset(before.owner, before.rrset);
  if (rrset !== undefined) writeRRset(owner, rrset);
}

function decodeChange(reader: ByteReader): RRsetChange {
  const sides = reader.uint8();
  const before = (sides & 1) === 0 ? undefined : decodeRRset(reader);
  const after = (sides & 2) === 0 ? undefined : decodeRRset(reader);
  const known = after ?? before;
  assert(known !== undefined, 'a stored change has a side');
  return { owner: known.owner, type: known.rrset.type, rrset: after?.rrset, before };
}

export function encodeLeases(set: LeaseSet): Uint8Array {
  return writer.encode(() => writeLeases(set));
}

/** Owner with its length, type, number of leases; each with its end (48 bits, milliseconds), seconds, record with its length. */
function writeLeases({ owner, type, leases }: LeaseSet): void {
  writer.uint8(owner.length);
  writer.bytes(owner);
  writer.uint16(type);
  writer.uint16(leases.length);
  for (const { expiresAt, seconds, rdata } of leases) {
    writer.uint48(Math.floor(expiresAt));
    writer.uint32(seconds);
    writer.uint16(rdata.length);
    writer.bytes(rdata);
  }
}

export function decodeLeases(reader: ByteReader): LeaseSet {
  const owner = reader.bytes(reader.uint8());
  const type = reader.uint16();
  const leases = Array.from({ length: reader.uint16() }, () => {
    const expiresAt = reader.uint48();
    const seconds = reader.uint32();
    return { expiresAt, seconds, rdata: reader.bytes(reader.uint16()) };
  });
  return { owner, type, leases };
}

/** Serial before and after, then the changes. */
export function encodeJournal(fromSerial: number, toSerial: number, changes: readonly RRsetChange[]): Uint8Array {
  return writer.encode(() => {
    writer.uint32(fromSerial);
    writer.uint32(toSerial);
    for (const change of changes) writeChange(change);
  });
}

export function decodeJournal(value: Uint8Array): JournalEntry {
  const reader = new ByteReader(value);
  const fromSerial = reader.uint32();
  const toSerial = reader.uint32();
  const changes: RRsetChange[] = [];
  while (!reader.done) changes.push(decodeChange(reader));
  return { fromSerial, toSerial, changes };
}

const HAS_SEED = 1;
const HAS_REFRESHED = 2;

/**
 * Commits as a log's record has them. Each: zone with its length; which of seed and `refreshed` there are; these (length
 * 32 bits and UTF-8; 48 bits); number of changes (32 bits), changes; number of lease sets (32 bits), lease sets.
 */
export function encodeCommits(commits: readonly ZoneCommit[]): Uint8Array {
  return writer.encode(() => {
    for (const { zone, changes, seed, refreshed, leases = [] } of commits) {
      const name = nameFromKey(zone);
      writer.uint8(name.length);
      writer.bytes(name);
      writer.uint8((seed === undefined ? 0 : HAS_SEED) | (refreshed === undefined ? 0 : HAS_REFRESHED));
      if (seed !== undefined) {
        const text = Buffer.from(seed);
        writer.uint32(text.length);
        writer.bytes(text);
      }
      if (refreshed !== undefined) writer.uint48(Math.floor(refreshed));
      writer.uint32(changes.length);
      for (const change of changes) writeChange(change);
      writer.uint32(leases.length);
      for (const set of leases) writeLeases(set);
    }
  });
}

export function decodeCommits(bytes: Uint8Array): ZoneCommit[] {
  const reader = new ByteReader(bytes);
  const commits: ZoneCommit[] = [];
  while (!reader.done) {
    const zone = nameKey(reader.bytes(reader.uint8()));
    const has = reader.uint8();
    const seed = (has & HAS_SEED) === 0 ? undefined : Buffer.from(reader.bytes(reader.uint32())).toString();
    const refreshed = (has & HAS_REFRESHED) === 0 ? undefined : reader.uint48();
    const changes = Array.from({ length: reader.uint32() }, () => decodeChange(reader));
    const leases = Array.from({ length: reader.uint32() }, () => decodeLeases(reader));
    commits.push({
      zone,
      changes,
      leases,
      ...(seed === undefined ? {} : { seed }),
      ...(refreshed === undefined ? {} : { refreshed }),
    });
  }
  return commits;
}
