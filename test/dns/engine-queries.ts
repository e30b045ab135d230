/** How the tests of the DNS engine ask it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Bench } from './peers.ts';

export const run = promisify(execFile);

/** What dig prints, for a question to the bench. */
export async function dig(bench: Bench, ...args: string[]): Promise<string> {
  const all = ['@127.0.0.1', '-p', String(bench.port), '+tries=1', '+timeout=3', ...args];
  return (await run('dig', all)).stdout;
}

/** A message with other octets at some places. */
export function patched(bytes: Uint8Array, changes: readonly (readonly [at: number, value: number])[]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (const [at, value] of changes) copy[at] = value;
  return copy;
}
