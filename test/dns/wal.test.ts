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
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { MemoryLogger } from '../../src/core/logger.ts';
import { ZoneStore } from '../../src/dns/store.ts';
import { WAL_NAMES, WAL_OCTETS } from '../../src/dns/wal.ts';
import {
  encodeHeader,
  encodeRecord,
  HEADER_OCTETS,
  parseHeader,
  readRun,
  recordOctets,
} from '../../src/dns/wal-format.ts';
import { contentOf, newDir, seed } from './wal-contents.ts';
import { commits, step, zone } from './wal-steps.ts';

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
