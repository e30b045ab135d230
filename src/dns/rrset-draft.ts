/** An RRset that is being changed: a record in it is found at once, however many there are. */
import type { RRset } from './snapshot.ts';
import { readUint32 } from './wire/bytes.ts';
import { equalRdata, rdataKey } from './wire/rdata.ts';
import { TYPE } from './wire/types.ts';

/** What a record takes in a message beside its data, its owner compressed away. */
const RECORD_OCTETS = 12;
/** Octets of WKS data that tell address and protocol (RFC 1035 §3.4.2). */
const WKS_PLACE = 5;

export class RRsetDraft {
  readonly type: number;
  /** By the place a record takes: a second one there replaces the first (RFC 2136 §1.1.5). */
  readonly #records = new Map<string, Uint8Array>();
  #ttl: number;
  #octets = 0;
  /** As it is now; null: to be made anew. */
  #rrset: RRset | undefined | null;

  constructor(type: number, rrset: RRset | undefined) {
    this.type = type;
    this.#ttl = rrset?.ttl ?? 0;
    this.#rrset = rrset;
    if (rrset !== undefined) {
      for (const rdata of rrset.rdata) {
        const place = placeOf(type, rdata);
        if (!this.#records.has(place)) this.#put(place, rdata);
      }
    }
  }

  /** Records in it. */
  get size(): number {
    return this.#records.size;
  }

  /** What they take in a message, about. */
  get octets(): number {
    return this.#octets;
  }

  /** Whether it has a record with the same data. */
  has(rdata: Uint8Array): boolean {
    const there = this.#records.get(placeOf(this.type, rdata));
    return there !== undefined && equalRdata(this.type, there, rdata);
  }

  /** Adds a record, or puts it in another's place; one that is there stays as it is, the case of names in it too. */
  add(rdata: Uint8Array, ttl: number): void {
    if (ttl !== this.#ttl) this.#rrset = null;
    // One TTL for all of an RRset (RFC 2181 §5.2): the newest.
    this.#ttl = ttl;
    const place = placeOf(this.type, rdata);
    const there = this.#records.get(place);
    if (there !== undefined && equalRdata(this.type, there, rdata)) return;
    if (there !== undefined) this.#octets -= there.length + RECORD_OCTETS;
    this.#put(place, rdata);
    this.#rrset = null;
  }

  /** Takes the record with the same data out; false: there is none. */
  delete(rdata: Uint8Array): boolean {
    const place = placeOf(this.type, rdata);
    const there = this.#records.get(place);
    if (there === undefined || !equalRdata(this.type, there, rdata)) return false;
    this.#records.delete(place);
    this.#octets -= there.length + RECORD_OCTETS;
    this.#rrset = null;
    return true;
  }

  /** The RRset; undefined: nothing is left of it. */
  get rrset(): RRset | undefined {
    if (this.#rrset === null) {
      const rdata = [...this.#records.values()];
      this.#rrset = rdata.length === 0 ? undefined : { type: this.type, ttl: this.#ttl, rdata };
    }
    return this.#rrset;
  }

  #put(place: string, rdata: Uint8Array): void {
    this.#records.set(place, rdata);
    this.#octets += rdata.length + RECORD_OCTETS;
  }
}

/** Equal for records that cannot stand side by side. */
function placeOf(type: number, rdata: Uint8Array): string {
  switch (type) {
    case TYPE.CNAME:
    case TYPE.DNAME:
    case TYPE.SOA:
      return '';
    case TYPE.WKS:
      // "compare only NAME, CLASS, TYPE, ADDRESS, and PROTOCOL"
      return `${readUint32(rdata, 0)} ${rdata[WKS_PLACE - 1]}`;
    default:
      return rdataKey(type, rdata);
  }
}
