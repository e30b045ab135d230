/** Prescan of an UPDATE's records (RFC 2136 §3.4.1) and the policy's word on each (§3.3): one bad record refuses them all. */
import type { ZoneView } from './overlay.ts';
import type { UpdatePolicy } from './policy.ts';
import { Refusal, recordText } from './update-refusal.ts';
import type { ResourceRecord } from './wire/message.ts';
import { isSubdomainKey, type NameKey, nameKey } from './wire/name.ts';
import { checkRdata } from './wire/rdata.ts';
import { CLASS, isDataType, RCODE, TYPE, typeToText } from './wire/types.ts';

/** Checks the form of every record. @throws {Refusal} */
export function prescan(records: readonly ResourceRecord[], zone: NameKey): void {
  for (const record of records) {
    const fault = formFault(record);
    if (!isSubdomainKey(nameKey(record.name), zone)) {
      throw new Refusal(RCODE.NOTZONE, `${recordText(record)}: the name is not in the zone`);
    }
    if (fault !== undefined) throw new Refusal(RCODE.FORMERR, `${recordText(record)}: ${fault}`);
  }
}

function formFault(record: ResourceRecord): string | undefined {
  const { class: cls, type, ttl, rdata } = record;
  if (cls !== CLASS.IN && cls !== CLASS.ANY && cls !== CLASS.NONE) return 'its class is none of the zone';
  if (!isDataType(type) && !(cls === CLASS.ANY && type === TYPE.ANY)) return 'no record has this type';
  if (cls !== CLASS.IN && ttl !== 0) return 'its TTL is not 0';
  if (cls === CLASS.ANY) return rdata.length === 0 ? undefined : 'it has RDATA';
  return checkRdata(type, rdata) ? undefined : 'its RDATA is not valid';
}

/** Asks the policy about every record. @throws {Refusal} */
export function checkPolicy(
  records: readonly ResourceRecord[],
  key: NameKey,
  policy: UpdatePolicy,
  view: ZoneView,
): void {
  for (const record of records) {
    const owner = nameKey(record.name);
    // Deleting a name deletes what it has: each type must be granted.
    const types = record.type === TYPE.ANY ? view.rrsets(owner).map(({ rrset }) => rrset.type) : [record.type];
    for (const type of types) {
      if (policy.grant(key, owner, type) !== undefined) continue;
      const what = `${recordText(record)}${type === record.type ? '' : ` (has ${typeToText(type)})`}`;
      throw new Refusal(RCODE.REFUSED, `${what}: ${policy.explain(key, owner)}`);
    }
  }
}
