/** Commits on their way from the zone store's log into its tables. */
import { soaSerial } from './soa.ts';
import { decodeCommits } from './store-codec.ts';
import type { ZoneCommit } from './stored-zone.ts';
import { TYPE } from './wire/types.ts';

/** Commits that go into the tables in one transaction, and their octets: the thread is held up for about a millisecond. */
const SLICE = 64;
const SLICE_OCTETS = 256 * 1024;

/** What is in the log, and perhaps not yet in the tables. */
export interface Pending {
  readonly sequence: number;
  readonly payload: Uint8Array;
  /** The same, once somebody has asked for it: thousands of small objects that stay for a second cost more than to read them anew. */
  commits: readonly ZoneCommit[] | undefined;
}

/** How many of those that are pending make one transaction; one at least. */
export function sliceOf(pending: readonly Pending[]): number {
  let count = 0;
  for (let octets = 0; count < Math.min(SLICE, pending.length) && octets < SLICE_OCTETS; count++) {
    octets += pending[count]!.payload.length;
  }
  return count;
}

/** What its octets say. */
export function commitsOf(pending: Pending): readonly ZoneCommit[] {
  pending.commits ??= decodeCommits(pending.payload);
  return pending.commits;
}

/** Whether the log can have a commit: one that leads from a serial to another, or changes no records and brings none. */
export function isStep({ changes, records, seed }: ZoneCommit): boolean {
  if (records !== undefined) return false;
  return changes.length === 0 ? seed === undefined : serialsOf(changes) !== undefined;
}

/** From which serial to which changes lead; undefined if they begin or end a zone. */
export function serialsOf(changes: ZoneCommit['changes']): { fromSerial: number; toSerial: number } | undefined {
  const soa = changes.find(({ type }) => type === TYPE.SOA);
  if (soa?.before === undefined || soa.rrset === undefined) return undefined;
  return { fromSerial: soaSerial(soa.before.rrset.rdata[0]!), toSerial: soaSerial(soa.rrset.rdata[0]!) };
}
