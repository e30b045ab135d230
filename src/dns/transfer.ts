/** Zone transfers out: AXFR (RFC 5936) and IXFR (RFC 1995) as messages in order. */
import { type Cidr, cidrContains, unmapAddress } from '../core/address.ts';
import type { TsigKey, ZoneConfig } from './config.ts';
import type { HandoffRequest, OwnedRRset, RRset } from './snapshot.ts';
import { serialGreater, soaSerial } from './soa.ts';
import type { JournalEntry } from './store.ts';
import { copyBytes, equalBytes } from './wire/bytes.ts';
import { MessageWriter, type Question, type ResourceRecord } from './wire/message.ts';
import { CLASS, FLAG, OPCODE, RCODE, SECTION, TYPE } from './wire/types.ts';
import type { Zone } from './zone.ts';

/** Large enough for compression to pay, small enough to be written while the next is made (RFC 5936 §3). */
const MESSAGE_OCTETS = 16_384;

/** Who may have a zone: the key if one is set, from the addresses if any are listed; with neither nobody. */
export function mayTransfer(zone: ZoneConfig, request: HandoffRequest, key: TsigKey | undefined): boolean {
  const { allow, key: wanted } = zone.transfer;
  if (wanted !== undefined && key?.name !== wanted) return false;
  if (allow.length === 0) return wanted !== undefined;
  const { bytes } = unmapAddress(request.client.address);
  return allow.some((cidr: Cidr) => cidrContains(cidr, bytes));
}

/** The records of an AXFR: SOA, everything else, SOA (RFC 5936 §2.2). */
export function* axfrRecords(zone: Zone): Generator<ResourceRecord> {
  const soa = zone.soa.set;
  yield* records(soa);
  for (const set of zone.all()) if (set.rrset.type !== TYPE.SOA) yield* records(set);
  yield* records(soa);
}

/** The records of an IXFR that has the journal for it (RFC 1995 §4): new SOA, then per step what went and what came. */
export function* ixfrRecords(zone: Zone, journal: readonly JournalEntry[]): Generator<ResourceRecord> {
  const soa = zone.soa.set;
  yield* records(soa);
  for (const { changes } of journal) {
    const soaChange = changes.find(({ type }) => type === TYPE.SOA);
    if (soaChange === undefined) continue;
    yield* records(soaChange.before!);
    for (const { before, rrset, type } of changes) {
      if (type !== TYPE.SOA && before !== undefined) yield* records(before, rrset);
    }
    yield* records({ owner: soaChange.owner, rrset: soaChange.rrset! });
    for (const { owner, before, rrset, type } of changes) {
      if (type !== TYPE.SOA && rrset !== undefined) yield* records({ owner, rrset }, before?.rrset);
    }
  }
  yield* records(soa);
}

/** What a client that has `serial` is told when it is up to date, or asks over UDP for more than fits: the SOA alone. */
export function soaRecords(zone: Zone): Iterable<ResourceRecord> {
  return records(zone.soa.set);
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

/** Writes records into as many messages as they need; each has `overhead` octets left for a signature. */
export function transferMessages(
  id: number,
  question: Question,
  content: Iterable<ResourceRecord>,
  overhead: number,
): Uint8Array[] {
  const writer = new MessageWriter();
  const messages: Uint8Array[] = [];
  const begin = (limit: number) => {
    writer.begin(limit - overhead, { preserveCase: true });
    if (messages.length === 0) writer.question(question.name, question.type, question.class);
  };
  const end = () => {
    writer.header(id, FLAG.QR | FLAG.AA, OPCODE.QUERY, RCODE.NOERROR);
    messages.push(copyBytes(writer.finish()));
  };
  const put = ({ name, type, ttl, rdata }: ResourceRecord) =>
    writer.record(SECTION.ANSWER, name, type, CLASS.IN, ttl, rdata);
  begin(MESSAGE_OCTETS);
  let empty = true;
  for (const record of content) {
    if (!put(record)) {
      if (!empty) end();
      begin(MESSAGE_OCTETS);
      if (!put(record)) {
        // A record longer than a message usually is makes its message as long as any may be.
        begin(65535);
        put(record);
      }
    }
    empty = false;
  }
  end();
  return messages;
}

/** The records of a set, without those that `except` has too. */
function* records(set: OwnedRRset, except?: RRset): Generator<ResourceRecord> {
  const { owner, rrset } = set;
  const other = except?.ttl === rrset.ttl ? except.rdata : [];
  for (const rdata of rrset.rdata) {
    if (other.some((there) => equalBytes(there, rdata))) continue;
    yield { name: owner, type: rrset.type, class: CLASS.IN, ttl: rrset.ttl, rdata };
  }
}
