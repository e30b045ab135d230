import {
  chmodSync,
  chownSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import t, { type Test } from 'tap';
import type { RRsetChange } from '../../src/dns/overlay.ts';
import { ZoneStore } from '../../src/dns/store.ts';
import { nameFromText, nameKey } from '../../src/dns/wire/name.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { Zone } from '../../src/dns/zone.ts';
import { fileLimit, setFileLimit } from '../../src/linux/limits.ts';
import { exec } from '../lab/process.ts';

const zoneName = nameFromText('cluster.test');
const zone = nameKey(zoneName);

function newDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-store-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return dir;
}

const soa = (serial: number) => {
  const rdata = Buffer.alloc(22);
  rdata.writeUInt32BE(serial, 2);
  return { type: TYPE.SOA, ttl: 300, rdata: [Uint8Array.from(rdata)] };
};

/** The zone's SOA steps from a serial (0: there is none yet) to the next, and an AAAA is added. */
function step(serial: number): RRsetChange[] {
  const owner = nameFromText(`N${serial}.cluster.test`);
  return [
    {
      owner: zoneName,
      type: TYPE.SOA,
      rrset: soa(serial + 1),
      before: serial === 0 ? undefined : { owner: zoneName, rrset: soa(serial) },
    },
    { owner, type: TYPE.AAAA, rrset: { type: TYPE.AAAA, ttl: 60, rdata: [new Uint8Array(16)] }, before: undefined },
  ];
}

/** How much of the store's file this process has in memory. */
function mappedKiB(dir: string): number {
  const [, map = ''] = readFileSync('/proc/self/smaps', 'utf8').split(`${dir}/zones/data.mdb\n`);
  return Number(/^Rss: +(\d+)/m.exec(map)![1]);
}

async function filled(dir: string, commits = 5): Promise<void> {
  const store = await ZoneStore.open(dir);
  for (let i = 0; i < commits; i++) await store.commit([{ zone, changes: step(i), seed: `seed ${i}` }]);
  await store.close();
}

t.test('leases', async (t) => {
  const dir = newDir(t);
  const set = (owner: string, ...leases: [rdata: number, seconds: number, expiresAt: number][]) => ({
    owner: nameFromText(owner),
    type: TYPE.TXT,
    leases: leases.map(([one, seconds, expiresAt]) => ({ rdata: Uint8Array.of(1, one), seconds, expiresAt })),
  });
  let store = await ZoneStore.open(dir);
  await store.commit([{ zone, changes: step(0), seed: '' }]);
  const other = nameKey(nameFromText('test'));
  await store.commit([
    { zone, changes: step(1), leases: [set('N1.cluster.test', [1, 60, 1_764_000_000_123], [2, 90, 2 ** 47])] },
    { zone: other, changes: [], leases: [set('x.test', [7, 30, 5])] },
  ]);
  await store.commit([{ zone, changes: [], leases: [set('n2.cluster.test', [3, 30, 7]), set('n2.cluster.test')] }]);
  t.equal(store.stoppedAt, 0);
  await store.setStoppedAt(1_764_000_000_123.5);
  await store.close();
  store = await ZoneStore.open(dir);
  t.same(store.leases(zone), [set('N1.cluster.test', [1, 60, 1_764_000_000_123], [2, 90, 2 ** 47])]);
  t.same(store.leases(other), [set('x.test', [7, 30, 5])]);
  t.equal(store.stoppedAt, 1_764_000_000_123);
  t.equal(store.load(zone)!.serial, 2);
  t.same(store.zones(), [nameFromText('cluster.test')], 'leases alone make no zone');
  t.equal(store.journal(zone, 1)!.length, 1, 'a refresh is no change of the zone');
  await store.commit([{ zone, changes: [], leases: [set('n1.cluster.test')] }]);
  t.same(store.leases(zone), []);
  await store.close();
});

t.test('memory of a large zone is let go of, and the store goes on', async (t) => {
  const dir = newDir(t);
  const store = await ZoneStore.open(dir);
  const records = Array.from({ length: 20_000 }, (_, i) => ({
    owner: nameFromText(`n${i}.cluster.test`),
    rrset: { type: TYPE.TXT, ttl: i, rdata: [Uint8Array.of(1, i)] },
  }));
  const apex = { owner: zoneName, rrset: soa(1) };
  await store.commit([{ zone, changes: [], records: [apex, ...records], seed: 'new' }]);
  t.match(store.verify(zone), { rrsets: 20_001, serial: 1 });
  t.equal(store.journal(zone, 0), undefined, 'what brings a zone into being is no difference');
  const before = mappedKiB(dir);
  await store.letGo();
  t.ok(before > 1000 && mappedKiB(dir) < before / 4, `${before} KiB of the file in memory, then ${mappedKiB(dir)}`);
  await store.commit([{ zone, changes: step(1) }]);
  await t.rejects(store.letGo(), { code: 'V6_ASSERT' }, 'what is in the log alone goes into the tables first');
  await store.flush();
  await store.letGo();
  t.same(store.journal(zone, 1)?.length, 1);
  await store.commit([{ zone, changes: step(2) }]);
  await store.flush();
  const going = store.letGo();
  t.equal(store.journal(zone, 1), undefined, 'nothing is read of what is being closed');
  await going;
  t.equal(store.journal(zone, 1)?.length, 2);

  // The tables cannot be opened again: nothing is lost, and the next commit that can opens them.
  const limit = fileLimit();
  setFileLimit({ ...limit, soft: 3 });
  try {
    await t.rejects(store.letGo(), { code: 'V6_STORE_OPEN' });
    await t.rejects(store.commit([{ zone, changes: step(3) }]), { code: 'V6_STORE_OPEN' });
  } finally {
    setFileLimit(limit);
  }
  t.equal(store.journal(zone, 1), undefined);
  await store.commit([{ zone, changes: step(3) }]);
  t.equal(store.journal(zone, 1)?.length, 3);
  await store.close();
  const again = await ZoneStore.open(dir);
  t.match(again.verify(zone), { rrsets: 20_004, serial: 4 });
  await again.close();
});

t.test('a large zone comes back packed', async (t) => {
  const dir = newDir(t);
  const store = await ZoneStore.open(dir);
  const many = Array.from({ length: 3000 }, (_, i) => ({
    owner: nameFromText(`N${i}.cluster.test`),
    type: TYPE.TXT,
    rrset: { type: TYPE.TXT, ttl: i, rdata: [Uint8Array.of(1, i)] },
    before: undefined,
  }));
  await store.commit([{ zone, changes: [...step(0), ...many], seed: 'many' }]);
  const { rrsets, packed, serial } = store.load(zone)!;
  t.equal(serial, 1);
  t.same(rrsets, []);
  const loaded = new Zone({ name: nameFromText('cluster.test'), rrsets, packed: packed! });
  t.equal(loaded.size, 3002);
  t.equal(loaded.serial, 1);
  for (const i of [0, 1, 1500, 2999]) {
    const owner = nameFromText(`N${i}.cluster.test`);
    t.same(loaded.rrset(nameKey(owner), TYPE.TXT), { owner, rrset: many[i]!.rrset }, `N${i}`);
  }
  t.match(store.verify(zone), { rrsets: 3002, serial: 1 });
  await store.close();
});

t.test('what was committed is there again', async (t) => {
  const dir = newDir(t);
  await filled(dir);
  const store = await ZoneStore.open(dir);
  const stored = store.load(zone)!;
  t.equal(stored.serial, 5);
  t.equal(stored.seed, 'seed 4');
  t.equal(stored.rrsets.length, 6);
  t.same(
    stored.rrsets.map(({ owner }) => Buffer.from(owner).toString('latin1')).sort(),
    ['cluster.test', 'N0.cluster.test', 'N1.cluster.test', 'N2.cluster.test', 'N3.cluster.test', 'N4.cluster.test']
      .map((name) => Buffer.from(nameFromText(name)).toString('latin1'))
      .sort(),
    'owners in the case they were written',
  );
  t.same(store.zones(), [zoneName]);
  t.equal(store.load(nameKey(nameFromText('test'))), undefined, 'a zone above it is none');
  t.equal(store.load(nameKey(nameFromText('sub.cluster.test'))), undefined);
  const removal: RRsetChange[] = [
    { owner: zoneName, type: TYPE.SOA, rrset: soa(6), before: { owner: zoneName, rrset: soa(5) } },
    ...stored.rrsets
      .filter(({ rrset }) => rrset.type === TYPE.AAAA)
      .map((before) => ({ owner: before.owner, type: TYPE.AAAA, rrset: undefined, before })),
  ];
  await store.commit([{ zone, changes: removal }]);
  await store.flush();
  t.match(store.load(zone), { serial: 6, seed: 'seed 4', rrsets: { length: 1 } });
  await store.close();
});

t.test('several zones in one commit', async (t) => {
  const dir = newDir(t);
  const store = await ZoneStore.open(dir);
  const reverse = nameKey(nameFromText('6.ip6.arpa'));
  await store.commit([
    { zone, changes: step(0) },
    { zone: reverse, changes: step(0) },
  ]);
  t.equal(store.load(zone)!.serial, 1);
  t.equal(store.load(reverse)!.serial, 1);
  await store.close();
});

t.test('the journal keeps the newest commits', async (t) => {
  const dir = newDir(t);
  const store = await ZoneStore.open(dir, { journal: { entries: 3, bytes: 1e9 } });
  for (let i = 0; i < 6; i++) await store.commit([{ zone, changes: step(i) }]);
  t.equal(store.journal(zone, 1)?.length, 5, 'what is in the log is kept');
  await store.flush();
  t.same(
    store.journal(zone, 4)?.map(({ fromSerial, toSerial }) => [fromSerial, toSerial]),
    [
      [4, 5],
      [5, 6],
    ],
  );
  t.same(store.journal(zone, 3)?.[0]?.changes, step(3), 'both sides of each change');
  t.equal(store.journal(zone, 2), undefined, 'older than what is kept');
  t.equal(store.journal(zone, 77), undefined, 'never was');
  t.equal(store.journal(nameKey(nameFromText('other')), 1), undefined);
  await store.close();
  const fresh = await ZoneStore.open(newDir(t));
  await fresh.commit([{ zone, changes: step(0) }]);
  t.equal(fresh.journal(zone, 0), undefined, 'the commit that made the zone starts from nothing');
  await fresh.close();
});

t.test('the journal is bounded in octets as well; its newest entry stays', async (t) => {
  const store = await ZoneStore.open(newDir(t), { journal: { entries: 1000, bytes: 600 } });
  for (let i = 0; i < 50; i++) await store.commit([{ zone, changes: step(i) }]);
  await store.flush();
  const { journal } = store.verify(zone);
  t.ok(journal > 1 && journal < 8, `${journal} entries are kept`);
  t.equal(store.journal(zone, 50 - journal)?.length, journal);
  t.equal(store.journal(zone, 49 - journal), undefined);
  const owner = nameFromText('big.cluster.test');
  const rdata = [new Uint8Array(5000)];
  const big: RRsetChange = { owner, type: TYPE.TXT, rrset: { type: TYPE.TXT, ttl: 1, rdata }, before: undefined };
  await store.commit([{ zone, changes: [...step(50).slice(0, 1), big] }]);
  await store.flush();
  t.equal(store.verify(zone).journal, 1);
  await store.commit([{ zone, changes: step(51) }]);
  await store.flush();
  t.equal(store.verify(zone).journal, 1);
  await store.close();
});

t.test('a store that does not read is an error, and stays as it is', async (t) => {
  /** Finds a stored owner name in the file and changes an octet in the first copy that a page in use has. */
  const flip = (path: string) => {
    const bytes = readFileSync(path);
    const file = openSync(path, 'r+');
    for (let at = bytes.indexOf('N3'); at >= 0; at = bytes.indexOf('N3', at + 1)) writeSync(file, 'X', at);
    closeSync(file);
  };
  const put = async (dir: string, key: string, value: string) => {
    const root = open({ path: join(dir, 'zones'), overlappingSync: false, maxDbs: 4 });
    const meta = root.openDB({ name: 'meta', encoding: 'binary', keyEncoding: 'binary' });
    await meta.put(Buffer.from(key), Buffer.from(value));
    await root.close();
  };
  const rows: [name: string, harm: (path: string, dir: string) => void | Promise<void>, code: string, text: RegExp][] =
    [
      ['no file of LMDB', (path) => writeFileSync(path, 'x'.repeat(9000)), 'V6_STORE_DAMAGED', /no LMDB file/],
      ['an empty file', (path) => truncateSync(path, 0), 'V6_STORE_DAMAGED', /cut/],
      ['one meta page', (path) => truncateSync(path, 4096), 'V6_STORE_DAMAGED', /cut/],
      ['cut to its meta pages', (path) => truncateSync(path, 8192), 'V6_STORE_DAMAGED', /damaged|does not read/],
      ['cut in half', (path) => truncateSync(path, (statSync(path).size >> 13) * 4096), 'V6_STORE_DAMAGED', /./],
      ['an octet changed', flip, 'V6_STORE_DAMAGED', /zone cluster\.test: a checksum is wrong/],
      [
        'a newer format',
        (_, dir) => put(dir, 'format', '3'),
        'V6_STORE_VERSION',
        /has format "3", this version reads 1 and 2/,
      ],
      ['a zone entry that is none', (_, dir) => put(dir, zone, 'abcdefg'), 'V6_STORE_DAMAGED', /a checksum is wrong/],
    ];
  for (const [name, harm, code, text] of rows) {
    const dir = newDir(t);
    await filled(dir);
    const path = join(dir, 'zones', 'data.mdb');
    await harm(path, dir);
    const size = statSync(path).size;
    const before = readFileSync(path);
    const attempt = async () => {
      const store = await ZoneStore.open(dir);
      try {
        store.load(zone);
      } finally {
        await store.close();
      }
    };
    const look = async () => {
      const store = await ZoneStore.openReadOnly(dir);
      try {
        store.verify(zone);
      } finally {
        await store.close();
      }
    };
    await t.rejects(look(), { code, message: text }, `${name}, for reading`);
    t.ok(readFileSync(path).equals(before), `${name}: as it was`);
    await t.rejects(attempt(), { code, message: text }, name);
    t.ok(readFileSync(path).subarray(0, size).equals(before), `${name}: not written to`);
  }
});

t.test('a state directory that cannot be used', async (t) => {
  const dir = newDir(t);
  writeFileSync(join(dir, 'zones'), '');
  await t.rejects(ZoneStore.open(dir), { code: 'V6_STORE_OPEN', message: /cannot open the zone store/ });
});

const asRoot = process.getuid?.() === 0 ? {} : { skip: 'not root' };

t.test('files that are not ours to write are told of, and nobody ends', asRoot, async (t) => {
  // A process of its own: the unmended fault is a SIGSEGV, and who may write is a matter of its user.
  const opens = async (dir: string, call: string) => {
    const script = `import { ZoneStore } from '${join(import.meta.dirname, '../../src/dns/store.ts')}';
      process.setgid(65534); process.setuid(65534);
      await ZoneStore.${call}('${dir}').then((store) => store.close(), (error) => console.log(error.code, error.message));`;
    // Without what tap adds to every process of node: it writes where that user may not.
    return await exec(['env', '-u', 'NODE_OPTIONS', process.execPath, '--input-type=module', '--eval', script]);
  };
  for (const name of ['lock.mdb', 'data.mdb', 'wal.0']) {
    const dir = newDir(t);
    await filled(dir);
    writeFileSync(join(dir, 'zones/wal.0'), '');
    for (const each of ['.', 'zones', ...readdirSync(join(dir, 'zones')).map((file) => `zones/${file}`)])
      chownSync(join(dir, each), 65534, 65534);
    chownSync(join(dir, 'zones', name), 0, 0);
    chmodSync(join(dir, 'zones', name), 0o644);
    const mend = `zones/${name}.*chown -R --reference=${dir} ${join(dir, 'zones')} mends that`;
    t.match((await opens(dir, 'open')).stdout, new RegExp(`^V6_STORE_OPEN EACCES.*${mend}`), name);
    if (name === 'lock.mdb') t.match((await opens(dir, 'openReadOnly')).stdout, new RegExp(mend));
    chownSync(join(dir, 'zones', name), 65534, 65534);
    for (const call of ['open', 'openReadOnly'])
      t.match(await opens(dir, call), { code: 0, stdout: '', stderr: '' }, `mended: ${call}`);
  }
});

t.test('a store on a file system that is mounted read-only is read', asRoot, async (t) => {
  const dir = newDir(t);
  await filled(dir);
  const script = `import { ZoneStore } from '${join(import.meta.dirname, '../../src/dns/store.ts')}';
    const store = await ZoneStore.openReadOnly('${dir}'); console.log(store.zones().length); await store.close();`;
  // The mount ends with the process that has it.
  const mounted = `mount --bind ${dir} ${dir} && mount -o remount,ro,bind ${dir} && exec "$@"`;
  const node = [process.execPath, '--input-type=module', '--eval', script];
  const result = await exec(['unshare', '--mount', 'sh', '-c', mounted, 'sh', ...node], { env: { NODE_OPTIONS: '' } });
  t.match(result, { code: 0, stdout: '1\n' });
});

t.test('what root makes to read a store is its owner’s', asRoot, async (t) => {
  const dir = newDir(t);
  await filled(dir);
  chownSync(join(dir, 'zones'), 65534, 65533);
  rmSync(join(dir, 'zones/lock.mdb'));
  await (await ZoneStore.openReadOnly(dir)).close();
  const { uid, gid } = statSync(join(dir, 'zones/lock.mdb'));
  t.strictSame([uid, gid], [65534, 65533]);
});

t.test('one process has it open', async (t) => {
  const dir = join(newDir(t), 'deep', 'er');
  const store = await ZoneStore.open(dir);
  await t.rejects(ZoneStore.open(dir), { code: 'V6_STORE_LOCKED', message: /in use by another process/ });
  await store.commit([{ zone, changes: step(0) }]);
  await store.close();
  const again = await ZoneStore.open(dir);
  t.equal(again.load(zone)?.serial, 1);
  await again.close();
});
