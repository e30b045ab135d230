/**
 * The configuration, read in a thread of its own. What only that takes (zod and a thousand of its objects, a YAML parser, the
 * text of zone files that are checked) goes with the thread, and would otherwise stay in the daemon for good.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { LoadResult } from './config/types.ts';

/** As this file: TypeScript in a checkout, JavaScript in the bundle. */
const reader = new URL(`./config-reader${extname(import.meta.url)}`, import.meta.url);

/**
 * `loadConfig` elsewhere.
 * @param program the thread's; tests have others
 * @throws what the thread threw: a fault of our own, for a bad configuration is no exception
 */
export function loadConfigApart(file: string, program = reader): Promise<LoadResult> {
  const { promise, resolve, reject } = Promise.withResolvers<LoadResult>();
  let loaded: LoadResult | undefined;
  new Worker(program, { workerData: file, name: 'config' })
    .on('message', (result: LoadResult) => {
      loaded = result;
    })
    .on('error', reject)
    // Its memory is free only then.
    .on('exit', (code) => {
      if (loaded === undefined) reject(new Error(`the thread that reads ${file} ended with ${code}`));
      else resolve(loaded);
    });
  return promise;
}
