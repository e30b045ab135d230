/**
 * Dynamic update (RFC 2136 §3) as a pure function: from a zone, a message and who signed it to an rcode and a set of
 * changes. The zone itself is not touched; whoever commits the changes does that.
 */

import { WireError } from '../core/errors.ts';
import { grantLeases, type LeasedRecord } from './lease-grant.ts';
import { Overlay, type RRsetChange, type ZoneView } from './overlay.ts';
import type { Requester, UpdatePolicy } from './policy.ts';
import { nextSerial, soaSerial, withSerial } from './soa.ts';
import { keepSharedTtl } from './target.ts';
import { applyRecords, type PassedOver } from './update-apply.ts';
import { checkPrerequisites } from './update-prereq.ts';
import { checkLimits, checkPolicy, prescan } from './update-prescan.ts';
import { Refusal } from './update-refusal.ts';
import type { Message } from './wire/message.ts';
import type { NameKey } from './wire/name.ts';
import { RCODE, TYPE } from './wire/types.ts';
import { parseUpdateLease, type UpdateLease } from './wire/update-lease.ts';

/** What an update came to. */
export interface UpdateOutcome {
  readonly rcode: number;
  /** Why it was refused, in words; undefined when it was not. */
  readonly reason: string | undefined;
  /** Records that were passed over (RFC 2136 §3.4.2: "silently ignored"). */
  readonly ignored: readonly PassedOver[];
  /** Empty when refused, or when the zone is as the update wants it already. */
  readonly changes: readonly RRsetChange[];
  /** Records that it adds or repeats, and how long they last. */
  readonly added: readonly LeasedRecord[];
  /** For the reply, if the client asked for a lease. */
  readonly lease: UpdateLease | undefined;
}

/** The zone section's check (RFC 2136 §3.1.1): the rcode, or NOERROR. Whether the zone is ours is for the caller. */
export function checkZoneSection(message: Message): number {
  const [zone] = message.questions;
  return zone !== undefined && message.questions.length === 1 && zone.type === TYPE.SOA ? RCODE.NOERROR : RCODE.FORMERR;
}

/**
 * Processes prerequisites and updates (RFC 2136 §3.2 to §3.6) of a message for the zone.
 * @param leaseSeconds the zone's `lease`
 */
export function processUpdate(
  message: Message,
  zone: NameKey,
  view: ZoneView,
  policy: UpdatePolicy,
  who: Requester,
  leaseSeconds = 0,
): UpdateOutcome {
  // A key that may change nothing here learns nothing from prerequisites either.
  if (!policy.knows(who)) return refused(RCODE.REFUSED, policy.explain(who));
  const overlay = new Overlay(view);
  try {
    const asked = readLease(message);
    checkPrerequisites(message.answers, zone, view);
    prescan(message.authority, zone);
    const grants = checkPolicy(message.authority, who, policy, view);
    const records = keepSharedTtl(message.authority, grants, view);
    const ignored = applyRecords(records, zone, overlay);
    checkLimits(records, grants, view, overlay);
    const { records: added, granted } = grantLeases(records, grants, leaseSeconds, asked);
    const changes = finishChanges(zone, view, overlay);
    return { rcode: RCODE.NOERROR, reason: undefined, ignored, changes, added, lease: granted };
  } catch (error) {
    if (error instanceof Refusal) return refused(error.rcode, error.message);
    throw error;
  }
}

/** The overlay's changes with the serial stepped forward, if there are any and none of them did so (RFC 2136 §3.6). */
export function finishChanges(zone: NameKey, view: ZoneView, overlay: Overlay): RRsetChange[] {
  const changes = overlay.changes();
  if (changes.length === 0 || changes.some(({ type, before }) => type === TYPE.SOA && before !== undefined)) {
    return changes;
  }
  const soa = view.rrset(zone, TYPE.SOA)!;
  const rdata = soa.rrset.rdata[0]!;
  overlay.set(soa.owner, TYPE.SOA, { ...soa.rrset, rdata: [withSerial(rdata, nextSerial(soaSerial(rdata)))] });
  return overlay.changes();
}

/** @throws {Refusal} */
function readLease(message: Message): UpdateLease | undefined {
  if (message.edns === undefined) return undefined;
  try {
    return parseUpdateLease(message.edns.options);
  } catch (error) {
    throw error instanceof WireError ? new Refusal(RCODE.FORMERR, error.message) : error;
  }
}

function refused(rcode: number, reason: string): UpdateOutcome {
  return { rcode, reason, ignored: [], changes: [], added: [], lease: undefined };
}
