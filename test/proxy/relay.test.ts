import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { Memory, peek, send, unacknowledged } from '../../src/linux/tcp.ts';
import { MemberCounter, memberCounterBase } from '../../src/proxy/counters.ts';
import { Relay } from '../../src/proxy/relay.ts';
import { freePort, Harness, listener, member, outcome, pool, snapshot, until } from './harness.ts';
import { bareRelays, chunk, through } from './relay-stage.ts';

t.test('half-close, in both orders', async (t) => {
  t.test('the client ends first and is answered', async (t) => {
    const { harness, connect } = await through(t, (socket) => {
      let size = 0;
      socket.on('data', (data) => {
        size += data.length;
      });
      socket.on('end', () => socket.end(`got ${size}`));
    });
    const client = connect();
    client.end(chunk);
    t.equal((await outcome(client)).data.toString(), `got ${chunk.length}`);
    t.match(await harness.session(), { cause: 'done' });
  });

  t.test('the member ends first and is still written to', async (t) => {
    const { harness, upstream, connect } = await through(t, (socket) => socket.end('greeting'));
    const client = connect();
    client.resume();
    await once(client, 'end');
    for (let i = 0; i < 5; i++) {
      client.write('more');
      await until(() => upstream.received[0]!.length === (i + 1) * 4, 'what the client sent after the end');
    }
    client.end();
    t.match(await harness.session(), { cause: 'done', bytesIn: 20, bytesOut: 8 });
  });

  t.test('both at once', async (t) => {
    const { harness, connect } = await through(t, (socket) => socket.end('b'));
    const client = connect();
    client.end('a');
    t.match(await outcome(client), { data: Buffer.from('b'), code: undefined });
    t.match(await harness.session(), { cause: 'done', bytesIn: 1, bytesOut: 1 });
  });
});

t.test('resets', async (t) => {
  t.test('of the client reach the member', async (t) => {
    let ended: string | undefined;
    const { harness, upstream, connect } = await through(t, (socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => {
        ended = error.code;
      });
    });
    const client = connect();
    client.write('half a');
    await until(() => upstream.received[0]?.length === 6, 'the bytes');
    client.resetAndDestroy();
    t.match(await harness.session(), { cause: 'client aborted', state: 'CD', bytesIn: 6 });
    await until(() => ended !== undefined, 'the member to be told');
    t.equal(ended, 'ECONNRESET');
  });

  t.test('of the member reach the client, after what it had sent', async (t) => {
    const { harness, connect } = await through(t, (socket) => {
      socket.write('partial');
      socket.on('data', () => socket.resetAndDestroy());
    });
    const client = connect();
    await once(client, 'readable');
    client.write('go on');
    t.match(await outcome(client), { data: Buffer.from('partial'), code: 'ECONNRESET' });
    t.match(await harness.session(), { cause: 'member aborted', state: 'SD' });
    t.equal(harness.counters.get(memberCounterBase(1) + MemberCounter.resets), 1);
  });

  t.test('of a member that answered without reading all', async (t) => {
    const { harness, connect } = await through(t, (socket) => {
      socket.pause();
      socket.once('readable', () => {
        socket.read(1);
        socket.write('413 too large');
        setTimeout(() => socket.resetAndDestroy(), 50);
      });
    });
    const client = connect();
    const end = outcome(client);
    for (let i = 0; i < 30; i++) client.write(chunk);
    t.equal((await end).data.toString(), '413 too large', 'the answer is delivered');
    t.match(await harness.session(), { cause: 'member aborted' });
  });

  t.test('of the client after its FIN', async (t) => {
    const { harness, upstream, connect } = await through(t, () => {});
    const client = connect();
    client.end('request');
    await until(() => upstream.received[0]?.length === 7, 'the request');
    await new Promise((resolve) => setTimeout(resolve, 10));
    client.resetAndDestroy();
    t.match(await harness.session(), { cause: 'client aborted' });
  });
});

t.test('what a member sent before it reset arrives, also when it takes more than one turn to move', async (t) => {
  const size = 3 << 20;
  const stage = await bareRelays(t, { sndbuf: 2 * size, rcvbuf: 2 * size });
  const { client, upstream, toMember, toClient, ends } = stage;
  const sent = Memory.of(randomFillSync(Buffer.alloc(size)));
  for (let at = 0; at < size; ) {
    const count = send(toMember.theirs, sent.address + at, size - at);
    if (count > 0) at += count;
    else await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await until(() => unacknowledged(toMember.theirs) === 0, 'all of it to be with us');
  stage.reset(toMember.theirs);
  const word = Memory.of(Buffer.from('go on'));
  t.equal(send(toClient.theirs, word.address, 5), 5);
  await until(() => peek(toClient.ours, Memory.make(5).address, 5) === 5, 'what the client says');
  client.pump();
  await until(() => ends.length > 0, 'the end');
  t.equal(upstream.bytes, size);
  t.strictSame([ends, upstream.broken], [['finished'], true]);
});

t.test('a member that speaks first is heard, its bytes reported together with the connection', async (t) => {
  const script = `
    const { createServer } = require('node:net');
    const server = createServer((socket) => socket.on('error', () => undefined).write('220 ready'));
    server.listen(0, '127.0.0.1', () => require('node:worker_threads').parentPort.postMessage(server.address().port));`;
  // A thread of its own, which accepts and writes while ours rests.
  const worker = new Worker(script, { eval: true });
  const harness = new Harness();
  t.teardown(async () => {
    harness.close();
    await worker.terminate();
  });
  const [memberPort] = (await once(worker, 'message')) as [number];
  const port = await freePort();
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', memberPort)])]));
  const rest = new Int32Array(new SharedArrayBuffer(4));
  harness.reactor.onBatchEnd(() => Atomics.wait(rest, 0, 0, 30));
  const client = net.connect({ port, host: '127.0.0.1' });
  t.teardown(() => client.destroy());
  let greeting = '';
  client.setEncoding('utf8').on('data', (text) => {
    greeting += text;
  });
  await until(() => greeting === '220 ready', 'the greeting');
  t.equal(greeting, '220 ready');
});

t.test('messages of many sessions in one batch of events arrive as they left, each on its own session', async (t) => {
  const { harness, connect } = await through(t, (socket) => {
    socket.on('data', (data) => socket.write(data)).on('end', () => socket.end());
  });
  const { io } = harness.engine;
  const collect = io.collect.bind(io);
  let inBatch = 0;
  let most = 0;
  io.collect = (relay) => {
    most = Math.max(most, ++inBatch);
    collect(relay);
  };
  harness.reactor.onBatchEnd(() => {
    inBatch = 0;
  });
  // Around what one slot holds, and what one chunk does; more sessions than there are slots.
  const sizes = [1, 6, 100, 8191, 8192, 8193, 16_384, 20_000, 65_536, 70_000];
  const clients = Array.from({ length: 100 }, () => ({ socket: connect(), sent: [] as Buffer[], got: [] as Buffer[] }));
  for (const { socket, got } of clients) socket.on('data', (data) => got.push(data));
  for (let round = 0; round < sizes.length; round++) {
    for (const [i, { socket, sent }] of clients.entries()) {
      const size = sizes[(round + i) % sizes.length]!;
      const message = chunk.subarray(i * 101 + round, i * 101 + round + size);
      sent.push(message);
      socket.write(message);
    }
    const whole = ({ sent, got }: { sent: Buffer[]; got: Buffer[] }) => lengthOf(got) >= lengthOf(sent);
    await until(() => clients.every(whole), `the answers of round ${round}`);
  }
  for (const [i, { socket, sent, got }] of clients.entries()) {
    t.ok(Buffer.concat(got).equals(Buffer.concat(sent)), `session ${i}`);
    socket.end();
  }
  t.ok(most > 32, `${most} were read together`);
  await harness.session(clients.length);
});

t.test('a client that resets after its message and the answer were read: the message is delivered, once', async (t) => {
  let memberSocket: net.Socket | undefined;
  const { harness, upstream, connect } = await through(t, (socket) => {
    memberSocket = socket;
    // It is cut off in the end, as the client cut us off.
    socket.on('error', () => undefined);
  });
  const { io } = harness.engine;
  const client = connect();
  client.on('error', () => undefined);
  await until(() => memberSocket !== undefined && harness.engine.sessions()[0]?.state === 'relaying', 'the session');
  const collect = io.collect.bind(io);
  const relays: Relay[] = [];
  io.collect = (relay) => {
    relays.push(relay);
    if (relays.length < 2) return;
    // The member's side is written first: what it writes to the client fails while the client's own message waits.
    relays.sort((a, b) => Number(a.noDelay) - Number(b.noDelay));
    const last = relays[1]!;
    last.readSlot = (at) => {
      Relay.prototype.readSlot.call(last, at);
      client.resetAndDestroy();
    };
    for (const each of relays) collect(each);
    io.runCollected();
  };
  client.write('abc');
  memberSocket!.write('xyz');
  const line = await harness.session();
  t.match(line, { state: 'CD', bytesIn: 3, bytesOut: 3 });
  await until(() => memberSocket!.destroyed, 'the end at the member');
  t.equal(upstream.received[0]!.toString(), 'abc');
});

function lengthOf(buffers: readonly Buffer[]): number {
  return buffers.reduce((total, { length }) => total + length, 0);
}
