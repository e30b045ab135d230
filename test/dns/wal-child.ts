/**
 * A process that writes to a zone store and ends itself, as by kill -9, at one step of what it does:
 *
 *   node test/dns/wal-child.ts STATE_DIR STEP SHARE
 *
 * Steps are what the store asks of the system: a log's file made, a write to it, a transaction of the tables begun, one
 * done. Of a write SHARE (0 to 1) is done before the end. Prints each commit when it is acknowledged, at last the steps.
 */
import { writeSync } from 'node:fs';
import { ZoneStore } from '../../src/dns/store.ts';
import { StoreTables } from '../../src/dns/store-tables.ts';
import { durableFiles, type WalFiles } from '../../src/dns/wal-files.ts';
import { commits, step, zone } from './wal-steps.ts';

const [dir, last, share] = [process.argv[2]!, Number(process.argv[3]), Number(process.argv[4])];
let steps = 0;

function next(): boolean {
  return ++steps === last;
}

function end(): never {
  process.kill(process.pid, 'SIGKILL');
  for (;;);
}

const files: WalFiles = {
  async open(path, octets) {
    if (next()) end();
    const file = await durableFiles.open(path, octets);
    return {
      ...file,
      async write(bytes, position) {
        const isLast = next();
        await file.write(isLast ? bytes.subarray(0, Math.floor(bytes.length * share)) : bytes, position);
        if (isLast) end();
      },
    };
  },
};

for (const method of ['write', 'setMark'] as const) {
  const original = StoreTables.prototype[method] as (...args: unknown[]) => Promise<void>;
  StoreTables.prototype[method] = async function (this: StoreTables, ...args: unknown[]) {
    if (next()) end();
    await original.apply(this, args);
    if (next()) end();
  };
}

const store = await ZoneStore.open(dir, { files });
for (let n = 0; n < commits; n++) {
  await store.commit([{ zone, changes: step(n), ...(n === 0 ? { seed: 'seed' } : {}) }]);
  writeSync(1, `${n + 1}\n`);
}
await store.close();
writeSync(1, `steps ${steps}\n`);
