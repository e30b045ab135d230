/** Much that flows at once: whole, in bounded memory, and with nothing held afterwards. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type net from 'node:net';
import t from 'tap';
import { MemberCounter, memberCounterBase } from '../../src/proxy/counters.ts';
import { openDescriptors, outcome, until } from './harness.ts';
import { chunk, pour, soak, through } from './relay-stage.ts';

t.test('100 MB each way, with a slow reader, arrive as they left', async (t) => {
  let uploaded: Promise<string> | undefined;
  let poured: Promise<string> | undefined;
  const { harness, connect } = await through(t, (socket) => {
    uploaded = soak(socket, 1 << 30);
    poured = pour(socket, 100);
  });
  const client = connect();
  const sent = pour(client, 100);
  const received = await soak(client, 2 << 20);
  t.equal(received, await poured, 'member to client');
  t.equal(await uploaded, await sent, 'client to member');
  const line = await harness.session();
  t.match(line, { cause: 'done', bytesIn: line.bytesOut });
  t.equal(line.bytesIn, harness.counters.get(memberCounterBase(1) + MemberCounter.bytesIn));
});

t.test('messages of all sizes in turn with bulk', async (t) => {
  const { connect } = await through(t, (socket) => socket.pipe(socket));
  const client = connect();
  const sizes = [1, 100, 5000, 32_768, 65_535, 65_536, 65_537, 300_000, 1, 2_000_000, 3, 70_000, 70_000, 70_000, 9];
  const expected = createHash('sha256');
  const echoed = soak(client, 1 << 30);
  for (const size of [...sizes, ...sizes]) {
    const piece = chunk.subarray(size % 1000, (size % 1000) + Math.min(size, chunk.length - 1000));
    expected.update(piece);
    if (!client.write(piece)) await once(client, 'drain');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  client.end();
  t.equal(await echoed, expected.digest('hex'));
});

t.test('a client that reads nothing stops the member, in bounded memory', async (t) => {
  let written = 0;
  const { harness, connect } = await through(t, (socket) => {
    const more = () => {
      while (written < 1 << 30) {
        written += chunk.length;
        if (!socket.write(chunk)) break;
      }
    };
    socket.on('drain', more);
    more();
  });
  const client = connect();
  client.pause();
  let last = -1;
  await until(() => {
    const still = written === last && written > 0;
    last = written;
    return still && harness.engine.sessions()[0]!.bytesOut > 0;
  }, 'the member to be stopped');
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { bytesOut } = harness.engine.sessions()[0]!;
  t.ok(bytesOut < 64 << 20, `${bytesOut} bytes were taken`);
  client.resetAndDestroy();
  t.match(await harness.session(), { cause: 'client aborted', state: 'CD' });
});

t.test('idle sessions hold no pipe, and ended ones give theirs back', async (t) => {
  const { harness, connect } = await through(t, (socket) => {
    void pour(socket, 8);
  });
  const before = openDescriptors();
  for (let i = 0; i < 3; i++) {
    const client = connect();
    await soak(client, 1 << 30);
    client.end();
    await harness.session(i + 1);
  }
  t.ok(harness.engine.io.pipes.open <= 1, `${harness.engine.io.pipes.open} pipe is kept for all three`);
  await until(() => openDescriptors() <= before + 2, 'descriptors of one idle pipe at most');
});

t.test('a live session that has moved much and now rests holds no pipe', async (t) => {
  const size = 16 * 65_536;
  const { harness, connect } = await through(t, (socket) => socket.write(chunk.subarray(0, size)));
  const clients = Array.from({ length: 12 }, connect);
  t.teardown(() => {
    for (const client of clients) client.destroy();
  });
  const received = async (client: net.Socket) => {
    let bytes = 0;
    for await (const data of client.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += data.length;
      if (bytes === size) return;
    }
  };
  await Promise.all(clients.map(received));
  t.equal(harness.engine.sessions().length, clients.length);
  // The pool keeps what was given back: as many as were in use at once. Nobody can use them while they are held.
  const taken = Array.from({ length: harness.engine.io.pipes.open }, () => harness.engine.io.pipes.acquire()!);
  const fresh = harness.engine.io.pipes.open - taken.length;
  t.ok(taken.length > 0, 'bytes were spliced');
  t.equal(fresh, 0, 'each was free');
  for (const pipe of taken) harness.engine.io.pipes.release(pipe);
});

t.test('a session that is cut while its bytes are on their way ends with a FIN behind them', async (t) => {
  const { harness, connect } = await through(t, (socket) => void pour(socket, 64).catch(() => undefined));
  const client = connect();
  client.on('end', () => client.destroy()).pause();
  let before = -1;
  // The client's window is shut when nothing moves any more; what is left for it stands in our queue.
  const shut = () => {
    const now = harness.engine.sessions()[0]?.bytesOut ?? 0;
    const same = now > 0 && now === before;
    before = now;
    return same;
  };
  for (let quiet = 0; quiet < 20; ) await until(shut, 'the window to be shut').then(() => quiet++);
  t.equal(harness.engine.closeSession(harness.engine.sessions()[0]!.id), true);
  const ended = outcome(client);
  client.resume();
  const end = await ended;
  t.equal(end.code, undefined, 'no reset, which would destroy them');
  const sent = Buffer.concat(Array.from({ length: 64 }, (_, i) => chunk.subarray(i * 7)));
  t.ok(end.data.equals(sent.subarray(0, end.data.length)), 'as they were sent');
  t.ok(
    end.data.length > before - 512 * 1024,
    `${end.data.length} of ${before} bytes: all but what a chunk or pipe held`,
  );
  t.match(await harness.session(), { cause: 'closed by the operator', state: 'KD' });
});
