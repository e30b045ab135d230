/** The log's file past the page cache: octet by octet what the page cache would have made of it, but for what is behind the newest record. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { SeededRandom } from '../../src/core/random.ts';
import { openDirect } from '../../src/dns/wal-direct.ts';
import { durableFiles } from '../../src/dns/wal-files.ts';
import { MAX_PAYLOAD, recordOctets } from '../../src/dns/wal-format.ts';
import { commits } from './wal-steps.ts';

const octets = 1024 * 1024;
const seed = Number(process.env.V6EDGE_FUZZ_SEED ?? 7);

function newDir(t: Test, parent = tmpdir()): string {
  const dir = mkdtempSync(join(parent, 'v6edge-wal-direct-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return dir;
}

for (const parent of [tmpdir(), '/dev/shm']) {
  t.test(`records of all sizes, round and round, in ${parent}`, async (t) => {
    t.comment(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const path = join(newDir(t, parent), 'wal.0');
    const file = await durableFiles.open(path, octets);
    t.ok(readFileSync(path).equals(Buffer.alloc(octets)), 'it begins empty');
    const model = Buffer.alloc(octets);
    let at = 4096;
    for (let i = 0; i < 600; i++) {
      const most = i % 20 === 0 ? MAX_PAYLOAD : i % 3 === 0 ? 9000 : 400;
      const record = Buffer.alloc(recordOctets(i === 20 ? MAX_PAYLOAD : random.below(most)), random.below(255) + 1);
      if (at + record.length > octets) {
        at = 4096;
        if (i % 2 === 0) {
          await file.write(Buffer.alloc(4096, i), 0);
          model.fill(i, 0, 4096);
        }
      }
      // Some are written by half first, and once more, as after an error.
      if (random.below(10) === 0) await file.write(record.subarray(0, record.length / 2), at);
      await file.write(record, at);
      record.copy(model, at);
      at += record.length;
      // A reader beside it brings pages into the cache.
      if (i % 7 > 0) continue;
      const read = readFileSync(path);
      t.equal(read.length, octets);
      const same = read.subarray(0, at).equals(model.subarray(0, at));
      t.ok(same, `write ${i}, up to ${at}`);
      const block = Math.ceil(at / 4096) * 4096;
      t.ok(read.subarray(block).equals(model.subarray(block)), 'whole blocks behind it are as they were');
      // In the last block nothing of an older record is left, or all of it.
      read.copy(model, at, at, block);
    }
    await file.close();
    t.ok(readFileSync(path).subarray(0, at).equals(model.subarray(0, at)));
  });
}

t.test('any order of places', async (t) => {
  const random = new SeededRandom(seed);
  const path = join(newDir(t), 'wal.0');
  const file = await durableFiles.open(path, octets);
  const model = Buffer.alloc(octets);
  for (let i = 1; i <= 100; i++) {
    const at = random.below((octets - 10_000) / 16) * 16;
    const record = Buffer.alloc(16 + random.below(5000), i);
    await file.write(record, at);
    record.copy(model, at);
    const read = readFileSync(path);
    t.ok(
      read.subarray(at - (at % 4096), at + record.length).equals(model.subarray(at - (at % 4096), at + record.length)),
    );
    read.copy(model);
  }
  await file.close();
});

t.test('a file that is not there, and another thread', async (t) => {
  t.equal(await openDirect(join(newDir(t), 'wal.0')), undefined);
  const path = join(newDir(t), 'wal.0');
  const program = `
    import(${JSON.stringify(new URL('../../src/dns/wal-files.ts', import.meta.url).href)}).then(async ({ durableFiles }) => {
      const file = await durableFiles.open(${JSON.stringify(path)}, ${octets});
      await file.write(Buffer.from('from a thread'), 5000);
      await file.close();
    });`;
  const worker = new Worker(program, { eval: true });
  await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
  t.equal(readFileSync(path, 'latin1').slice(5000, 5013), 'from a thread');
});

t.test('a file system that knows nothing of it: the store works as before', async (t) => {
  const dir = newDir(t);
  mkdirSync(join(dir, 'state'));
  const child = [process.execPath, join(import.meta.dirname, 'wal-child.ts'), join(dir, 'state'), '0', '1'];
  // ramfs has pages in the cache and nothing else; in a mount namespace of its own.
  const script = 'mount -t ramfs none "$0" && exec "$@"';
  const command = ['--mount', 'sh', '-c', script, join(dir, 'state'), ...child];
  const { stdout } = await promisify(execFile)('unshare', command, { timeout: 60_000 });
  t.match(stdout, new RegExp(`^${commits}$`, 'm'));
});
