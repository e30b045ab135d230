/** The zone store from the command line, whether the daemon runs or not: nothing is written to it. */

import { closeSync, existsSync, fsyncSync, linkSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { errorCode, errorMessage, ValueError } from '../../core/errors.ts';
import { ZoneStore } from '../../dns/store.ts';
import { type Name, nameFromText, nameKey, nameToText } from '../../dns/wire/name.ts';
import { zoneOf } from '../../dns/zone-seed.ts';
import { writeZoneFile } from '../../dns/zonefile.ts';
import type { CliContext } from '../cli.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem-text.ts';
import { type ApiTarget, callApi } from './client.ts';
import { showStoredZones } from './show.ts';
import { paintFor } from './table.ts';

/** A zone of the store in short. */
export interface StoredZoneReport {
  readonly name: string;
  readonly serial: number;
  readonly rrsets: number;
  /** Changes kept for IXFR. */
  readonly journal: number;
}

/** Where the configuration has the store. @throws {ValueError} the configuration is bad */
export function stateDirOf(config: string): string {
  const loaded = loadConfig(config);
  if ('config' in loaded) return loaded.config.stateDir;
  throw new ValueError(`where the zone store is cannot be told:\n${loaded.errors.map(formatProblem).join('\n')}`);
}

/** A stored zone as a zone file. @throws {StoreError} @throws {ValueError} there is no such zone in the store */
export async function exportStored(stateDir: string, zone: string): Promise<string> {
  return await withStore(stateDir, (store) => {
    const name = nameFromText(zone);
    const stored = store.load(nameKey(name));
    if (stored !== undefined) return writeZoneFile({ name, rrsets: [...zoneOf(name, stored).all()] });
    const known = store.zones().map(nameToText).join(', ');
    throw new ValueError(`the zone store in ${stateDir} has no zone "${zone}" (it has: ${known || 'none'})`);
  });
}

/** A zone file from the daemon; from the store where no daemon answers. @throws {ApiError} @throws {StoreError} */
export async function exportZone(
  target: ApiTarget,
  path: string,
  { zone, config }: { readonly zone: string; readonly config: string },
  context: CliContext,
): Promise<string> {
  try {
    return (await callApi(target, path, { accept: 'text/dns' })).body;
  } catch (error) {
    if (errorCode(error) !== 'V6_API_UNREACHABLE' || !existsSync(config)) throw error;
    const stateDir = stateDirOf(config);
    const text = await exportStored(stateDir, zone);
    context.stderr(`v6edge: ${errorMessage(error)}\nThese are the records as the store in ${stateDir} has them.\n`);
    return text;
  }
}

/** Reads every zone whole, with its leases and journal. @throws {StoreError} the first that does not read */
export async function checkStore(stateDir: string): Promise<StoredZoneReport[]> {
  return await withStore(stateDir, (store) => store.zones().map((name) => report(store, name)));
}

/**
 * Copies the store, as it is at one moment, to a file that a data file can be put back from; the copy is checked.
 * @throws {StoreError} the store, or the copy, does not read
 * @throws {ValueError} the file is there already
 */
export async function backupStore(stateDir: string, file: string): Promise<StoredZoneReport[]> {
  const target = resolve(file);
  if (existsSync(target)) throw new ValueError(`${file} is there already; a backup overwrites nothing`);
  if (!existsSync(dirname(target))) throw new ValueError(`there is no directory ${dirname(target)}`);
  // Beside the target: a link into its place then cannot fail half way.
  const work = mkdtempSync(join(dirname(target), '.v6edge-backup-'));
  try {
    const copy = join(work, 'zones');
    await withStore(stateDir, (store) => store.copyTo(copy));
    const zones = await checkStore(work);
    sync(join(copy, 'data.mdb'));
    linkSync(join(copy, 'data.mdb'), target);
    sync(dirname(target));
    return zones;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Prints what is in a store. */
export function showStored(zones: readonly StoredZoneReport[], json: boolean, context: CliContext): void {
  const text = json
    ? `${JSON.stringify(zones, undefined, 2)}\n`
    : showStoredZones(zones, paintFor(context.isTerminal, context.env));
  context.stdout(text);
}

async function withStore<T>(stateDir: string, run: (store: ZoneStore) => T | Promise<T>): Promise<T> {
  const store = await ZoneStore.openReadOnly(stateDir);
  try {
    return await run(store);
  } finally {
    await store.close();
  }
}

function report(store: ZoneStore, name: Name): StoredZoneReport {
  return { name: nameToText(name), ...store.verify(nameKey(name)) };
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
