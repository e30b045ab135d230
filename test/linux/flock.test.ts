import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { tryLock } from '../../src/linux/flock.ts';

t.test('one holds it, until its descriptor is closed', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-flock-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const [a, b] = [openSync(dir, 'r'), openSync(dir, 'r')];
  t.equal(tryLock(a), true);
  t.equal(tryLock(a), true, 'the holder may ask again');
  t.equal(tryLock(b), false);
  closeSync(a);
  t.equal(tryLock(b), true);
  closeSync(b);
  t.throws(() => tryLock(-1), { code: 'EBADF' });
  t.end();
});

t.test('a lock of another process, and its end', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-flock-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const holder = spawn('flock', ['--no-fork', dir, 'sh', '-c', 'echo held; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  const fd = openSync(dir, 'r');
  t.teardown(() => closeSync(fd));
  t.equal(tryLock(fd), false);
  const ended = once(holder, 'exit');
  holder.kill('SIGKILL');
  await ended;
  t.equal(tryLock(fd), true, 'the kernel let go of it');
});
