/** PTR records kept in step with AAAA and A records: for zones with `reverse: true`. */
import type { Overlay, RRsetChange } from './overlay.ts';
import type { OwnedRRset } from './snapshot.ts';
import { MAX_RECORDS_PER_RRSET } from './update-apply.ts';
import { bytesKey } from './wire/bytes.ts';
import { type Name, type NameKey, nameFromText, nameKey } from './wire/name.ts';
import { TYPE } from './wire/types.ts';
import type { Zone, ZoneTable } from './zone.ts';

/** One PTR record to be there, or not. */
export interface PtrChange {
  readonly owner: Name;
  readonly target: Name;
  /** undefined: the record goes. */
  readonly ttl: number | undefined;
}

/** The PTR records that follow from changes of a forward zone; removals first. */
export function ptrChanges(changes: readonly RRsetChange[]): PtrChange[] {
  const removed: PtrChange[] = [];
  const added: PtrChange[] = [];
  for (const { owner, type, rrset, before } of changes) {
    // A wildcard is no host.
    if ((type !== TYPE.AAAA && type !== TYPE.A) || (owner[0] === 1 && owner[1] === 0x2a)) continue;
    const now = rrset?.rdata ?? [];
    const left = new Set(now.map(bytesKey));
    for (const address of before?.rrset.rdata ?? []) {
      if (left.has(bytesKey(address))) continue;
      removed.push({ owner: reverseName(address), target: owner, ttl: undefined });
    }
    for (const address of now) added.push({ owner: reverseName(address), target: owner, ttl: rrset!.ttl });
  }
  return [...removed, ...added];
}

/** The PTR records of addresses that are there already. */
export function existingPtrs(rrsets: Iterable<OwnedRRset>): PtrChange[] {
  const changes: PtrChange[] = [];
  for (const { owner, rrset } of rrsets) {
    changes.push(...ptrChanges([{ owner, type: rrset.type, rrset, before: undefined }]));
  }
  return changes;
}

/** PTR changes by the zone they belong to; those of addresses that no zone of ours has are left out. */
export function ptrsByZone(changes: readonly PtrChange[], zones: ZoneTable): Map<Zone, PtrChange[]> {
  const perZone = new Map<Zone, PtrChange[]>();
  for (const change of changes) {
    const zone = zones.find(nameKey(change.owner));
    if (zone === undefined) continue;
    const ptrs = perZone.get(zone);
    if (ptrs === undefined) perZone.set(zone, [change]);
    else ptrs.push(change);
  }
  return perZone;
}

/**
 * Applies PTR changes to the overlay of a reverse zone; other PTR records of an address stay. None is added beside a CNAME (RFC
 * 1034 §3.6.2, RFC 2317 has them in reverse zones), nor to more names of one address than an RRset may have.
 */
export function applyPtrChanges(changes: readonly PtrChange[], overlay: Overlay): void {
  for (const { owner, target, ttl } of changes) {
    const key = nameKey(owner);
    if (ttl === undefined) {
      if (overlay.has(key, TYPE.PTR)) overlay.edit(owner, TYPE.PTR).delete(target);
      continue;
    }
    if (overlay.has(key, TYPE.CNAME)) continue;
    const set = overlay.edit(owner, TYPE.PTR);
    // One that is there is written as the host is now.
    if (set.delete(target) || set.size < MAX_RECORDS_PER_RRSET) set.add(target, ttl);
  }
}

/** The name of an address in ip6.arpa (RFC 3596 §2.5) or in-addr.arpa (RFC 1035 §3.5). */
export function reverseName(address: Uint8Array): Name {
  const labels: string[] = [];
  for (const octet of address) {
    if (address.length === 4) labels.unshift(String(octet));
    else labels.unshift((octet & 15).toString(16), (octet >> 4).toString(16));
  }
  return nameFromText(`${labels.join('.')}.${address.length === 4 ? 'in-addr' : 'ip6'}.arpa`);
}

/** Whether a name is that of a reverse zone. */
export function isReverseZone(key: NameKey): boolean {
  return key.endsWith('\x03ip6\x04arpa\x00') || key.endsWith('\x07in-addr\x04arpa\x00');
}
