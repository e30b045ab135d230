/** The update section, record by record (RFC 2136 §3.4.2), on an overlay: what the zone's rules forbid is passed over. */
import { ValueError } from '../core/errors.ts';
import type { Overlay } from './overlay.ts';
import { serialGreater, soaSerial } from './soa.ts';
import { Refusal, recordText } from './update-refusal.ts';
import type { ResourceRecord } from './wire/message.ts';
import { isSubdomainKey, type Name, type NameKey, nameKey, nameToText } from './wire/name.ts';
import { checkRdata } from './wire/rdata.ts';
import { CLASS, isDataType, RCODE, TYPE, typeToText } from './wire/types.ts';

/** An RRset has to fit into a message, with its owner and a signature. */
const MAX_RRSET_OCTETS = 60_000;
export const MAX_RECORDS_PER_RRSET = 1000;
/** A name with more types than this makes every answer for it slow (CVE-2024-1737 was that). */
const MAX_TYPES_PER_NAME = 100;

/** Types that stand beside a CNAME (RFC 2535 §2.3.5, RFC 4034 §2.5). */
const BESIDE_CNAME: ReadonlySet<number> = new Set([TYPE.SIG, TYPE.KEY, TYPE.NXT, TYPE.RRSIG, TYPE.NSEC]);

/** A record that changes nothing, and why. */
export interface PassedOver {
  readonly record: ResourceRecord;
  readonly reason: string;
}

/** Applies records in their order; returns what was passed over, for the log. @throws {Refusal} */
export function applyRecords(records: readonly ResourceRecord[], zone: NameKey, overlay: Overlay): PassedOver[] {
  const ignored: PassedOver[] = [];
  for (const record of records) {
    const reason = applyRecord(record, nameKey(record.name), zone, overlay);
    if (reason !== undefined) ignored.push({ record, reason });
  }
  return ignored;
}

function applyRecord(record: ResourceRecord, owner: NameKey, zone: NameKey, overlay: Overlay): string | undefined {
  if (record.class === CLASS.IN) return addRecord(record, owner, overlay);
  if (record.class === CLASS.NONE) return deleteRecord(record, owner, zone, overlay);
  if (record.type !== TYPE.ANY) return deleteRRset(record.name, record.type, owner, zone, overlay);
  // §3.4.2.3: the apex keeps its SOA and NS RRsets.
  for (const type of overlay.types(owner).keys()) deleteRRset(record.name, type, owner, zone, overlay);
  return undefined;
}

/** §3.4.2.2 */
function addRecord(record: ResourceRecord, owner: NameKey, overlay: Overlay): string | undefined {
  const { name, type } = record;
  const types = overlay.types(owner);
  if (type === TYPE.CNAME && [...types.keys()].some((other) => other !== type && !BESIDE_CNAME.has(other))) {
    return 'the name has other records, a CNAME must stand alone';
  }
  if (type !== TYPE.CNAME && !BESIDE_CNAME.has(type) && types.has(TYPE.CNAME)) {
    return 'the name has a CNAME, which must stand alone';
  }
  // RFC 4592 §4.2 and §4.4: what a delegation or redirection of every name means is not defined.
  if ((type === TYPE.NS || type === TYPE.DNAME) && owner.startsWith('\x01*')) return 'a wildcard has no NS or DNAME';
  if (type === TYPE.SOA) {
    const soa = overlay.rrset(owner, type);
    if (soa === undefined) return 'the SOA stands at the apex';
    const serial = soaSerial(soa.rrset.rdata[0]!);
    // A serial that stays is no step forward: secondaries would not notice the change.
    if (!serialGreater(soaSerial(record.rdata), serial)) return `its serial is not above ${serial}`;
  }
  if (!types.has(type) && types.size >= MAX_TYPES_PER_NAME) {
    throw new Refusal(RCODE.SERVFAIL, `${recordText(record)}: the name has too many types`);
  }
  // A name is written one way: as its first record had it.
  const [first] = types.values();
  const set = overlay.edit(first ?? name, type);
  // "If the MSB is set, … treat the entire value received as zero" (RFC 2181 §8).
  set.add(record.rdata, record.ttl > 0x7fffffff ? 0 : record.ttl);
  if (set.size > MAX_RECORDS_PER_RRSET || set.octets > MAX_RRSET_OCTETS) {
    throw new Refusal(RCODE.SERVFAIL, `${recordText(record)}: the RRset would be too large to be answered`);
  }
  return undefined;
}

/** §3.4.2.4 */
function deleteRecord(record: ResourceRecord, owner: NameKey, zone: NameKey, overlay: Overlay): string | undefined {
  const { name, type } = record;
  if (type === TYPE.SOA) return 'an SOA is not deleted';
  if (!overlay.has(owner, type)) return undefined;
  const set = overlay.edit(name, type);
  if (owner === zone && type === TYPE.NS && set.size === 1 && set.has(record.rdata)) {
    return "the zone's last NS is not deleted";
  }
  set.delete(record.rdata);
  return undefined;
}

/** §3.4.2.3 */
function deleteRRset(name: Name, type: number, owner: NameKey, zone: NameKey, overlay: Overlay): string | undefined {
  if (owner === zone && (type === TYPE.SOA || type === TYPE.NS)) return "the zone's SOA and NS are not deleted";
  if (overlay.has(owner, type)) overlay.set(name, type, undefined);
  return undefined;
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
