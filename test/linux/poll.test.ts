import { once } from 'node:events';
import { constants } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import koffi from 'koffi';
import t from 'tap';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import { closeFd, kernelBuffer, libcCall, orErrno } from '../../src/linux/libc.ts';
import { Poll, UV_POLL } from '../../src/linux/poll.ts';

const socketpairCall = libcCall<(domain: number, type: number, protocol: number, pair: Uint8Array) => number>(
  'int socketpair(int domain, int type, int protocol, void *pair)',
);
const writeCall = libcCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64 write(int fd, void *bytes, size_t length)',
);
const readCall = libcCall<(fd: number, bytes: Uint8Array, length: number) => number>(
  'int64 read(int fd, void *bytes, size_t length)',
);

function socketpair(): [number, number] {
  const fds = kernelBuffer(8);
  check(orErrno(socketpairCall(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds)), 'socketpair');
  return [fds.readInt32LE(0), fds.readInt32LE(4)];
}
const write = (fd: number) => check(orErrno(writeCall(fd, Buffer.from('x'), 1)), 'write');
const read = (fd: number) => orErrno(readCall(fd, kernelBuffer(1), 1));

/** Polls `fd`, notes what `read` says on each call, and resolves `next` with it. */
function reader(fd: number): { poll: Poll; seen: number[]; next: () => Promise<number> } {
  const seen: number[] = [];
  let wake: ((result: number) => void) | undefined;
  const poll = new Poll(fd, () => {
    const result = read(fd);
    seen.push(result);
    wake?.(result);
  });
  const next = () =>
    new Promise<number>((resolve) => {
      wake = resolve;
    });
  return { poll, seen, next };
}

t.test('the number is what libuv calls a poll handle', async (t) => {
  const name = koffi.load(null).func('const char *uv_handle_type_name(int type)');
  t.equal(name(UV_POLL), 'poll');
});

t.test('what cannot be polled is refused by name, and again', async (t) => {
  t.throws(() => new Poll(1_000_000, () => {}), { code: 'EBADF' });
  const [a, b] = socketpair();
  const poll = new Poll(a, () => {});
  t.throws(() => new Poll(a, () => {}), { code: 'EEXIST' });
  poll.close();
  for (const fd of [a, b]) closeFd(fd);
});

t.test('called for each thing to read; after close no more, and the descriptor is still its owner’s', async (t) => {
  const [a, b] = socketpair();
  const { poll, seen, next } = reader(a);
  for (let i = 0; i < 3; i++) {
    const came = next();
    write(b);
    t.equal(await came, 1);
  }
  poll.close();
  poll.close();
  write(b);
  await turn();
  await turn();
  t.strictSame(seen, [1, 1, 1]);
  t.equal(read(a), 1);
  for (const fd of [a, b]) closeFd(fd);
});

t.test('closed by its own handler', async (t) => {
  const [a, b] = socketpair();
  let calls = 0;
  await new Promise<void>((resolve) => {
    const poll = new Poll(a, () => {
      calls++;
      poll.close();
      resolve();
    });
    write(b);
  });
  await turn();
  await turn();
  t.equal(calls, 1);
  for (const fd of [a, b]) closeFd(fd);
});

t.test('goes on after an error of the descriptor, with which libuv stops', async (t) => {
  const [a, b] = socketpair();
  const { poll, next } = reader(a);
  const failed = next();
  write(a);
  // With something unread: a reset.
  closeFd(b);
  t.equal(await failed, -constants.errno.ECONNRESET);
  t.equal(await next(), 0, 'the end is told, too');
  poll.close();
  closeFd(a);
});

t.test('what the handler throws is an uncaught exception, and it is called again', async (t) => {
  const [a, b] = socketpair();
  const mine = new Error('of the handler');
  const seen: unknown[] = [];
  const others = process.rawListeners('uncaughtException') as NodeJS.UncaughtExceptionListener[];
  process.removeAllListeners('uncaughtException');
  const poll = new Poll(a, () => {
    read(a);
    throw mine;
  });
  try {
    for (let i = 0; i < 2; i++) {
      const thrown = once(process, 'uncaughtException');
      write(b);
      seen.push((await thrown)[0]);
    }
  } finally {
    for (const listener of others) process.on('uncaughtException', listener);
    poll.close();
    for (const fd of [a, b]) closeFd(fd);
  }
  t.strictSame(seen, [mine, mine]);
});

t.test('thousands come and go: each gives its callback back', async (t) => {
  const [a, b] = socketpair();
  // More than the FFI has callbacks (8,192).
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 100; i++) new Poll(a, () => {}).close();
    await turn();
    await turn();
  }
  const { poll, next } = reader(a);
  const came = next();
  write(b);
  t.equal(await came, 1);
  poll.close();
  for (const fd of [a, b]) closeFd(fd);
});
