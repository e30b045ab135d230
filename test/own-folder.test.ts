/** Folders of tests: gone with the test, and when its process was killed, with the next. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { ownFolder } from './own-folder.ts';

const prefix = `v6edge-own-folder-${process.pid}-`;

/** A test that has made its folder, with something in it, and goes on until it is killed. */
async function start(t: Test): Promise<{ folder: string; kill: () => Promise<void> }> {
  const program = `
    import { mkdirSync, writeFileSync } from 'node:fs';
    import { ownFolder } from ${JSON.stringify(new URL('own-folder.ts', import.meta.url).href)};
    const folder = ownFolder({ teardown: () => {} }, '${prefix}');
    mkdirSync(folder + '/deep');
    writeFileSync(folder + '/deep/file', 'text');
    console.log(folder);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  t.teardown(kill);
  const [folder] = (await once(createInterface(child.stdout), 'line')) as [string];
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return { folder, kill };
}

t.test('a killed run leaves its folder to the next; that of a run that goes on stays', async (t) => {
  const [killed, other] = [await start(t), await start(t)];
  await killed.kill();
  t.ok(existsSync(killed.folder), 'nobody is there to take it away');
  ownFolder(t, prefix);
  t.notOk(existsSync(killed.folder));
  t.ok(existsSync(join(other.folder, 'deep/file')), 'that of another');
});

t.test('gone with its test', async (t) => {
  let folder = '';
  await t.test('which has it', async (t) => {
    folder = ownFolder(t, prefix);
    writeFileSync(join(folder, 'file'), 'text');
    ownFolder(t, prefix);
    t.ok(existsSync(folder), 'one process may have several');
  });
  t.notOk(existsSync(folder));
});

t.test('what has the name and no lock is none of these', async (t) => {
  const made = mkdtempSync(join(tmpdir(), prefix));
  const [link, file] = [`${made}-link`, `${made}-file`];
  t.teardown(() => [made, link, file].map((each) => rmSync(each, { recursive: true, force: true })));
  mkdirSync(join(made, 'deep'));
  // The lock of whoever is about to have it; and one that leads elsewhere.
  writeFileSync(join(made, '.lock.new'), '');
  writeFileSync(file, '');
  mkdirSync(link);
  symlinkSync(file, join(link, '.lock'));
  ownFolder(t, prefix);
  for (const each of [made, link, file]) t.ok(existsSync(each), each);
});
