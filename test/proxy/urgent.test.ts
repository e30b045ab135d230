/**
 * Urgent data (RFC 9293 §3.8.5, RFC 6093): reads end at its mark, and splice never passes it. The urgent byte itself has no taker,
 * as in every relay that does not ask for it; what stands around it arrives.
 */
import { once } from 'node:events';
import type net from 'node:net';
import t from 'tap';
import { libcCall } from '../../src/linux/libc.ts';
import { until } from './harness.ts';
import { through } from './relay-stage.ts';

const MSG_OOB = 1;
const sendCall = libcCall<(fd: number, bytes: Buffer, length: number, flags: number) => number>(
  'int64 send(int fd, void *bytes, size_t length, int flags)',
);

/** Sends at once what Node's streams cannot, by the handle's descriptor. */
function sendNow(client: net.Socket, text: string, flags = 0): number {
  const { fd } = (client as unknown as { _handle: { fd: number } })._handle;
  return sendCall(fd, Buffer.from(text), text.length, flags);
}

t.test('amid a stream that ends at once', async (t) => {
  const { harness, upstream, connect } = await through(t, (socket) => socket.on('end', () => socket.end()));
  for (let round = 1; round <= 20; round++) {
    const client = connect();
    await once(client, 'connect');
    t.equal(sendNow(client, 'abc'), 3);
    t.equal(sendNow(client, '!', MSG_OOB), 1);
    t.equal(sendNow(client, 'def'), 3);
    client.end();
    client.resume();
    await harness.session(round);
    t.equal(upstream.received[round - 1]!.toString(), 'abcdef');
  }
});

t.test('amid a burst, after which the client waits for its answer', async (t) => {
  const { upstream, connect } = await through(t, () => {});
  const client = connect();
  t.teardown(() => client.destroy());
  await once(client, 'connect');
  client.write('before');
  await until(() => upstream.received[0]?.toString() === 'before', 'the session');
  for (let round = 1; round <= 20; round++) {
    t.equal(sendNow(client, 'abc'), 3);
    t.equal(sendNow(client, '!', MSG_OOB), 1);
    t.equal(sendNow(client, 'def'), 3);
    const expected = `before${'abcdef'.repeat(round)}`;
    await until(() => upstream.received[0]!.toString() === expected, `burst ${round}`);
  }
});

t.test('amid much that flows by splice, the end behind it', async (t) => {
  const half = 3 << 20;
  const { harness, upstream, connect } = await through(t, (socket) => socket.on('end', () => socket.end()));
  for (let round = 1; round <= 5; round++) {
    const client = connect();
    client.resume();
    client.write('begin');
    await until(() => upstream.received[round - 1]?.toString() === 'begin', 'the session');
    const server = upstream.sockets[round - 1]!;
    // All of it is in the queues before the member reads on: mark, rest and end are reported together.
    server.pause();
    await new Promise((resolve) => client.write(Buffer.alloc(half, 'a'), resolve));
    t.equal(sendNow(client, '!', MSG_OOB), 1);
    client.end(Buffer.alloc(half, 'b'));
    await once(client, 'finish');
    server.resume();
    t.match(await harness.session(round), { cause: 'done', bytesIn: 5 + 2 * half });
    t.equal(server.bytesRead, 5 + 2 * half);
  }
});
