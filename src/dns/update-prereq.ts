/** Prerequisites of an UPDATE (RFC 2136 §3.2): all are looked at before anything of the zone is touched. */
import type { ZoneView } from './overlay.ts';
import { Refusal, recordText } from './update-refusal.ts';
import type { ResourceRecord } from './wire/message.ts';
import { isSubdomainKey, type NameKey, nameKey } from './wire/name.ts';
import { checkRdata, rdataKey } from './wire/rdata.ts';
import { CLASS, RCODE, TYPE } from './wire/types.ts';

/**
 * Tests every prerequisite, in their order.
 * @throws {Refusal} with the rcode of the first that fails
 */
export function checkPrerequisites(records: readonly ResourceRecord[], zone: NameKey, view: ZoneView): void {
  /** RRsets that must be there value by value (§3.2.3): they are compared whole, after all others. */
  const wanted = new Map<NameKey, Map<number, ResourceRecord[]>>();
  for (const record of records) {
    const owner = nameKey(record.name);
    const fail = (rcode: number, reason: string): never => {
      throw new Refusal(rcode, `prerequisite ${recordText(record)}: ${reason}`);
    };
    if (record.ttl !== 0) fail(RCODE.FORMERR, 'its TTL is not 0');
    if (!isSubdomainKey(owner, zone)) fail(RCODE.NOTZONE, 'the name is not in the zone');
    if (record.class !== CLASS.IN) {
      if (record.class !== CLASS.ANY && record.class !== CLASS.NONE)
        fail(RCODE.FORMERR, 'its class is none of the zone');
      if (record.rdata.length !== 0) fail(RCODE.FORMERR, 'it has RDATA');
    }
    if (record.class === CLASS.IN) {
      if (!checkRdata(record.type, record.rdata)) fail(RCODE.FORMERR, 'its RDATA is not valid');
      const types = wanted.get(owner) ?? new Map<number, ResourceRecord[]>();
      wanted.set(owner, types);
      const same = types.get(record.type);
      if (same === undefined) types.set(record.type, [record]);
      else same.push(record);
    } else if (record.type === TYPE.ANY) {
      const inUse = view.rrsets(owner).length > 0;
      if (record.class === CLASS.ANY && !inUse) fail(RCODE.NXDOMAIN, 'the name is not in use');
      if (record.class === CLASS.NONE && inUse) fail(RCODE.YXDOMAIN, 'the name is in use');
    } else {
      const exists = view.rrset(owner, record.type) !== undefined;
      if (record.class === CLASS.ANY && !exists) fail(RCODE.NXRRSET, 'the RRset does not exist');
      if (record.class === CLASS.NONE && exists) fail(RCODE.YXRRSET, 'the RRset exists');
    }
  }
  for (const [owner, types] of wanted) {
    for (const [type, records] of types) {
      if (!sameValues(type, records, view.rrset(owner, type)?.rrset.rdata ?? [])) {
        throw new Refusal(RCODE.NXRRSET, `prerequisite ${recordText(records[0]!)}: the RRset is not the one it names`);
      }
    }
  }
}

function sameValues(type: number, records: readonly ResourceRecord[], there: readonly Uint8Array[]): boolean {
  const named = new Set(records.map(({ rdata }) => rdataKey(type, rdata)));
  const found = new Set(there.map((rdata) => rdataKey(type, rdata)));
  return named.size === found.size && [...named].every((rdata) => found.has(rdata));
}
