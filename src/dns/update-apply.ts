/** The update section, record by record (RFC 2136 §3.4.2), on an overlay: what the zone's rules forbid is passed over. */
import { ValueError } from '../core/errors.ts';
import type { Overlay } from './overlay.ts';
import type { OwnedRRset, RRset } from './snapshot.ts';
import { serialGreater, soaSerial } from './soa.ts';
import { Refusal, recordText } from './update-refusal.ts';
import { readUint32 } from './wire/bytes.ts';
import type { ResourceRecord } from './wire/message.ts';
import { isSubdomainKey, type Name, type NameKey, nameKey, nameToText } from './wire/name.ts';
import { checkRdata, equalRdata } from './wire/rdata.ts';
import { CLASS, isDataType, RCODE, TYPE, typeToText } from './wire/types.ts';

/** An RRset has to fit into a message, with its owner and a signature. */
const MAX_RRSET_OCTETS = 60_000;
export const MAX_RECORDS_PER_RRSET = 1000;
/** A name with more types than this makes every answer for it slow (CVE-2024-1737 was that). */
const MAX_TYPES_PER_NAME = 100;

/** Types that stand beside a CNAME (RFC 2535 §2.3.5, RFC 4034 §2.5). */
const BESIDE_CNAME: ReadonlySet<number> = new Set([TYPE.SIG, TYPE.KEY, TYPE.NXT, TYPE.RRSIG, TYPE.NSEC]);

/** Applies records in their order; returns what was passed over and why, for the log. @throws {Refusal} */
export function applyRecords(records: readonly ResourceRecord[], zone: NameKey, overlay: Overlay): string[] {
  const ignored: string[] = [];
  for (const record of records) {
    const reason = applyRecord(record, nameKey(record.name), zone, overlay);
    if (reason !== undefined) ignored.push(`${recordText(record)}: ${reason}`);
  }
  return ignored;
}

function applyRecord(record: ResourceRecord, owner: NameKey, zone: NameKey, overlay: Overlay): string | undefined {
  if (record.class === CLASS.IN) return addRecord(record, owner, overlay);
  if (record.class === CLASS.NONE) return deleteRecord(record, owner, zone, overlay);
  if (record.type !== TYPE.ANY) return deleteRRset(record.name, record.type, owner, zone, overlay);
  // §3.4.2.3: the apex keeps its SOA and NS RRsets.
  for (const { rrset } of overlay.rrsets(owner)) deleteRRset(record.name, rrset.type, owner, zone, overlay);
  return undefined;
}

/** §3.4.2.2 */
function addRecord(record: ResourceRecord, owner: NameKey, overlay: Overlay): string | undefined {
  const { name, type } = record;
  const sets = overlay.rrsets(owner);
  const set = sets.find(({ rrset }) => rrset.type === type);
  if (type === TYPE.CNAME && sets.some(({ rrset }) => rrset.type !== type && !BESIDE_CNAME.has(rrset.type))) {
    return 'the name has other records, a CNAME must stand alone';
  }
  if (type !== TYPE.CNAME && !BESIDE_CNAME.has(type) && sets.some(({ rrset }) => rrset.type === TYPE.CNAME)) {
    return 'the name has a CNAME, which must stand alone';
  }
  // RFC 4592 §4.2 and §4.4: what a delegation or redirection of every name means is not defined.
  if ((type === TYPE.NS || type === TYPE.DNAME) && owner.startsWith('\x01*')) return 'a wildcard has no NS or DNAME';
  if (type === TYPE.SOA) {
    if (set === undefined) return 'the SOA stands at the apex';
    const serial = soaSerial(set.rrset.rdata[0]!);
    // A serial that stays is no step forward: secondaries would not notice the change.
    if (!serialGreater(soaSerial(record.rdata), serial)) return `its serial is not above ${serial}`;
  }
  // "If the MSB is set, … treat the entire value received as zero" (RFC 2181 §8).
  const ttl = record.ttl > 0x7fffffff ? 0 : record.ttl;
  const old = set?.rrset.rdata ?? [];
  const at = old.findIndex((rdata) => replaces(type, record.rdata, rdata));
  let rdata = at < 0 ? [...old, record.rdata] : old.with(at, record.rdata);
  // A name in it in another case is the same record: it changes nothing, so repeating an update does not either.
  if (at >= 0 && equalRdata(type, record.rdata, old[at]!)) rdata = [...old];
  checkLimits(record, rdata, set === undefined ? sets.length + 1 : 0);
  // One TTL for all of an RRset (RFC 2181 §5.2): the newest.
  overlay.set(set?.owner ?? ownerCase(sets, name), type, { type, ttl, rdata });
  return undefined;
}

/** §3.4.2.4 */
function deleteRecord(record: ResourceRecord, owner: NameKey, zone: NameKey, overlay: Overlay): string | undefined {
  const { type } = record;
  if (type === TYPE.SOA) return 'an SOA is not deleted';
  const set = overlay.rrset(owner, type);
  if (set === undefined) return undefined;
  const rdata = set.rrset.rdata.filter((there) => !equalRdata(type, there, record.rdata));
  if (rdata.length === set.rrset.rdata.length) return undefined;
  if (rdata.length === 0 && owner === zone && type === TYPE.NS) return "the zone's last NS is not deleted";
  const rest: RRset | undefined = rdata.length === 0 ? undefined : { ...set.rrset, rdata };
  overlay.set(set.owner, type, rest);
  return undefined;
}

/** §3.4.2.3 */
function deleteRRset(name: Name, type: number, owner: NameKey, zone: NameKey, overlay: Overlay): string | undefined {
  if (owner === zone && (type === TYPE.SOA || type === TYPE.NS)) return "the zone's SOA and NS are not deleted";
  if (overlay.rrset(owner, type) !== undefined) overlay.set(name, type, undefined);
  return undefined;
}

/** Whether a new record takes an old one's place instead of standing beside it (§1.1.5). */
function replaces(type: number, rdata: Uint8Array, old: Uint8Array): boolean {
  switch (type) {
    case TYPE.CNAME:
    case TYPE.DNAME:
    case TYPE.SOA:
      return true;
    case TYPE.WKS:
      // "compare only NAME, CLASS, TYPE, ADDRESS, and PROTOCOL"
      return readUint32(rdata, 0) === readUint32(old, 0) && rdata[4] === old[4];
    default:
      return equalRdata(type, rdata, old);
  }
}

/** A name is written one way: as its first record had it. */
function ownerCase(sets: readonly OwnedRRset[], name: Name): Name {
  return sets[0]?.owner ?? name;
}

function checkLimits(record: ResourceRecord, rdata: readonly Uint8Array[], types: number): void {
  let octets = 0;
  for (const one of rdata) octets += one.length + 12;
  if (rdata.length > MAX_RECORDS_PER_RRSET || octets > MAX_RRSET_OCTETS) {
    throw new Refusal(RCODE.SERVFAIL, `${recordText(record)}: the RRset would be too large to be answered`);
  }
  if (types > MAX_TYPES_PER_NAME)
    throw new Refusal(RCODE.SERVFAIL, `${recordText(record)}: the name has too many types`);
}

/**
 * Puts an RRset in place of another, for the admin API: the same rules as for updates, but a breach is an error.
 * @throws {ValueError}
 */
export function replaceRRset(
  name: Name,
  type: number,
  ttl: number,
  rdata: readonly Uint8Array[],
  zone: NameKey,
  overlay: Overlay,
): void {
  const owner = nameKey(name);
  if (!isSubdomainKey(owner, zone)) throw new ValueError(`${nameToText(name)} is not in the zone`);
  if (!isDataType(type)) throw new ValueError(`no record has the type ${typeToText(type)}`);
  if (rdata.length === 0) throw new ValueError('an RRset has a record at least; delete it instead');
  if (type !== TYPE.SOA) overlay.set(name, type, undefined);
  for (const one of rdata) {
    if (!checkRdata(type, one)) throw new ValueError(`the data is not valid for ${typeToText(type)}`);
    const record = { name, type, class: CLASS.IN, ttl, rdata: one };
    const reason = orValueError(() => addRecord(record, owner, overlay));
    if (reason !== undefined) throw new ValueError(`${recordText(record)}: ${reason}`);
  }
}

/**
 * Deletes an RRset, or all of a name with type ANY, for the admin API.
 * @throws {ValueError}
 */
export function withdrawRRset(name: Name, type: number, zone: NameKey, overlay: Overlay): void {
  const owner = nameKey(name);
  if (!isSubdomainKey(owner, zone)) throw new ValueError(`${nameToText(name)} is not in the zone`);
  const record = { name, type, class: CLASS.ANY, ttl: 0, rdata: new Uint8Array(0) };
  const reason = applyRecord(record, owner, zone, overlay);
  if (reason !== undefined) throw new ValueError(reason);
}

function orValueError<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw error instanceof Refusal ? new ValueError(error.message) : error;
  }
}
