/** What the documentation says must hold: its configuration is checked by the daemon, its links and commands lead somewhere. */
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { describe, exec } from '../lab/process.ts';

const root = join(import.meta.dirname, '../..');
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...globSync('docs/**/*.md', { cwd: root })];
const program = join(root, 'bin/v6edge');
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
    const result = await exec([program, 'check', '--config', config]);
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

t.test('commands in the documentation: shell takes them, and v6edge has each verb and option', async (t) => {
  const blocks = pages.flatMap((page) =>
    [...read(page).matchAll(/```sh\n(.*?)```/gs)].map(([, text]) => [page, text!] as const),
  );
  for (const [page, text] of blocks) {
    const parsed = await exec(['bash', '-n'], { input: text });
    t.equal(`${parsed.code} ${parsed.stderr}`, '0 ', `${page}: ${text}`);
  }
  // Comments go, lines that go on are one; what begins a command is at a line's begin, or behind what ends another.
  const lines = blocks.flatMap(([page, text]) =>
    text
      .replaceAll('\\\n', ' ')
      .split('\n')
      .map((line) => [page, line.replace(/(^|\s)#.*/, '')] as const),
  );
  const calls = lines.flatMap(([page, line]) =>
    [...line.matchAll(/(?:^|[;&|(] ?|sudo |ssh \w+ )(?:bin\/)?v6edge ([a-z][^;&|)>]*)/g)].map(
      ([, words]) => [page, words!.trim().split(/\s+/)] as const,
    ),
  );
  t.ok(calls.length > 30, `${calls.length} calls`);
  const helps = new Map<string, Promise<string>>();
  const helpOf = (verb: string): Promise<string> => {
    const help = helps.get(verb) ?? exec([program, ...verb.split(' ').filter(Boolean), '--help']).then((r) => r.stdout);
    helps.set(verb, help);
    return help;
  };
  for (const [page, words] of calls) {
    let verb = '';
    for (const word of words) {
      const next = `${verb} ${word}`.trim();
      if (!new RegExp(`^ {2}v6edge ${next}\\b`, 'm').test(await helpOf(verb))) break;
      verb = next;
    }
    t.not(verb, '', `${page}: v6edge ${words.join(' ')}`);
    const help = await helpOf(verb);
    for (const option of words.filter((word) => word.startsWith('--')))
      t.match(help, new RegExp(`^ +(-\\w, +)?${option.split('=')[0]}\\b`, 'm'), `${page}: v6edge ${words.join(' ')}`);
  }
});

t.test('JSON and units in the documentation are what they say they are', async (t) => {
  for (const page of pages) {
    for (const [, text] of read(page).matchAll(/```json\n(.*?)```/gs))
      t.doesNotThrow(() => JSON.parse(text!), `${page}: ${text}`);
    for (const [, text] of read(page).matchAll(/```ini\n(.*?)```/gs)) {
      for (const line of text!.split('\n').filter((each) => each !== ''))
        t.match(line, /^(\[(Unit|Service|Socket)\]|[A-Z]\w+=.*|#.*)$/, `${page}: ${line}`);
    }
  }
});

t.test('the architecture names files and folders that are there', (t) => {
  const page = 'docs/architecture.md';
  const names = [...read(page).matchAll(/\b((?:src\/)?(?:core|linux|proxy|dns|ra|edge)\/[\w/.-]*\w)/g)].map(
    ([, name]) => name!,
  );
  t.ok(names.length > 40, `${names.length} names`);
  for (const name of new Set(names)) {
    const path = join(root, name.startsWith('src/') ? name : `src/${name}`);
    t.ok(existsSync(path), `${page}: ${name}`);
  }
  t.end();
});

t.test('shell scripts pass shellcheck', async (t) => {
  // Those of nodes are checked with what they source, in test/bootstrap.
  const scripts = [...globSync('scripts/*.sh', { cwd: root }), '.ci/run', 'bin/v6edge'];
  const result = await exec(['shellcheck', ...scripts.map((path) => join(root, path))]);
  t.equal(result.code, 0, result.stdout);
});
