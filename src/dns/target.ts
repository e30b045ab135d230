/**
 * Where records lead, for rules with `target`: many keys share one RRset (the SRV records of a service), and each may change its
 * own records in it alone.
 */
import type { ZoneView } from './overlay.ts';
import type { Grant } from './policy.ts';
import type { ResourceRecord } from './wire/message.ts';
import { type NameKey, nameKey, nameKeyAt } from './wire/name.ts';
import { CLASS, TYPE } from './wire/types.ts';

/** Priority, weight and port stand before an SRV record's target (RFC 2782). */
const srvTarget = 6;

/** Types that rules with `target` can be about. */
export const targetTypes: ReadonlySet<number> = new Set([TYPE.SRV, TYPE.PTR]);

/** The name that valid RDATA leads to; undefined for other types. */
export function rdataTarget(type: number, rdata: Uint8Array): NameKey | undefined {
  if (!targetTypes.has(type)) return undefined;
  return nameKeyAt(rdata, type === TYPE.SRV ? srvTarget : 0, rdata.length);
}

/**
 * Whether all that a record of an UPDATE adds or deletes leads to `target`: itself, or when it deletes an RRset all that is there.
 * A name has one PTR record as a rule (RFC 2181 §10.2 allows more): where another's stands there is no place for one's own.
 * @param type the record's, or when it deletes a whole name one of those that are there
 */
export function leadsTo(target: NameKey, record: ResourceRecord, type: number, view: ZoneView): boolean {
  const there = view.rrset(nameKey(record.name), type)?.rrset.rdata ?? [];
  const own = (rdata: Uint8Array) => rdataTarget(type, rdata) === target;
  if (record.class === CLASS.ANY) return targetTypes.has(type) && there.every(own);
  return own(record.rdata) && (type !== TYPE.PTR || record.class !== CLASS.IN || there.every(own));
}

/** The records with the TTL that others' records in their RRset have: one TTL is for all of them (RFC 2181 §5.2), and not theirs to set. */
export function keepSharedTtl(
  records: readonly ResourceRecord[],
  grants: readonly (Grant | undefined)[],
  view: ZoneView,
): readonly ResourceRecord[] {
  if (grants.every((grant) => grant?.target === undefined)) return records;
  return records.map((record, i) => {
    const target = grants[i]?.target;
    if (target === undefined || record.class !== CLASS.IN) return record;
    const { rrset } = view.rrset(nameKey(record.name), record.type) ?? {};
    const shared = rrset?.rdata.some((rdata) => rdataTarget(record.type, rdata) !== target);
    return shared === true ? { ...record, ttl: rrset!.ttl } : record;
  });
}
