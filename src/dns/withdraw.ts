/** Takes a host out of a zone: its own records, and those that lead to it. */
import type { Overlay } from './overlay.ts';
import { rdataTarget, targetTypes } from './target.ts';
import { withdrawRRset } from './update-apply.ts';
import { isSubdomainKey, type Name, nameKey } from './wire/name.ts';
import { TYPE } from './wire/types.ts';
import type { Zone } from './zone.ts';

/**
 * Deletes all records of `host`, and of SRV and PTR records those whose target it is; what a zone cannot be without stays.
 * @throws {ValueError} if the zone's rules do not allow it
 */
export function withdrawHost(host: Name, zone: Zone, overlay: Overlay): void {
  const target = nameKey(host);
  if (isSubdomainKey(target, zone.key) && overlay.rrsets(target).length > 0) {
    withdrawRRset(host, TYPE.ANY, zone.key, overlay);
  }
  for (const { owner, rrset } of zone.all()) {
    if (!targetTypes.has(rrset.type)) continue;
    // As it is now, which may be other than what is answered yet.
    const set = overlay.rrset(nameKey(owner), rrset.type);
    const rest = set?.rrset.rdata.filter((rdata) => rdataTarget(rrset.type, rdata) !== target) ?? [];
    if (set === undefined || rest.length === set.rrset.rdata.length) continue;
    overlay.set(set.owner, rrset.type, rest.length === 0 ? undefined : { ...set.rrset, rdata: rest });
  }
}
