/** Folders of a store for tests, and what is in one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { ZoneStore } from '../../src/dns/store.ts';
import { zone } from './wal-steps.ts';

/** A folder until the test is over. */
export function newDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-wal-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** The serial that the store has, with as many names; NaN if it has anything else. */
export function contentOf(store: ZoneStore, octets: number): number {
  const stored = store.load(zone);
  if (stored === undefined) return 0;
  const names = stored.rrsets.filter(({ rrset }) => rrset.rdata[0]!.length === octets);
  return names.length === stored.serial && store.verify(zone).serial === stored.serial ? stored.serial : Number.NaN;
}

/** Of the checksums. */
export const seed = 7;
