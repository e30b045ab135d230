/**
 * The scripts that make a machine a node: shellcheck and shfmt have nothing to say, and their bats files pass. Each bats file gives a
 * script a fake root folder, and programs that write down how they were called.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { describe, exec } from '../lab/process.ts';

const root = join(import.meta.dirname, '../..');
const scripts = join(root, 'scripts/node-bootstrap');
const here = import.meta.dirname;
/** What they say is UTF-8. */
const env = { LC_ALL: 'C.UTF-8' };
const files = (folder: string, end: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith(end))
    .map((name) => join(folder, name));
const sources = [...files(scripts, '.sh'), ...files(here, '.bash')];
const bats = files(here, '.bats');

// Of all the files together, on a machine that does other things as well.
t.setTimeout(600_000);

t.test('shellcheck', { timeout: 120_000 }, async (t) => {
  const result = await exec(['shellcheck', '-x', ...files(scripts, '.sh'), join(here, 'helpers.bash')], {
    env,
    timeoutMs: 120_000,
  });
  t.equal(result.code, 0, describe(result));
});

t.test('shfmt', async (t) => {
  const result = await exec(['shfmt', '-d', ...sources, ...bats], { env });
  t.equal(result.stdout + result.stderr, '');
});

t.test('no script is longer than 400 lines', async (t) => {
  for (const file of sources) t.ok(readFileSync(file, 'utf8').split('\n').length <= 400, file);
});

t.test('every script says what it does, and does not run without its library', async (t) => {
  for (const file of files(scripts, '.sh')) {
    const isProgram = (statSync(file).mode & 0o111) !== 0;
    if (!isProgram) continue;
    const result = await exec(['bash', file, '--help'], { env });
    t.equal(result.code, 0, describe(result));
    t.match(result.stdout, /\w+.*\n/, file);
    t.match(result.stdout, /--dry-run/, `${file} says that it can be tried`);
  }
});

/** By themselves they wait a lot: two at a time. */
t.test('bats', { jobs: 2, timeout: 580_000 }, async (t) => {
  for (const file of bats) {
    t.test(basename(file), { timeout: 280_000 }, async (t) => {
      const result = await exec(['bats', '--tap', file], { env, timeoutMs: 270_000 });
      const cases = result.stdout.match(/^(not )?ok .*$/gm) ?? [];
      const planned = Number(/^1\.\.(\d+)$/m.exec(result.stdout)?.[1]);
      t.equal(cases.length, planned, describe(result));
      for (const line of cases) t.match(line, /^ok (?!.*# skip)/, line);
      t.equal(result.code, 0, describe(result));
    });
  }
});
