/** What the documentation says must hold: its configuration is checked by the daemon, its links and commands lead somewhere. */
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { describe, exec } from '../lab/process.ts';

const root = join(import.meta.dirname, '../..');
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...globSync('docs/**/*.md', { cwd: root })];
const read = (path: string) => readFileSync(join(root, path), 'utf8');

t.test('every configuration in the documentation is good', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'v6edge-docs-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const blocks = pages.flatMap((page) =>
    [...read(page).matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => [page, text!] as const),
  );
  t.not(blocks.length, 0);
  for (const [page, text] of blocks) {
    const config = join(directory, 'v6edge.yaml');
    // The key's place on an edge host; here the examples' key stands in.
    writeFileSync(config, text.replaceAll('/etc/v6edge/keys', join(root, 'examples/keys')));
    const result = await exec([join(root, 'bin/v6edge'), 'check', '--config', config]);
    t.equal(result.code, 0, `${page}: ${describe(result)}`);
  }
});

t.test('every link to a file leads to one', (t) => {
  for (const page of pages) {
    for (const [, target] of read(page).matchAll(/\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)/g)) {
      t.ok(existsSync(join(root, dirname(page), target!)), `${page}: ${target}`);
    }
  }
  t.end();
});

t.test('every npm script that is named exists', (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  for (const page of pages) {
    for (const [, name] of read(page).matchAll(/npm run ([a-z0-9:]+)/g))
      t.ok(scripts[name!], `${page}: npm run ${name}`);
  }
  t.end();
});

t.test('firewall rules in the documentation are rules', async (t) => {
  const blocks = pages.flatMap((page) => [...read(page).matchAll(/```nft\n(.*?)```/gs)].map(([, text]) => text!));
  t.not(blocks.length, 0);
  for (const text of blocks) {
    // In a namespace of its own, where it may be checked against the kernel and hurts nobody.
    const root = process.getuid?.() === 0 ? ['unshare', '-n'] : ['unshare', '-rn'];
    const result = await exec([...root, 'nft', '--check', '--file', '-'], { input: text });
    t.equal(result.code, 0, describe(result));
  }
});

t.test('every command of v6edge in the documentation exists', async (t) => {
  const help = (await exec([join(root, 'bin/v6edge'), '--help'])).stdout;
  for (const page of pages) {
    for (const [, block] of read(page).matchAll(/```sh\n(.*?)```/gs)) {
      for (const [, verb] of block!.matchAll(/(?:^|[;&|(] ?)v6edge ([a-z]+)/gm)) {
        t.match(help, new RegExp(`^ {2}v6edge ${verb}\\b`, 'm'), `${page}: v6edge ${verb}`);
      }
    }
  }
});

t.test('shell scripts pass shellcheck', async (t) => {
  // Those of nodes are checked with what they source, in test/bootstrap.
  const scripts = [...globSync('scripts/*.sh', { cwd: root }), '.ci/run', 'bin/v6edge'];
  const result = await exec(['shellcheck', ...scripts.map((path) => join(root, path))]);
  t.equal(result.code, 0, result.stdout);
});
