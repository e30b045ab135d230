/** Values of the zone store as bytes: RRsets, changes, leases, and the checksum before each. */
import { crc32 } from 'node:zlib';
import { assert } from '../core/errors.ts';
import type { LeaseSet } from './leases.ts';
import type { RRsetChange } from './overlay.ts';
import type { OwnedRRset, RRset } from './snapshot.ts';
import { concatBytes, copyBytes, readUint16, readUint32, writeUint16, writeUint32 } from './wire/bytes.ts';
import type { Name } from './wire/name.ts';

/** One commit of the journal. */
export interface JournalEntry {
  readonly fromSerial: number;
  readonly toSerial: number;
  readonly changes: readonly RRsetChange[];
}

/** CRC-32 of key and value, before each value. */
export const CHECKSUM_OCTETS = 4;

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

/** Owner with its length, type, TTL, number of records, records with their lengths. */
export function encodeRRset(owner: Name, rrset: RRset): Uint8Array {
  const head = new Uint8Array(2 + 4 + 2);
  writeUint16(head, 0, rrset.type);
  writeUint32(head, 2, rrset.ttl);
  writeUint16(head, 6, rrset.rdata.length);
  const parts = [Uint8Array.of(owner.length), owner, head];
  for (const rdata of rrset.rdata) parts.push(Uint8Array.of(rdata.length >> 8, rdata.length), rdata);
  return concatBytes(parts);
}

export function decodeRRset(reader: ByteReader): OwnedRRset {
  const owner = reader.bytes(reader.uint8());
  const type = reader.uint16();
  const ttl = reader.uint32();
  const rdata = Array.from({ length: reader.uint16() }, () => reader.bytes(reader.uint16()));
  return { owner, rrset: { type, ttl, rdata } };
}

/** Which of the two sides there are, then these. */
export function encodeChange(change: RRsetChange): Uint8Array {
  const { owner, before, rrset } = change;
  return concatBytes([
    Uint8Array.of((before === undefined ? 0 : 1) | (rrset === undefined ? 0 : 2)),
    ...(before === undefined ? [] : [encodeRRset(before.owner, before.rrset)]),
    ...(rrset === undefined ? [] : [encodeRRset(owner, rrset)]),
  ]);
}

export function decodeChange(reader: ByteReader): RRsetChange {
  const sides = reader.uint8();
  const before = (sides & 1) === 0 ? undefined : decodeRRset(reader);
  const after = (sides & 2) === 0 ? undefined : decodeRRset(reader);
  const known = after ?? before;
  assert(known !== undefined, 'a stored change has a side');
  return { owner: known.owner, type: known.rrset.type, rrset: after?.rrset, before };
}

/** Owner with its length, type, number of leases; each with its end (48 bits, milliseconds), seconds, record with its length. */
export function encodeLeases({ owner, type, leases }: LeaseSet): Uint8Array {
  const head = new Uint8Array(2 + 2);
  writeUint16(head, 0, type);
  writeUint16(head, 2, leases.length);
  const parts = [Uint8Array.of(owner.length), owner, head];
  for (const { expiresAt, seconds, rdata } of leases) {
    const fixed = new Uint8Array(6 + 4 + 2);
    const wall = Math.floor(expiresAt);
    writeUint16(fixed, 0, Math.floor(wall / 2 ** 32));
    writeUint32(fixed, 2, wall % 2 ** 32);
    writeUint32(fixed, 6, seconds);
    writeUint16(fixed, 10, rdata.length);
    parts.push(fixed, rdata);
  }
  return concatBytes(parts);
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
  const serials = new Uint8Array(8);
  writeUint32(serials, 0, fromSerial);
  writeUint32(serials, 4, toSerial);
  return concatBytes([serials, ...changes.map(encodeChange)]);
}

export function decodeJournal(value: Uint8Array): JournalEntry {
  const reader = new ByteReader(value);
  const fromSerial = reader.uint32();
  const toSerial = reader.uint32();
  const changes: RRsetChange[] = [];
  while (!reader.done) changes.push(decodeChange(reader));
  return { fromSerial, toSerial, changes };
}
