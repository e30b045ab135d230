/** How long the records of an update may last: what the zone's rules say, and what the client asks for (RFC 9664). */
import type { Grant } from './policy.ts';
import type { ResourceRecord } from './wire/message.ts';
import { CLASS, TYPE } from './wire/types.ts';
import type { UpdateLease } from './wire/update-lease.ts';

/** A lease shorter than this would be refreshed all the time. */
export const MIN_LEASE_SECONDS = 30;
/** The longest lease a client gets where the configuration says nothing; SRP keeps keys for 14 days (RFC 9665). */
const MAX_LEASE_SECONDS = 30 * 86_400;

/** A record that an update adds or repeats, and how long it lasts from now on; 0 = for ever. */
export interface LeasedRecord {
  readonly record: ResourceRecord;
  readonly seconds: number;
}

/** What came of it. */
export interface LeaseGrant {
  readonly records: readonly LeasedRecord[];
  /** For the reply; undefined: the client did not ask. */
  readonly granted: UpdateLease | undefined;
}

/**
 * Grants leases to the records that an update adds. Who asks gets one, where nothing is configured as well; what is
 * configured is the most there is. All records of one message whose client asked get the same, which the reply names.
 * @param grants what the policy grants for each record
 * @param zoneSeconds the zone's `lease`
 */
export function grantLeases(
  records: readonly ResourceRecord[],
  grants: readonly (Grant | undefined)[],
  zoneSeconds: number,
  asked: UpdateLease | undefined,
): LeaseGrant {
  const added: LeasedRecord[] = [];
  for (const [i, record] of records.entries()) {
    if (record.class === CLASS.IN) added.push({ record, seconds: grants[i]?.leaseSeconds ?? zoneSeconds });
  }
  if (asked === undefined) return { records: added, granted: undefined };
  const isKey = ({ record }: LeasedRecord) => asked.keyLease !== undefined && record.type === TYPE.KEY;
  const limits = added.filter((one) => one.seconds > 0 && !isKey(one)).map(({ seconds }) => seconds);
  if (added.length === 0 && zoneSeconds > 0) limits.push(zoneSeconds);
  const lease = clamp(asked.lease, Math.min(MAX_LEASE_SECONDS, ...limits));
  const keyLease = asked.keyLease === undefined ? undefined : clamp(asked.keyLease, MAX_LEASE_SECONDS);
  return {
    records: added.map((one) => ({ record: one.record, seconds: isKey(one) ? keyLease! : lease })),
    granted: { lease, keyLease },
  };
}

function clamp(asked: number, most: number): number {
  return Math.min(Math.max(asked, MIN_LEASE_SECONDS), most);
}
