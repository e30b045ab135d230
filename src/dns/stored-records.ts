/** The records of a stored zone on their way into memory: those of a large one are packed as they come. */
import { NodePacker } from './node-packer.ts';
import type { PackedData } from './packed-nodes.ts';
import type { OwnedRRset } from './snapshot.ts';
import { soaSerial } from './soa.ts';
import { ByteReader, decodeRRset } from './store-codec.ts';
import type { NameKey } from './wire/name.ts';
import { TYPE } from './wire/types.ts';

/** Takes RRsets in the order of the store's keys: those of a name follow one another. */
export class StoredRecords {
  /** Of the SOA at the apex, once it has come. */
  serial: number | undefined;
  count = 0;
  readonly #apex: NameKey;
  readonly #rrsets: OwnedRRset[] = [];
  readonly #packer: NodePacker | undefined;
  #owner: NameKey = '';
  #sets: Uint8Array[] = [];

  constructor(apex: NameKey, packs: boolean) {
    this.#apex = apex;
    this.#packer = packs ? new NodePacker(apex) : undefined;
  }

  add(owner: NameKey, encoded: Uint8Array): void {
    this.count++;
    if (this.#packer === undefined || owner === this.#apex) {
      const set = decodeRRset(new ByteReader(encoded));
      if (set.rrset.type === TYPE.SOA) this.serial = soaSerial(set.rrset.rdata[0]!);
      if (this.#packer === undefined) this.#rrsets.push(set);
    }
    if (this.#packer === undefined) return;
    if (owner !== this.#owner) this.#pack();
    this.#owner = owner;
    this.#sets.push(encoded);
  }

  finish(): { readonly rrsets: readonly OwnedRRset[]; readonly packed?: PackedData } {
    if (this.#packer === undefined) return { rrsets: this.#rrsets };
    this.#pack();
    return { rrsets: [], packed: this.#packer.finish() };
  }

  #pack(): void {
    if (this.#sets.length > 0) this.#packer!.addEncoded(this.#owner, this.#sets);
    this.#sets = [];
  }
}
