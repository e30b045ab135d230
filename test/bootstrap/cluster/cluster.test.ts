/** The scripts that make a cluster of nodes: their bats files pass. shellcheck and shfmt see the scripts in bootstrap.test.ts. */
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { describe, exec } from '../../lab/process.ts';

const here = import.meta.dirname;
/** What they say is UTF-8. */
const env = { LC_ALL: 'C.UTF-8' };
const files = (end: string) =>
  readdirSync(here)
    .filter((name) => name.endsWith(end))
    .map((name) => join(here, name));

t.test('shellcheck and shfmt', async (t) => {
  const shellcheck = await exec(['shellcheck', '-P', 'SCRIPTDIR', '-x', ...files('.bash')], { env, timeoutMs: 60_000 });
  t.equal(shellcheck.code, 0, describe(shellcheck));
  const shfmt = await exec(['shfmt', '-d', ...files('.bash'), ...files('.bats')], { env });
  t.equal(shfmt.stdout + shfmt.stderr, '');
});

t.test('bats', { jobs: 2, timeout: 170_000 }, async (t) => {
  t.ok(files('.bats').length >= 5);
  for (const file of files('.bats')) {
    t.test(basename(file), { timeout: 160_000 }, async (t) => {
      const result = await exec(['bats', '--tap', file], { env, timeoutMs: 150_000 });
      const cases = result.stdout.match(/^(not )?ok .*$/gm) ?? [];
      const planned = Number(/^1\.\.(\d+)$/m.exec(result.stdout)?.[1]);
      t.equal(cases.length, planned, describe(result));
      for (const line of cases) t.match(line, /^ok (?!.*# skip)/, line);
      t.equal(result.code, 0, describe(result));
    });
  }
});
