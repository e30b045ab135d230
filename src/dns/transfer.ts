/** Zone transfers out: AXFR (RFC 5936) and IXFR (RFC 1995) as messages in order. */
import { type Cidr, cidrContains, unmapAddress } from '../core/address.ts';
import type { TsigKey, ZoneConfig } from './config.ts';
import type { HandoffRequest, OwnedRRset, RRset } from './snapshot.ts';
import { serialGreater, soaSerial } from './soa.ts';
import type { JournalEntry } from './store.ts';
import { bytesKey, copyBytes } from './wire/bytes.ts';
import type { EdnsOption, MessageWriter, Question, ResourceRecord } from './wire/message.ts';
import { MAX_UDP_SIZE } from './wire/query.ts';
import { CLASS, FLAG, OPCODE, RCODE, SECTION, TYPE } from './wire/types.ts';
import type { Zone } from './zone.ts';

/** As full as a message may be (RFC 5936 §3): few of them, so few signatures and few system calls. */
const MESSAGE_OCTETS = 65_535;
const OPT_OCTETS = 11;

/** Who may have a zone: the key if one is set, from the addresses if any are listed; with neither nobody. */
export function mayTransfer(zone: ZoneConfig, request: HandoffRequest, key: TsigKey | undefined): boolean {
  const { allow, key: wanted } = zone.transfer;
  if (wanted !== undefined && key?.name !== wanted) return false;
  if (allow.length === 0) return wanted !== undefined;
  const { bytes } = unmapAddress(request.client.address);
  return allow.some((cidr: Cidr) => cidrContains(cidr, bytes));
}

/** The records of an AXFR: SOA, everything else, SOA (RFC 5936 §2.2). The zone may change while they are sent. */
export function axfrSets(zone: Zone): Iterable<OwnedRRset> {
  return betweenSoas(zone.soa.set, zone.all());
}

function* betweenSoas(soa: OwnedRRset, all: Iterable<OwnedRRset>): Generator<OwnedRRset> {
  yield soa;
  for (const set of all) if (set.rrset.type !== TYPE.SOA) yield set;
  yield soa;
}

/** The records of an IXFR that has the journal for it (RFC 1995 §4): new SOA, then per step what went and what came. */
export function ixfrSets(zone: Zone, journal: readonly JournalEntry[]): OwnedRRset[] {
  const soa = zone.soa.set;
  const sets = [soa];
  for (const { changes } of journal) {
    const soaChange = changes.find(({ type }) => type === TYPE.SOA);
    if (soaChange === undefined) continue;
    sets.push(soaChange.before!);
    for (const { before, rrset, type } of changes) {
      if (type !== TYPE.SOA && before !== undefined) sets.push(without(before, rrset));
    }
    sets.push({ owner: soaChange.owner, rrset: soaChange.rrset! });
    for (const { owner, before, rrset, type } of changes) {
      if (type !== TYPE.SOA && rrset !== undefined) sets.push(without({ owner, rrset }, before?.rrset));
    }
  }
  sets.push(soa);
  return sets;
}

/** What a client that has `serial` is told when it is up to date, or asks over UDP for more than fits: the SOA alone. */
export function soaSets(zone: Zone): OwnedRRset[] {
  return [zone.soa.set];
}

/** The serial in an IXFR request's authority section (RFC 1995 §3); undefined: it has none. */
export function ixfrSerial(authority: readonly ResourceRecord[]): number | undefined {
  const soa = authority.find(({ type, rdata }) => type === TYPE.SOA && rdata.length > 20);
  return soa === undefined ? undefined : soaSerial(soa.rdata);
}

/** Whether a client's serial is the zone's or later: there is nothing to send. */
export function isCurrent(zone: Zone, serial: number): boolean {
  return !serialGreater(zone.serial, serial);
}

/** How the messages of a transfer are to be written. */
export interface TransferFormat {
  readonly id: number;
  readonly question: Question;
  /** Octets each message leaves free for a signature. */
  readonly overhead: number;
  /** Octets a message may have with its signature; default what TCP takes. */
  readonly limit?: number;
  /** Options of the first message's OPT record, which it has if the request had one (RFC 6891 §6.1.1). */
  readonly edns?: readonly EdnsOption[] | undefined;
}

/** Writes RRsets into messages, one at a time: what is not asked for is not made. */
export class TransferMessages {
  readonly #format: TransferFormat;
  readonly #sets: Iterator<OwnedRRset>;
  readonly #writer: MessageWriter;
  /** The record to be written next: its set, and which of the records. */
  #set: OwnedRRset | undefined;
  #record = 0;
  #first = true;

  /** @param writer what the messages are made in, one after the other; others may use it between two of them */
  constructor(format: TransferFormat, sets: Iterable<OwnedRRset>, writer: MessageWriter) {
    this.#format = format;
    this.#writer = writer;
    this.#sets = sets[Symbol.iterator]();
    this.#advance();
  }

  /** Whether all was written. */
  get done(): boolean {
    return this.#set === undefined;
  }

  /** The next message; undefined when all was written. A record that no message holds is left out. */
  next(): Uint8Array | undefined {
    if (this.#set === undefined) return undefined;
    const { question, overhead, limit = MESSAGE_OCTETS, edns } = this.#format;
    const writer = this.#writer;
    writer.begin(limit - overhead, { preserveCase: true });
    const opt = this.#first ? edns : undefined;
    if (opt !== undefined) writer.reserve(opt.reduce((sum, { data }) => sum + 4 + data.length, OPT_OCTETS));
    if (this.#first) writer.question(question.name, question.type, question.class);
    this.#first = false;
    const start = writer.length;
    for (; this.#set !== undefined; this.#advance()) {
      const { owner, rrset }: OwnedRRset = this.#set;
      const { type, ttl, rdata } = rrset;
      for (; this.#record < rdata.length; this.#record++) {
        if (writer.record(SECTION.ANSWER, owner, type, CLASS.IN, ttl, rdata[this.#record]!)) continue;
        if (writer.length > start) return this.#end(opt);
      }
    }
    return this.#end(opt);
  }

  #advance(): void {
    const { done, value } = this.#sets.next();
    this.#set = done === true ? undefined : value;
    this.#record = 0;
  }

  #end(opt: readonly EdnsOption[] | undefined): Uint8Array {
    const writer = this.#writer;
    if (opt !== undefined) {
      writer.reserve(0);
      writer.opt(MAX_UDP_SIZE, RCODE.NOERROR, 0, false, opt);
    }
    writer.header(this.#format.id, FLAG.QR | FLAG.AA, OPCODE.QUERY, RCODE.NOERROR);
    return copyBytes(writer.finish());
  }
}

/** The set without the records that `other` has too. */
function without(set: OwnedRRset, other: RRset | undefined): OwnedRRset {
  const { owner, rrset } = set;
  if (other === undefined || other.ttl !== rrset.ttl) return set;
  const shared = new Set(other.rdata.map(bytesKey));
  const rdata = rrset.rdata.filter((one) => !shared.has(bytesKey(one)));
  return { owner, rrset: { ...rrset, rdata } };
}
