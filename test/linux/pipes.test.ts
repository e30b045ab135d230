import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import t from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { AF_INET, EAGAIN } from '../../src/linux/constants.ts';
import { closeFd } from '../../src/linux/libc.ts';
import { PipePool } from '../../src/linux/pipes.ts';
import { encodeSockaddr } from '../../src/linux/sockaddr.ts';
import { connectTcp, Memory, openTcp } from '../../src/linux/tcp.ts';

const descriptors = () => readdirSync('/proc/self/fd').length;

t.test('keeps empty pipes, closes filled ones, and stops at its limit', async (t) => {
  const before = descriptors();
  const pool = new PipePool(2, 256 * 1024);
  const a = pool.acquire()!;
  const b = pool.acquire()!;
  t.equal(pool.acquire(), undefined, 'limit reached');
  t.ok(a.capacity >= 4096);
  t.equal(descriptors(), before + 4);
  pool.release(a);
  t.equal(pool.acquire(), a, 'the same pipe again');
  b.filled = 1;
  pool.release(b);
  t.equal(pool.open, 1, 'a pipe with bytes in it is not used again');
  pool.release(a);
  pool.close();
  t.equal(pool.open, 0);
  t.equal(descriptors(), before);
});

t.test('moves bytes from socket to socket', async (t) => {
  const source = net.createServer((socket) => socket.end(Buffer.alloc(100_000, 'x'))).listen(0, '127.0.0.1');
  const sink = net.createServer().listen(0, '127.0.0.1');
  await Promise.all([once(source, 'listening'), once(sink, 'listening')]);
  const open = (server: net.Server) => {
    const { port } = server.address() as net.AddressInfo;
    const fd = openTcp(AF_INET);
    connectTcp(fd, Memory.of(encodeSockaddr(parseInetEndpoint(`127.0.0.1:${port}`).address, port)));
    return fd;
  };
  const from = open(source);
  const to = open(sink);
  const [socket] = (await once(sink, 'connection')) as [net.Socket];
  let received = 0;
  socket.on('data', (chunk) => {
    received += chunk.length;
  });
  const pool = new PipePool(1, 64 * 1024);
  const pipe = pool.acquire()!;
  for (;;) {
    const filled = pipe.fill(from);
    if (filled === 0) break;
    if (filled === -EAGAIN) await new Promise((resolve) => setImmediate(resolve));
    while (pipe.filled > 0) if (pipe.drain(to) === -EAGAIN) await new Promise((resolve) => setImmediate(resolve));
  }
  t.equal(pipe.fill(from), 0, 'the end is an end');
  closeFd(to);
  await once(socket, 'close');
  t.equal(received, 100_000);
  closeFd(from);
  pool.release(pipe);
  pool.close();
  source.close();
  sink.close();
});
