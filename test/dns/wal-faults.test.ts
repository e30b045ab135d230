/** The zone store's write-ahead log on a disk that fails. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ZoneStore } from '../../src/dns/store.ts';
import { WAL_OCTETS } from '../../src/dns/wal.ts';
import { durableFiles, type WalFiles } from '../../src/dns/wal-files.ts';
import { HEADER_OCTETS, recordOctets } from '../../src/dns/wal-format.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { contentOf, newDir } from './wal-contents.ts';
import { step, zone } from './wal-steps.ts';

/** Files whose writes fail as told: by number of the write, from the first record on. */
function failing(faults: ReadonlyMap<number, string>, written: number[], done = 40): WalFiles {
  return {
    async open(path, octets) {
      const file = await durableFiles.open(path, octets);
      return {
        ...file,
        async write(bytes, position) {
          if (position > 0) written.push(position);
          const code = position > 0 ? faults.get(written.length) : undefined;
          if (code === undefined) return await file.write(bytes, position);
          await file.write(bytes.subarray(0, done), position);
          throw Object.assign(new Error(`${code}: it failed`), { code });
        },
      };
    },
  };
}

t.test('writes that fail', async (t) => {
  for (const { code, goesOn } of [
    { code: 'EIO', goesOn: false },
    { code: 'ENOSPC', goesOn: true },
    { code: 'EDQUOT', goesOn: true },
  ]) {
    const dir = newDir(t);
    const written: number[] = [];
    const store = await ZoneStore.open(dir, { files: failing(new Map([[3, code]]), written) });
    for (let n = 0; n < 3; n++) await store.commit([{ zone, changes: step(n, 100) }]);
    await t.rejects(store.commit([{ zone, changes: step(3, 100) }]), {
      code: 'V6_STORE_WRITE',
      message: /cannot write the log/,
    });
    const count = written.length;
    const next = store.commit([{ zone, changes: step(3, 100) }]);
    if (goesOn) await next;
    else {
      await t.rejects(next, {
        code: 'V6_STORE_WRITE',
        message: /takes no more changes, .*EIO.*: look at the disk, then restart/,
      });
      t.equal(written.length, count, 'nothing is written any more');
    }
    await store.close();
    const again = await ZoneStore.open(dir);
    t.equal(contentOf(again, 100), goesOn ? 4 : 3, `${code}: what was acknowledged`);
    await again.close();
  }
});

t.test('a write that failed and is there all the same is not taken over on top of what came after it', async (t) => {
  for (const [code, taken] of [
    ['ENOSPC', true],
    ['EIO', false],
  ] as const) {
    const dir = newDir(t);
    const store = await ZoneStore.open(dir, { files: failing(new Map([[3, code]]), [], Number.POSITIVE_INFINITY) });
    for (let n = 0; n < 3; n++) await store.commit([{ zone, changes: step(n, 100) }]);
    await t.rejects(store.commit([{ zone, changes: step(3, 100) }]), { code: 'V6_STORE_WRITE' });
    // With a seed it goes past the log.
    const other = nameKey(nameFromText('other.test'));
    const past = store.commit([
      { zone, changes: step(3, 100) },
      { zone: other, changes: step(0, 100), seed: 'seed' },
    ]);
    if (taken) await past;
    else await t.rejects(past, { code: 'V6_STORE_WRITE', message: /takes no more changes/ });
    const copy = newDir(t);
    cpSync(join(dir, 'zones'), join(copy, 'zones'), { recursive: true });
    await store.close();
    const again = await ZoneStore.open(copy);
    t.equal(contentOf(again, 100), 4, `${code}: each change once`);
    t.equal(again.load(other)?.serial, taken ? 1 : undefined);
    await again.close();
  }
});

t.test(
  'a write that failed and is there all the same has no say when the next one goes into the other file',
  async (t) => {
    const dir = newDir(t);
    const large = 60_000;
    const inOne = Math.floor((WAL_OCTETS - HEADER_OCTETS) / recordOctets(large + 200));
    const files = failing(new Map([[inOne + 1, 'ENOSPC']]), [], Number.POSITIVE_INFINITY);
    const store = await ZoneStore.open(dir, { files });
    // The first makes the zone, and goes past the log.
    for (let n = 0; n <= inOne; n++) await store.commit([{ zone, changes: step(n, large) }]);
    await t.rejects(store.commit([{ zone, changes: step(inOne + 1, 100) }]), { code: 'V6_STORE_WRITE' });
    for (const n of [inOne + 1, inOne + 2]) await store.commit([{ zone, changes: step(n, large) }]);
    const copy = newDir(t);
    cpSync(join(dir, 'zones'), join(copy, 'zones'), { recursive: true });
    await store.close();
    const again = await ZoneStore.open(copy);
    t.equal(contentOf(again, large), inOne + 3, 'what was acknowledged, and nothing else');
    await again.close();
  },
);
