import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs';
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
