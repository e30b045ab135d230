import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { StateFile } from '../../src/core/state-file.ts';

t.test('missing, written, replaced; no other file is left', (t) => {
  const dir = t.testdir({});
  const file = new StateFile(join(dir, 'made/by/us/ra.json'));
  t.equal(file.read(), undefined);
  file.write('one');
  t.equal(file.read(), 'one');
  file.write('two');
  t.equal(file.read(), 'two');
  t.strictSame(readdirSync(join(dir, 'made/by/us')), ['ra.json']);
  t.equal(statSync(file.path).mode & 0o007, 0, 'nothing for others');
  t.end();
});

t.test('a write that fails leaves the old one; reading a folder throws', (t) => {
  const dir = t.testdir({ sub: {} });
  t.throws(() => new StateFile(join(dir, 'sub')).read(), { code: 'EISDIR' });
  const file = new StateFile(join(dir, 'ra.json'));
  file.write('one');
  // A folder in the way of the new file, which stops root as well.
  mkdirSync(`${file.path}.new`);
  chmodSync(`${file.path}.new`, 0o700);
  t.throws(() => file.write('two'), { code: 'EISDIR' });
  t.equal(file.read(), 'one');
  t.end();
});

t.test('a disk that is full: the old one stays whole', { skip: process.getuid?.() !== 0 }, (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-state-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'v6edge-test', dir]);
  t.teardown(() => {
    execFileSync('umount', ['-l', dir]);
    rmdirSync(dir);
  });
  const file = new StateFile(join(dir, 'join.json'));
  const old = 'o'.repeat(20_000);
  file.write(old);
  // Some of it has room.
  t.throws(() => file.write('n'.repeat(100_000)), { code: 'ENOSPC' });
  t.equal(file.read(), old);
  file.write('next');
  t.equal(file.read(), 'next');
  t.end();
});
