/**
 * What comes in a zone transfer, record by record: a whole zone (RFC 5936 §2.2) or differences (RFC 1995 §4), whichever the
 * primary chose to send. The primary is trusted with the zone's content, not with our memory: records and octets are bounded.
 */
import { WireError } from '../../core/errors.ts';
import type { OwnedRRset } from '../snapshot.ts';
import { serialGreater, soaSerial } from '../soa.ts';
import type { ParsedMessage, ResourceRecord } from '../wire/message.ts';
import { isSubdomainKey, type Name, type NameKey, nameKey, nameToText } from '../wire/name.ts';
import { rdataFault } from '../wire/rdata.ts';
import { CLASS, isDataType, TYPE, typeToText } from '../wire/types.ts';

/** A zone beyond that does not belong on an edge host; a million small records are about 400 MB of our memory. */
const MAX_TRANSFER_OCTETS = 64 * 1024 * 1024;
const MAX_RECORDS = 1_000_000;

/** One step of differences: from the zone with the first SOA to that with the second. */
export interface DifferenceStep {
  readonly oldSoa: ResourceRecord;
  readonly deleted: ResourceRecord[];
  newSoa: ResourceRecord | undefined;
  readonly added: ResourceRecord[];
}

/** What a transfer brought. */
export type Transferred =
  /** Nothing newer than what we have. */
  | { readonly kind: 'current'; readonly serial: number }
  | {
      readonly kind: 'axfr';
      readonly serial: number;
      readonly rrsets: readonly OwnedRRset[];
      readonly passedOver: number;
    }
  | { readonly kind: 'ixfr'; readonly serial: number; readonly steps: readonly DifferenceStep[] };

/** RDATA of the SOA that the zone has after a transfer. */
export function transferredSoa(content: Exclude<Transferred, { kind: 'current' }>): Uint8Array {
  return content.kind === 'axfr' ? content.rrsets[0]!.rrset.rdata[0]! : content.steps.at(-1)!.newSoa!.rdata;
}

interface Growing {
  readonly owner: Name;
  ttl: number;
  readonly rdata: Uint8Array[];
  /** What is in `rdata`, once there is enough to search through. */
  seen: Set<string> | undefined;
}

/** Reads the messages of one transfer in order. */
export class TransferReader {
  readonly #zone: Name;
  readonly #key: NameKey;
  /** The serial we asked for differences from; undefined: asked for the whole zone. */
  readonly #from: number | undefined;
  readonly #sets = new Map<NameKey, Map<number, Growing>>();
  readonly #steps: DifferenceStep[] = [];
  #kind: 'axfr' | 'ixfr' | undefined;
  #first: ResourceRecord | undefined;
  #serial = 0;
  #records = 0;
  #octets = 0;
  #passedOver = 0;
  #done = false;

  constructor(zone: Name, from: number | undefined) {
    this.#zone = zone;
    this.#key = nameKey(zone);
    this.#from = from;
  }

  get records(): number {
    return this.#records;
  }

  get octets(): number {
    return this.#octets;
  }

  /**
   * Takes the next message; returns what the transfer brought when it is over, undefined while more is to come.
   * @throws {WireError} V6_DNS_TRANSFER: it is no transfer of this zone, or larger than is taken
   */
  take(message: ParsedMessage, octets: number): Transferred | undefined {
    this.#octets += octets;
    if (this.#octets > MAX_TRANSFER_OCTETS) throw fault(`it is longer than ${MAX_TRANSFER_OCTETS / 2 ** 20} MiB`);
    if (this.#first === undefined && message.answers.length === 0) throw fault('the first message has no records');
    for (const record of message.answers) {
      if (this.#done) throw fault('records after the end');
      if (++this.#records > MAX_RECORDS) throw fault(`it has more than ${MAX_RECORDS} records`);
      this.#take(record);
    }
    if (this.#done) return this.#result();
    // Alone and not newer, the SOA says that there is nothing to send (RFC 1995 §2).
    const current = this.#from !== undefined && this.#records === 1 && !serialGreater(this.#serial, this.#from);
    return current ? { kind: 'current', serial: this.#serial } : undefined;
  }

  #take(record: ResourceRecord): void {
    if (record.class !== CLASS.IN || !isDataType(record.type)) {
      throw fault(`a ${typeToText(record.type)} record of class ${record.class} in it`);
    }
    const wrong = rdataFault(record.type, record.rdata);
    if (wrong !== undefined) throw fault(`${nameToText(record.name)} ${typeToText(record.type)}: ${wrong}`);
    const isSoa = record.type === TYPE.SOA && nameKey(record.name) === this.#key;
    if (this.#first === undefined) {
      if (!isSoa) throw fault("it does not begin with the zone's SOA");
      this.#first = record;
      this.#serial = soaSerial(record.rdata);
      return;
    }
    this.#kind ??= this.#kindBy(record, isSoa);
    if (this.#kind === 'axfr') this.#takeWhole(record, isSoa);
    else this.#takeDifference(record, isSoa);
  }

  /** The second record tells: differences begin with the SOA that we have (RFC 1995 §4). */
  #kindBy(record: ResourceRecord, isSoa: boolean): 'axfr' | 'ixfr' {
    if (this.#from === undefined || !isSoa) return 'axfr';
    const serial = soaSerial(record.rdata);
    if (serial === this.#from && serial !== this.#serial) return 'ixfr';
    if (serial === this.#serial) return 'axfr';
    throw fault(`differences from serial ${serial}, asked for those from ${this.#from}`);
  }

  #takeWhole(record: ResourceRecord, isSoa: boolean): void {
    if (!isSoa) {
      this.#add(record);
      return;
    }
    if (soaSerial(record.rdata) !== this.#serial) throw fault('it ends with another serial than it began with');
    this.#done = true;
  }

  #takeDifference(record: ResourceRecord, isSoa: boolean): void {
    const step = this.#steps.at(-1);
    if (!isSoa) {
      const list = step!.newSoa === undefined ? step!.deleted : step!.added;
      list.push(record);
      return;
    }
    if (step !== undefined && step.newSoa === undefined) {
      step.newSoa = record;
      return;
    }
    const serial = soaSerial(record.rdata);
    const reached = step === undefined ? this.#from! : soaSerial(step.newSoa!.rdata);
    if (step !== undefined && serial === this.#serial && reached === this.#serial) {
      this.#done = true;
      return;
    }
    if (serial !== reached) throw fault(`a step from serial ${serial}, where ${reached} was reached`);
    this.#steps.push({ oldSoa: record, deleted: [], newSoa: undefined, added: [] });
  }

  /** Records outside the zone are passed over (they are not ours to believe), equal ones taken once. */
  #add({ name, type, ttl, rdata }: ResourceRecord): void {
    const key = nameKey(name);
    if (!isSubdomainKey(key, this.#key)) {
      this.#passedOver++;
      return;
    }
    let sets = this.#sets.get(key);
    if (sets === undefined) {
      sets = new Map();
      this.#sets.set(key, sets);
    }
    const set = sets.get(type);
    if (set === undefined) {
      sets.set(type, { owner: name, ttl, rdata: [rdata], seen: undefined });
      return;
    }
    set.ttl = Math.min(set.ttl, ttl);
    set.seen ??= new Set(set.rdata.map(latin1));
    const text = latin1(rdata);
    if (set.seen.has(text)) return;
    set.seen.add(text);
    set.rdata.push(rdata);
  }

  #result(): Transferred {
    const serial = this.#serial;
    if (this.#kind === 'ixfr') return { kind: 'ixfr', serial, steps: this.#steps };
    const first = this.#first!;
    const rrsets: OwnedRRset[] = [
      { owner: this.#zone, rrset: { type: TYPE.SOA, ttl: first.ttl, rdata: [first.rdata] } },
    ];
    for (const sets of this.#sets.values()) {
      for (const [type, { owner, ttl, rdata }] of sets) rrsets.push({ owner, rrset: { type, ttl, rdata } });
    }
    return { kind: 'axfr', serial, rrsets, passedOver: this.#passedOver };
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function fault(what: string): WireError {
  return new WireError('V6_DNS_TRANSFER', what);
}
