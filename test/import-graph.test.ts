import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '..');
const engines = ['proxy', 'dns', 'ra'];
const layers: Record<string, string[]> = {
  core: [],
  linux: ['core'],
  proxy: ['core', 'linux'],
  dns: ['core', 'linux'],
  ra: ['core', 'linux'],
  edge: ['core', 'linux', ...engines],
};
/** npm packages a layer may use; absent = any. */
const packages: Record<string, string[]> = {
  core: ['ipaddr.js'],
  wire: [],
};

/** Every import of a file: relative ones as paths from src/, others as they are. */
export function importsOf(path: string, text: string): string[] {
  const found = [...text.matchAll(/(?:^|\n)\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?['"]([^'"]+)['"]/g)].map(
    (m) => m[1]!,
  );
  const dynamic = [...text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)].map((m) => m[1]!);
  return [...found, ...dynamic].map((name) => (name.startsWith('.') ? normalize(join(dirname(path), name)) : name));
}

/** What is wrong with one import, or undefined. */
export function wrongDirection(path: string, target: string): string | undefined {
  const layer = path.split('/')[0]!;
  const inWire = path.split('/')[1] === 'wire';
  if (target.startsWith('node:')) return undefined;
  if (/^[@a-z]/.test(target) && layers[target.split('/')[0]!] === undefined) {
    const name = target
      .split('/')
      .slice(0, target.startsWith('@') ? 2 : 1)
      .join('/');
    const allowed = inWire ? packages.wire : packages[layer];
    return allowed === undefined || allowed.includes(name) ? undefined : `${path} uses the package ${name}`;
  }
  const to = target.split('/')[0]!;
  if (inWire) {
    return to === 'core' || dirname(target) === dirname(path) || target.startsWith(`${layer}/wire/`)
      ? undefined
      : `${path} is a codec and imports ${target}`;
  }
  if (target === '../package.json' && layer === 'edge') return undefined;
  return to === layer || layers[layer]?.includes(to) ? undefined : `${path} imports ${target}`;
}

t.test('the rule finds what it should', (t) => {
  t.match(wrongDirection('dns/zone.ts', 'ra/engine.ts'), /imports/);
  t.match(wrongDirection('linux/tcp.ts', 'proxy/config.ts'), /imports/);
  t.match(wrongDirection('core/clock.ts', 'linux/libc.ts'), /imports/);
  t.match(wrongDirection('dns/wire/name.ts', 'dns/zone.ts'), /codec/);
  t.match(wrongDirection('dns/wire/name.ts', 'lmdb'), /package/);
  t.match(wrongDirection('dns/zone.ts', '../package.json'), /imports/);
  t.equal(wrongDirection('edge/version.ts', '../package.json'), undefined);
  t.equal(wrongDirection('edge/daemon.ts', 'dns/control.ts'), undefined);
  t.equal(wrongDirection('dns/wire/rr/aaaa.ts', 'dns/wire/name.ts'), undefined);
  t.strictSame(importsOf('dns/a.ts', "import { b } from './wire/b.ts';\nimport type C from '../core/c.ts';"), [
    'dns/wire/b.ts',
    'core/c.ts',
  ]);
  t.end();
});

t.test('imports run downward only', (t) => {
  const files = globSync('**/*.ts', { cwd: join(root, 'src') });
  t.ok(files.length > 10, 'there are sources to look at');
  const wrong = files.flatMap((path) =>
    importsOf(path, readFileSync(join(root, 'src', path), 'utf8'))
      .map((target) => wrongDirection(path, target))
      .filter((fault) => fault !== undefined),
  );
  t.strictSame(wrong, []);
  t.end();
});

t.test('only src/linux loads libc', (t) => {
  const others = globSync('**/*.ts', { cwd: join(root, 'src') }).filter(
    (path) =>
      !path.startsWith('linux/') && importsOf(path, readFileSync(join(root, 'src', path), 'utf8')).includes('koffi'),
  );
  t.strictSame(others, []);
  t.end();
});
