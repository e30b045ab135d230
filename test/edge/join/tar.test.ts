import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeTar, type TarEntry } from '../../../src/edge/join/tar.ts';

const file = (path: string, text: string, mode = 0o644): TarEntry => ({ path, mode, data: Buffer.from(text) });
const folder = (path: string): TarEntry => ({ path, mode: 0o755, data: new Uint8Array(0) });

t.test('paths that lead out, or that the format does not hold', (t) => {
  for (const path of [
    '',
    '/etc/passwd',
    '../x',
    'a/../b',
    'a//b',
    './a',
    'a/.',
    'a b',
    'a\n',
    'a\0',
    'é',
    'a'.repeat(101),
  ]) {
    t.throws(() => encodeTar([file(path, '')]), { code: 'V6_VALUE' }, JSON.stringify(path));
  }
  t.end();
});

t.test('a header, field by field', (t) => {
  const archive = Buffer.from(encodeTar([file('a/b.sh', 'hello', 0o755)]));
  const fields: [name: string, at: number, length: number, text: string][] = [
    ['name', 0, 100, 'a/b.sh'.padEnd(100, '\0')],
    ['mode', 100, 8, '0000755\0'],
    ['uid', 108, 8, '0000000\0'],
    ['gid', 116, 8, '0000000\0'],
    ['size', 124, 12, '00000000005\0'],
    ['mtime', 136, 12, '00000000000\0'],
    ['typeflag', 156, 1, '0'],
    ['linkname', 157, 100, '\0'.repeat(100)],
    ['magic', 257, 6, 'ustar\0'],
    ['version', 263, 2, '00'],
    ['uname', 265, 32, 'root'.padEnd(32, '\0')],
    ['gname', 297, 32, 'root'.padEnd(32, '\0')],
    ['prefix', 345, 155, '\0'.repeat(155)],
  ];
  for (const [name, at, length, text] of fields) t.equal(archive.toString('latin1', at, at + length), text, name);
  t.equal(archive.length, 512 + 512 + 1024);
  t.equal(archive.toString('latin1', 512, 518), 'hello\0');
  t.end();
});

t.test('GNU tar reads what was written; the same twice', (t) => {
  const entries = [
    folder('d/'),
    file('d/one.sh', 'x'.repeat(512), 0o755),
    file('d/two', 'y'.repeat(513)),
    file('z', ''),
  ];
  const archive = encodeTar(entries);
  t.strictSame(encodeTar(entries), archive);
  const dir = t.testdir({});
  writeFileSync(join(dir, 'a.tar'), archive);
  const warnings = execFileSync('tar', ['-xf', 'a.tar'], { cwd: dir, encoding: 'utf8', stdio: 'pipe' });
  t.equal(warnings, '');
  t.strictSame(readdirSync(dir).sort(), ['a.tar', 'd', 'z']);
  t.equal(readFileSync(join(dir, 'd/one.sh'), 'utf8'), 'x'.repeat(512));
  t.equal(readFileSync(join(dir, 'd/two'), 'utf8'), 'y'.repeat(513));
  t.equal(statSync(join(dir, 'd/one.sh')).mode & 0o777, 0o755);
  t.equal(statSync(join(dir, 'z')).size, 0);
  t.end();
});
