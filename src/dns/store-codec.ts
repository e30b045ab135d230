/** Values of the zone store: RRsets and changes as bytes. */
import { assert } from '../core/errors.ts';
import type { RRsetChange } from './overlay.ts';
import type { OwnedRRset, RRset } from './snapshot.ts';
import { concatBytes, copyBytes, readUint16, readUint32, writeUint16, writeUint32 } from './wire/bytes.ts';
import type { Name } from './wire/name.ts';

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
