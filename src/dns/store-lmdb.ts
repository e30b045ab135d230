/** LMDB as the zone store uses it: how it is opened, and how it tells what failed. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { completeFile, DATA_FILE } from './store-files.ts';

const SETTINGS = {
  noSubdir: false,
  maxDbs: 8,
  cache: false,
  encoding: 'binary',
  // Of a batch that lmdb makes by itself nobody sees the promise: when the disk is full, it would end the process.
  eventTurnBatching: false,
  overlappingSync: false,
} as const;

/** LMDB in a directory. @throws {StoreError} a file that is there is none of LMDB's; anything else is what LMDB says */
export function openTables(path: string, readOnly = false): RootDatabase<Buffer, Buffer> {
  const file = join(path, DATA_FILE);
  if (!readOnly && existsSync(file)) completeFile(file);
  return open({ path, ...SETTINGS, readOnly });
}

/**
 * What made a commit fail. lmdb's error only points to it, with a promise that is rejected as well: left alone that
 * would end the process.
 */
export async function commitFault(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error && error.commitError instanceof Promise)) return error;
  const fault = error.commitError.catch((cause: unknown) => cause);
  const turn = new Promise<unknown>((resolve) => setImmediate(resolve, error));
  return Promise.race([fault, turn]);
}
