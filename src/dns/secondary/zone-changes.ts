/** From what a transfer brought to the changes of the zone we have. */
import { Overlay, type RRsetChange, sameRRset, type ZoneView } from '../overlay.ts';
import type { OwnedRRset } from '../snapshot.ts';
import type { ResourceRecord } from '../wire/message.ts';
import { isSubdomainKey, type NameKey, nameKey } from '../wire/name.ts';
import { TYPE } from '../wire/types.ts';
import type { Zone } from '../zone.ts';
import type { DifferenceStep } from './transfer-reader.ts';

/** RRsets looked at without a pause: a millisecond or two. */
const SETS_PER_TURN = 4096;

/** What makes a zone (or nothing) the one that was transferred. In large ones others get their turn; `zone` is left alone meanwhile. */
export async function replaceZone(zone: Zone | undefined, rrsets: readonly OwnedRRset[]): Promise<RRsetChange[]> {
  const changes: RRsetChange[] = [];
  let looked = 0;
  /** Types by owner, to find what is no longer there. */
  const there = new Map<NameKey, Set<number>>();
  for (const { owner, rrset } of rrsets) {
    if (++looked % SETS_PER_TURN === 0) await nextTurn();
    const key = nameKey(owner);
    const types = there.get(key);
    if (types === undefined) there.set(key, new Set([rrset.type]));
    else types.add(rrset.type);
    const before = zone?.rrset(key, rrset.type);
    if (!sameRRset(before?.rrset, rrset)) changes.push({ owner, type: rrset.type, rrset, before });
  }
  for (const before of zone?.all() ?? []) {
    if (++looked % SETS_PER_TURN === 0) await nextTurn();
    const { owner, rrset } = before;
    if (there.get(nameKey(owner))?.has(rrset.type) === true) continue;
    changes.push({ owner, type: rrset.type, rrset: undefined, before });
  }
  return changes;
}

/**
 * What differences change; undefined where they do not fit the zone we have (a record to be deleted is not there, one to be
 * added is): then only the whole zone can be right.
 */
export function applyDifferences(
  zone: NameKey,
  view: ZoneView,
  steps: readonly DifferenceStep[],
): RRsetChange[] | undefined {
  const overlay = new Overlay(view);
  for (const { deleted, newSoa, added } of steps) {
    for (const record of deleted) if (!remove(overlay, record)) return undefined;
    for (const record of added) if (!add(zone, overlay, record)) return undefined;
    const { name, type, ttl, rdata } = newSoa!;
    overlay.set(name, type, { type, ttl, rdata: [rdata] });
  }
  return overlay.changes();
}

function remove(overlay: Overlay, { name, type, rdata }: ResourceRecord): boolean {
  if (type === TYPE.SOA || !overlay.has(nameKey(name), type)) return false;
  return overlay.edit(name, type).delete(rdata);
}

function add(zone: NameKey, overlay: Overlay, { name, type, ttl, rdata }: ResourceRecord): boolean {
  if (!isSubdomainKey(nameKey(name), zone) || type === TYPE.SOA) return false;
  const set = overlay.edit(name, type);
  if (set.has(rdata)) return false;
  set.add(rdata, ttl);
  return true;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
