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

/** How many records of a zone's RRsets lead where, each counted once: an update may ask for every one of its records. */
export class TargetCounts {
  readonly #view: ZoneView;
  readonly #counts = new Map<string, number>();

  constructor(view: ZoneView) {
    this.#view = view;
  }

  /** Records in an RRset. */
  all(owner: NameKey, type: number): number {
    return this.#view.rrset(owner, type)?.rrset.rdata.length ?? 0;
  }

  /** Those of them that lead to `target`. */
  leading(owner: NameKey, type: number, target: NameKey): number {
    const key = `${type} ${target}${owner}`;
    let count = this.#counts.get(key);
    if (count === undefined) {
      const there = this.#view.rrset(owner, type)?.rrset.rdata ?? [];
      count = there.filter((rdata) => rdataTarget(type, rdata) === target).length;
      this.#counts.set(key, count);
    }
    return count;
  }

  /** Whether no record of an RRset leads elsewhere. */
  allLead(owner: NameKey, type: number, target: NameKey): boolean {
    return this.leading(owner, type, target) === this.all(owner, type);
  }
}

/**
 * Whether all that a record of an UPDATE adds or deletes leads to `target`: itself, or when it deletes an RRset all that is there.
 * A name has one PTR record as a rule (RFC 2181 §10.2 allows more): where another's stands there is no place for one's own.
 * @param type the record's, or when it deletes a whole name one of those that are there
 * @param there of the zone as it is
 */
export function leadsTo(target: NameKey, record: ResourceRecord, type: number, there: TargetCounts): boolean {
  const owner = nameKey(record.name);
  if (record.class === CLASS.ANY) return targetTypes.has(type) && there.allLead(owner, type, target);
  if (rdataTarget(type, record.rdata) !== target) return false;
  return type !== TYPE.PTR || record.class !== CLASS.IN || there.allLead(owner, type, target);
}

/** The records with the TTL that others' records in their RRset have: one TTL is for all of them (RFC 2181 §5.2), and not theirs to set. */
export function keepSharedTtl(
  records: readonly ResourceRecord[],
  grants: readonly (Grant | undefined)[],
  view: ZoneView,
): readonly ResourceRecord[] {
  if (grants.every((grant) => grant?.target === undefined)) return records;
  const there = new TargetCounts(view);
  return records.map((record, i) => {
    const target = grants[i]?.target;
    if (target === undefined || record.class !== CLASS.IN) return record;
    const owner = nameKey(record.name);
    if (there.allLead(owner, record.type, target)) return record;
    return { ...record, ttl: view.rrset(owner, record.type)!.rrset.ttl };
  });
}
