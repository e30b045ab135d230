import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { describe, exec } from '../lab/process.ts';

const script = join(import.meta.dirname, '../../scripts/system-packages.sh');
const isRoot = process.getuid?.() === 0;
const directory = mkdtempSync(join(tmpdir(), 'v6edge-packages-'));
t.teardown(() => rmSync(directory, { recursive: true }));

/** The script with one program more on its list, which is nowhere. */
const wanting = join(directory, 'wanting.sh');
writeFileSync(
  wanting,
  readFileSync(script, 'utf8').replace(
    '\nhaproxy:haproxy\n',
    '\nhaproxy:haproxy\nv6-no-such-program:v6-no-such-package\n',
  ),
  { mode: 0o755 },
);
await exec(['chmod', '755', directory]);

t.test('--check lists what is missing', async (t) => {
  const result = await exec(['bash', wanting, '--check']);
  t.equal(result.code, 1);
  t.match(result.stdout, /^missing packages: .*\bv6-no-such-package\b/);
});

t.test('anyone but root is told exactly what to run', async (t) => {
  const asNobody = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
  const result = await exec([...asNobody, 'bash', wanting]);
  t.equal(result.code, 1);
  t.match(result.stderr, /apt-get install --yes --no-install-recommends (.* )?v6-no-such-package/);
  t.match(result.stderr, new RegExp(`sudo ${wanting}`));
});

t.test('options it does not know are refused', async (t) => {
  t.match(await exec(['bash', script, '--frobnicate']), { code: 2, stderr: /usage/ });
});

if (isRoot) {
  t.test('nothing is said, and no time spent, when nothing is missing', async (t) => {
    const result = await exec(['bash', script]);
    t.equal(result.code, 0, describe(result));
    t.equal(result.stdout + result.stderr, '');
    t.ok(result.ms < 1000, `${result.ms} ms`);
  });
}
