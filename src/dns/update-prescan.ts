/** Prescan of an UPDATE's records (RFC 2136 §3.4.1) and the policy's word on each (§3.3): one bad record refuses them all. */
import type { ZoneView } from './overlay.ts';
import type { Grant, Requester, UpdatePolicy } from './policy.ts';
import { leadsTo, TargetCounts } from './target.ts';
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

/**
 * Asks the policy about every record; returns what it grants for each, in their order (a name without records needs none).
 * @throws {Refusal}
 */
export function checkPolicy(
  records: readonly ResourceRecord[],
  who: Requester,
  policy: UpdatePolicy,
  view: ZoneView,
): (Grant | undefined)[] {
  const there = new TargetCounts(view);
  return records.map((record) => {
    const owner = nameKey(record.name);
    // Deleting a name deletes what it has: each type must be granted.
    const types = record.type === TYPE.ANY ? view.rrsets(owner).map(({ rrset }) => rrset.type) : [record.type];
    const address = addedAddress(record);
    let grant: Grant | undefined;
    for (const type of types) {
      grant = policy.grant(who, owner, type, (target) => leadsTo(target, record, type, there), address);
      if (grant !== undefined) continue;
      const what = `${recordText(record)}${type === record.type ? '' : ` (has ${typeToText(type)})`}`;
      throw new Refusal(RCODE.REFUSED, `${what}: ${policy.explain(who, owner, type, address)}`);
    }
    return grant;
  });
}

/** What an A or AAAA record that is to be added leads to: taking one away is nothing that `addresses` of a rule is about. */
function addedAddress({ class: cls, type, rdata }: ResourceRecord): Uint8Array | undefined {
  return cls === CLASS.IN && (type === TYPE.A || type === TYPE.AAAA) ? rdata : undefined;
}

/** Holds the rules' limits against what the records made of the zone: who is at a limit may still replace. @throws {Refusal} */
export function checkLimits(
  records: readonly ResourceRecord[],
  grants: readonly (Grant | undefined)[],
  before: ZoneView,
  after: ZoneView,
): void {
  const [old, now] = [new TargetCounts(before), new TargetCounts(after)];
  for (const [i, record] of records.entries()) {
    const grant = grants[i];
    if (record.class !== CLASS.IN || grant === undefined || grant.maxOfType + grant.maxRecords === 0) continue;
    const owner = nameKey(record.name);
    const refuse = (max: number, there: number, what: string): void => {
      if (there <= max) return;
      throw new Refusal(RCODE.REFUSED, `${recordText(record)}: ${grant.text} allows ${max} ${what}, not ${there}`);
    };
    const { target } = grant;
    const count = (counts: TargetCounts, type: number) =>
      target === undefined ? counts.all(owner, type) : counts.leading(owner, type, target);
    const sum = (view: ZoneView) => view.rrsets(owner).reduce((all, { rrset }) => all + rrset.rdata.length, 0);
    const { maxOfType, maxRecords } = grant;
    if (maxOfType > 0) {
      const there = count(now, record.type);
      if (there > count(old, record.type)) refuse(maxOfType, there, `${typeToText(record.type)} records a name`);
    }
    if (maxRecords > 0) {
      const there = sum(after);
      if (there > sum(before)) refuse(maxRecords, there, 'records a name');
    }
  }
}
