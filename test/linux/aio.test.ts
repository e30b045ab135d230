/** Asynchronous writes by the kernel: what is written where, judged by reading the file. */
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AsyncWriter, BLOCK_BYTES, dropPages } from '../../src/linux/aio.ts';
import { EAGAIN } from '../../src/linux/constants.ts';

const EBADF = 9;

function setUp(t: Test, blocks = 8) {
  const dir = mkdtempSync(join(tmpdir(), 'v6edge-aio-'));
  const path = join(dir, 'file');
  writeFileSync(path, Buffer.alloc(blocks * BLOCK_BYTES, 'x'), { flush: true });
  const fd = openSync(path, constants.O_RDWR | constants.O_DSYNC | constants.O_DIRECT);
  const writer = new AsyncWriter(fd, 4 * BLOCK_BYTES);
  t.teardown(() => {
    writer.close();
    writer.close();
    closeSync(fd);
    rmSync(dir, { recursive: true });
  });
  const write = (length: number, position: number): Promise<number> =>
    new Promise((resolve) => {
      const started = writer.write(length, position, resolve);
      if (started < 0) resolve(started);
    });
  return { path, fd, writer, write };
}

t.test('blocks go where they should', async (t) => {
  const { path, fd, writer, write } = setUp(t);
  dropPages(fd);
  const expected = Buffer.alloc(8 * BLOCK_BYTES, 'x');
  for (const [i, [length, position]] of [
    [1, 0],
    [4, 4],
    [2, 1],
    [1, 7],
  ].entries()) {
    writer.bytes.fill(65 + i);
    const bytes = length! * BLOCK_BYTES;
    t.equal(await write(bytes, position! * BLOCK_BYTES), bytes);
    expected.fill(65 + i, position! * BLOCK_BYTES, position! * BLOCK_BYTES + bytes);
  }
  t.ok(readFileSync(path).equals(expected));
});

t.test('what is in the page cache is written or refused, and never wrong', async (t) => {
  const { path, fd, writer, write } = setUp(t);
  for (let i = 0; i < 20; i++) {
    const before = readFileSync(path);
    writer.bytes.fill(i);
    const result = await write(BLOCK_BYTES, BLOCK_BYTES);
    t.ok(result === BLOCK_BYTES || result === -EAGAIN, `${result}`);
    if (result === BLOCK_BYTES) before.fill(i, BLOCK_BYTES, 2 * BLOCK_BYTES);
    t.ok(readFileSync(path).equals(before));
    dropPages(fd);
    t.equal(await write(BLOCK_BYTES, BLOCK_BYTES), BLOCK_BYTES, 'without it, it is written');
  }
});

t.test('what the kernel does not take is told', async (t) => {
  const { writer, write } = setUp(t);
  // Which error it is, is the file system's.
  t.ok((await write(100, 0)) < 0, 'no whole block');
  t.ok((await write(BLOCK_BYTES, 10)) < 0, 'not at the beginning of one');
  const other = new AsyncWriter(1_000_000, BLOCK_BYTES);
  t.teardown(() => other.close());
  t.equal(
    other.write(BLOCK_BYTES, 0, () => t.fail('there is no such file')),
    -EBADF,
  );
  const first = write(BLOCK_BYTES, 0);
  t.throws(() => writer.write(BLOCK_BYTES, 0, () => undefined), /one write at a time/);
  await first;
  writer.close();
  t.throws(() => writer.write(BLOCK_BYTES, 0, () => undefined), /one write at a time/);
});
