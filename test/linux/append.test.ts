import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { constants, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { appendNow } from '../../src/linux/append.ts';
import { EAGAIN } from '../../src/linux/constants.ts';
import { PipePool } from '../../src/linux/pipes.ts';
import { Memory } from '../../src/linux/tcp.ts';

const { EBADF, EOPNOTSUPP } = constants.errno;
const [major = 0, minor = 0] = release().split('.').map(Number);
const pipesTell = major > 6 || (major === 6 && minor >= 5);

t.test('what cannot be written now is refused, not waited for', async (t) => {
  t.equal(appendNow(-1, Memory.make(1), 1), -EBADF);
  // A named pipe, opened for both directions, never tells.
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-append-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'fifo');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, 'r+');
  t.teardown(() => closeSync(fd));
  t.equal(appendNow(fd, Memory.make(1), 1), -EOPNOTSUPP);
});

t.test('the bytes that were given are written, whole, until there is no room', async (t) => {
  const pool = new PipePool(1, 4096);
  const pipe = pool.acquire()!;
  t.teardown(() => {
    pool.release(pipe);
    pool.close();
  });
  const line = Memory.of(Buffer.from('a line and more'));
  if (!pipesTell) {
    t.equal(appendNow(pipe.writeFd, line, 6), -EOPNOTSUPP);
    return;
  }
  t.equal(appendNow(pipe.writeFd, line, 6), 6);
  const got = Buffer.alloc(100);
  t.equal(readSync(pipe.readFd, got), 6);
  t.equal(got.toString('utf8', 0, 6), 'a line');
  const page = Memory.make(4096);
  let written = 0;
  let last = 0;
  for (let i = 0; i <= pipe.capacity / 4096; i++) {
    last = appendNow(pipe.writeFd, page, 4096);
    if (last < 0) break;
    written += last;
  }
  t.equal(last, -EAGAIN);
  t.equal(written, pipe.capacity);
});
