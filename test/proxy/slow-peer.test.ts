/** Peers that take what is sent to them slowly, or not at all: what they take is no silence, and what is thrown away shows. */
import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from '../../src/linux/reactor.ts';
import { Memory, peek, receive, send, shutdownWrite, unacknowledged } from '../../src/linux/tcp.ts';
import { freePort, Harness, listener, member, outcome, pool, snapshot, timeouts, Upstream, until } from './harness.ts';
import { bareRelays } from './relay-stage.ts';

const plenty = 32 << 20;

/** A session both of whose peers have said something; `sender` then sends more than the buffers on the way hold. */
async function stalledSession(t: Test, sender: 'client' | 'member') {
  const upstream = await new Upstream().listen();
  const clock = new FakeClock();
  const harness = new Harness(clock);
  t.teardown(() => {
    harness.close();
    upstream.close();
  });
  const port = await freePort();
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => client.destroy());
  client.on('error', () => {});
  client.write('ping');
  await until(() => upstream.received[0]?.length === 4, 'the ping');
  const server = upstream.sockets[0]!;
  server.write('pong');
  await once(client, 'data');
  const [from, to] = sender === 'client' ? [client, server] : [server, client];
  to.pause();
  from.write(Buffer.alloc(plenty));
  let last = -1;
  await until(() => {
    const { bytesIn, bytesOut } = harness.engine.sessions()[0]!;
    const still = bytesIn + bytesOut === last && last > 1 << 20;
    last = bytesIn + bytesOut;
    return still;
  }, 'the buffers to be full');
  /** The slow one takes a little, too little for room in the buffer of the proxy's socket. */
  const take = async () => {
    const enough = to.bytesRead + 65_536;
    to.resume();
    await until(() => to.bytesRead >= enough, 'it to read');
    to.pause();
  };
  return { harness, clock, to, take };
}

for (const [sender, slow, state] of [
  ['member', 'client', 'cD'],
  ['client', 'member', 'sD'],
] as const) {
  t.test(`a ${slow} that takes little for as long as it takes any`, async (t) => {
    const { harness, clock, to, take } = await stalledSession(t, sender);
    for (let i = 0; i < 12; i++) {
      await take();
      clock.advance(timeouts.tunnelMs / 4);
      t.equal(harness.sessions.length, 0, `alive after ${(i + 1) / 4} of the time`);
    }
    const end = outcome(to);
    clock.advance(timeouts.tunnelMs * 1.3);
    t.match(await harness.session(), { state, cause: `idle timeout, the ${slow} takes nothing` });
    to.resume();
    t.equal((await end).code, 'ECONNRESET', 'what it got is not whole, and does not look it');
  });
}

t.test('a member that closes in full behind its last bytes: a slow client gets them all the same', async (t) => {
  const stage = await bareRelays(t, { sndbuf: 8192, rcvbuf: 8192 });
  const { io, client, upstream, toMember, toClient, ends } = stage;
  // The queue to the client is full of this.
  const filler = Memory.of(Buffer.alloc(1 << 20, 'f'));
  let filled = 0;
  for (let sent = 1; sent > 0; filled += Math.max(0, sent)) {
    sent = send(toClient.ours, filler.address, 4096);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const word = Memory.of(Buffer.from('the last words'));
  t.equal(send(toMember.theirs, word.address, 14), 14);
  shutdownWrite(toMember.theirs);
  await until(() => peek(toMember.ours, Memory.make(14).address, 14) === 14, 'the last words to be with us');
  upstream.onEvents(EPOLLIN | EPOLLRDHUP);
  t.ok(upstream.blocked && upstream.eof, 'read with the end, and not to be sent yet');

  stage.reset(toMember.theirs);
  upstream.onEvents(EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP);
  t.strictSame(ends, []);
  const got = Memory.make(1 << 20);
  let length = 0;
  await until(() => {
    const count = receive(toClient.theirs, got.address + length, 65_536);
    if (count > 0) length += count;
    if (unacknowledged(toClient.ours) < 4096) client.onEvents(EPOLLOUT);
    return length === filled + 14;
  }, 'the client to get it all');
  t.equal(io.runEnds(), false);
  t.equal(got.bytes.toString('latin1', filled, length), 'the last words');
  t.strictSame([ends, upstream.broken], [['finished'], true]);
});
