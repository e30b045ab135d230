/**
 * The zone store's write-ahead log: what is in it after the end of a process at each step, what is damage, and what an operator is
 * told. V6EDGE_CRASH_STEPS=all ends the process at each step in each way, not in one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { MemoryLogger } from '../../src/core/logger.ts';
import { ZoneStore } from '../../src/dns/store.ts';
import { WAL_NAMES, WAL_OCTETS } from '../../src/dns/wal.ts';
import { durableFiles, type WalFiles } from '../../src/dns/wal-files.ts';
import {
  encodeHeader,
  encodeRecord,
  HEADER_OCTETS,
  parseHeader,
  readRun,
  recordOctets,
} from '../../src/dns/wal-format.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { commits, step, zone } from './wal-steps.ts';

function newDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-wal-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** A store whose process ended without a word after some commits: its directory as it was then. */
async function crashed(t: Test, count = 8): Promise<string> {
  const dir = newDir(t);
  const store = await ZoneStore.open(dir);
  for (let n = 0; n < count; n++) await store.commit([{ zone, changes: step(n, 100) }]);
  const copy = newDir(t);
  cpSync(join(dir, 'zones'), join(copy, 'zones'), { recursive: true });
  await store.close();
  return copy;
}

/** The store's files but for the one in which LMDB notes who reads. */
function contents(dir: string): Buffer[] {
  const names = readdirSync(join(dir, 'zones')).filter((name) => name !== 'lock.mdb');
  return names.map((name) => readFileSync(join(dir, 'zones', name)));
}

/** The serial that the store has, with as many names; NaN if it has anything else. */
function contentOf(store: ZoneStore, octets: number): number {
  const stored = store.load(zone);
  if (stored === undefined) return 0;
  const names = stored.rrsets.filter(({ rrset }) => rrset.rdata[0]!.length === octets);
  return names.length === stored.serial && store.verify(zone).serial === stored.serial ? stored.serial : Number.NaN;
}

const seed = 7;
const headed = (...records: Buffer[]) =>
  Buffer.concat([encodeHeader(Buffer.alloc(16, 1)), ...records, Buffer.alloc(4096)]);
const record = (sequence: number, length = 50, crcSeed = seed) =>
  encodeRecord(crcSeed, sequence, Buffer.alloc(length, sequence));

t.test('headers', (t) => {
  const header = encodeHeader(Buffer.alloc(16, 5), 3);
  t.equal(header.length, HEADER_OCTETS);
  t.match(parseHeader(header), { version: 3, session: Buffer.alloc(16, 5) });
  for (const [name, harm] of [
    ['short', () => header.subarray(0, HEADER_OCTETS - 1)],
    ['zeros', () => Buffer.alloc(HEADER_OCTETS)],
    ...[0, 8, 11, 16, 31, 40, 44, 47].map((at) => [
      `octet ${at}`,
      () => Buffer.from(header.map((octet, i) => (i === at ? octet ^ 1 : octet))),
    ]),
  ] as [string, () => Buffer][]) {
    t.equal(parseHeader(harm()), undefined, name);
  }
  t.end();
});

t.test('runs of records', (t) => {
  const torn = (whole: Buffer, octets: number) =>
    Buffer.concat([whole.subarray(0, octets), Buffer.alloc(whole.length - octets)]);
  const flipped = (whole: Buffer, at: number) => Buffer.from(whole.map((octet, i) => (i === at ? octet ^ 1 : octet)));
  const forged = Buffer.concat([record(9, 200, 8)]);
  const rows: [name: string, file: Buffer, sequences: number[], strayed: number, torn: boolean][] = [
    ['nothing', headed(), [], 0, false],
    ['three', headed(record(1), record(2, 0), record(3, 4000)), [1, 2, 3], 0, false],
    ['begins anywhere', headed(record(70), record(71)), [70, 71], 0, false],
    ['older ones behind', headed(record(9), record(5), record(6)), [9], 6, false],
    ['the last cut in its payload', headed(record(1), torn(record(2), 40)), [1], 0, true],
    ['the last cut behind its head', headed(record(1), torn(record(2), 24)), [1], 0, true],
    ['the last cut in its head', headed(record(1), torn(record(2), 8)), [1], 0, false],
    ['one in the middle damaged', headed(record(1), flipped(record(2), 30), record(3)), [1], 3, true],
    ['a length damaged', headed(record(1), flipped(record(2), 4), record(3)), [1], 3, false],
    ['a sequence damaged', headed(record(1), flipped(record(2), 15), record(3)), [1], 3, false],
    ['the first damaged', headed(flipped(record(1), 30), record(2)), [], 2, false],
    ['of another session', headed(record(1), record(2, 50, 8)), [1], 0, true],
    ['a record in the payload of one', headed(record(1), flipped(encodeRecord(seed, 2, forged), 30)), [1], 0, true],
    [
      'longer than the file',
      headed(record(1), torn(encodeRecord(seed, 2, Buffer.alloc(9000)), 24).subarray(0, 32)),
      [1],
      0,
      false,
    ],
  ];
  for (const [name, file, sequences, strayed, cut] of rows) {
    const run = readRun(file, seed);
    t.same(
      run.records.map(({ sequence }) => sequence),
      sequences,
      `${name}: records`,
    );
    t.equal(run.strayed, strayed, `${name}: behind them`);
    t.equal(run.torn, cut, `${name}: cut off`);
  }
  t.equal(recordOctets(8), 32);
  t.equal(recordOctets(9), 48);
  t.end();
});

const allSteps = process.env.V6EDGE_CRASH_STEPS === 'all';
const stepsTimeout = allSteps ? 1_800_000 : 240_000;
t.setTimeout(stepsTimeout + 60_000);

t.test('the end of the process at each step', { timeout: stepsTimeout }, async (t) => {
  const run = async (dir: string, last: number, share: number) => {
    const script = join(import.meta.dirname, 'wal-child.ts');
    const child = spawn(process.execPath, [script, dir, String(last), String(share)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    return output.trim().split('\n');
  };
  const whole = await run(newDir(t), 0, 1);
  const steps = Number(/^steps (\d+)$/.exec(whole.at(-1)!)?.[1]);
  t.ok(steps > commits, `${steps} steps`);
  const shares = [0, 0.5, 1, 0.001, 0.999];
  // Of so many commits one after the other not each is another case.
  const chosen = Array.from({ length: steps }, (_, i) => i + 1).filter(
    (n) => allSteps || n < 14 || n > steps - 6 || n % 9 === 0,
  );
  const rows = chosen.flatMap((last) =>
    (allSteps ? shares : [shares[last % shares.length]!]).map((share) => [last, share] as const),
  );
  const check = async (last: number, share: number) => {
    const dir = newDir(t);
    const acknowledged = Number((await run(dir, last, share)).at(-1) || 0);
    const name = `step ${last}, ${share} of it, ${acknowledged} acknowledged`;
    let beside = 0;
    if (existsSync(join(dir, 'zones', 'data.mdb'))) {
      const before = contents(dir);
      const reader = await ZoneStore.openReadOnly(dir);
      beside = contentOf(reader, 65_000);
      await reader.close();
      const after = contents(dir);
      t.ok(
        before.every((file, i) => file.equals(after[i]!)),
        `${name}: a reader writes nothing`,
      );
    }
    const store = await ZoneStore.open(dir);
    const found = contentOf(store, 65_000);
    t.ok(found === acknowledged || found === acknowledged + 1, `${name}: ${found} are there`);
    t.equal(beside, found, `${name}: a reader saw the same`);
    if (found > 1) t.equal(store.journal(zone, 1)?.length, found - 1, `${name}: every step from serial 1`);
    await store.commit([{ zone, changes: step(found) }]);
    await store.close();
    const again = await ZoneStore.open(dir);
    t.equal(contentOf(again, 65_000), found + 1, `${name}: it goes on`);
    await again.close();
  };
  const next = rows.values();
  await Promise.all(
    Array.from({ length: 3 }, async () => {
      for (const [last, share] of next) await check(last, share);
    }),
  );
});

t.test('what a log is not taken for', async (t) => {
  const damage = (dir: string, name: string, at: number) => {
    const file = openSync(join(dir, 'zones', name), 'r+');
    const octet = readFileSync(join(dir, 'zones', name))[at]! ^ 1;
    writeSync(file, Uint8Array.of(octet), 0, 1, at);
    closeSync(file);
  };
  // The first commit makes the zone, and goes past the log: 7 records.
  const recordAt = (n: number) => {
    let at = HEADER_OCTETS;
    for (let i = 1; i < n; i++) at += (readFileSync(join(base, 'zones', 'wal.0')).readUInt32BE(at + 4) + 24 + 15) & ~15;
    return at;
  };
  const base = await crashed(t);
  const put = (dir: string, name: string, bytes: Buffer) => {
    const file = openSync(join(dir, 'zones', name), 'r+');
    writeSync(file, bytes, 0, bytes.length, 0);
    closeSync(file);
  };
  const rows: [name: string, harm: (dir: string) => void | Promise<void>, code: string, text: RegExp][] = [
    [
      'a file is missing',
      (dir) => rmSync(join(dir, 'zones', 'wal.1')),
      'V6_STORE_DAMAGED',
      /its log wal\.1 is missing/,
    ],
    [
      'both are missing',
      (dir) => {
        for (const name of WAL_NAMES) rmSync(join(dir, 'zones', name));
      },
      'V6_STORE_DAMAGED',
      /wal\.0 is missing/,
    ],
    [
      'a file is cut',
      (dir) => truncateSync(join(dir, 'zones', 'wal.0'), WAL_OCTETS - 1),
      'V6_STORE_DAMAGED',
      /wal\.0 is cut/,
    ],
    [
      'a file is empty',
      (dir) => truncateSync(join(dir, 'zones', 'wal.1'), 0),
      'V6_STORE_DAMAGED',
      /header of its log wal\.1 does not read/,
    ],
    [
      'a header is damaged',
      (dir) => damage(dir, 'wal.0', 20),
      'V6_STORE_DAMAGED',
      /header of its log wal\.0 does not read/,
    ],
    [
      'a newer version',
      (dir) => put(dir, 'wal.0', encodeHeader(Buffer.alloc(16), 2)),
      'V6_STORE_VERSION',
      /the log wal\.0 .* has version 2, this version reads 1: install/,
    ],
    [
      'of another store',
      async (dir) => copyFileSync(join(await crashed(t), 'zones', 'wal.0'), join(dir, 'zones', 'wal.0')),
      'V6_STORE_DAMAGED',
      /wal\.0 is of another store/,
    ],
    [
      'the first record',
      (dir) => damage(dir, 'wal.0', recordAt(1) + 30),
      'V6_STORE_DAMAGED',
      /has commit 7, but 1 does not read/,
    ],
    [
      'one in the middle',
      (dir) => damage(dir, 'wal.0', recordAt(4) + 30),
      'V6_STORE_DAMAGED',
      /has commit 7, but 4 does not read/,
    ],
    [
      'the last but one',
      (dir) => damage(dir, 'wal.0', recordAt(6) + 12),
      'V6_STORE_DAMAGED',
      /has commit 7, but 6 does not read/,
    ],
  ];
  for (const [name, harm, code, message] of rows) {
    const dir = newDir(t);
    cpSync(join(base, 'zones'), join(dir, 'zones'), { recursive: true });
    await harm(dir);
    const data = join(dir, 'zones', 'data.mdb');
    const [before, size] = [readFileSync(data), statSync(data).size];
    await t.rejects(ZoneStore.openReadOnly(dir), { code, message }, `${name}, for reading`);
    await t.rejects(ZoneStore.open(dir), { code, message }, name);
    t.ok(readFileSync(data).subarray(0, size).equals(before), `${name}: not written to`);
  }
  const log = new MemoryLogger();
  damage(base, 'wal.0', recordAt(7) + 30);
  const store = await ZoneStore.open(base, { log });
  t.equal(contentOf(store, 100), 7, 'the last one is left out');
  t.match(log.lines, [
    { level: 'info', fields: { commits: 6 } },
    { level: 'warn', message: /cut off/ },
  ]);
  await store.close();
});

t.test('a backup that was put back knows nothing of the log beside it', async (t) => {
  const dir = await crashed(t, 3);
  const reader = await ZoneStore.openReadOnly(dir);
  const copy = newDir(t);
  await reader.copyTo(join(copy, 'zones'));
  await reader.close();
  t.same(
    readdirSync(join(copy, 'zones')).filter((name) => name.startsWith('wal')),
    [],
    'a copy needs no log',
  );
  const other = await crashed(t, 9);
  copyFileSync(join(copy, 'zones', 'data.mdb'), join(other, 'zones', 'data.mdb'));
  const store = await ZoneStore.open(other);
  t.equal(contentOf(store, 100), 3);
  await store.close();
});

t.test('a closed store has all in its tables', async (t) => {
  const dir = newDir(t);
  const store = await ZoneStore.open(dir);
  for (let n = 0; n < 5; n++) await store.commit([{ zone, changes: step(n, 100) }]);
  t.equal(store.journal(zone, 2)?.length, 3);
  const reader = await ZoneStore.openReadOnly(dir);
  t.equal(contentOf(reader, 100), 5, 'a reader beside it sees all');
  await reader.close();
  await store.close();
  for (const name of WAL_NAMES) rmSync(join(dir, 'zones', name));
  const again = await ZoneStore.open(dir);
  t.equal(contentOf(again, 100), 5);
  await again.close();
});

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
