import { createHash, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { parseInetEndpoint } from '../../src/core/address.ts';
import { AF_INET, SOL_SOCKET } from '../../src/linux/constants.ts';
import { closeFd, libcCall, setSocketInt } from '../../src/linux/libc.ts';
import { PipePool } from '../../src/linux/pipes.ts';
import { encodeSockaddr } from '../../src/linux/sockaddr.ts';
import {
  acceptTcp,
  connectTcp,
  listenTcp,
  Memory,
  openTcp,
  peek,
  resetTcp,
  SockaddrSlot,
  send,
  unacknowledged,
} from '../../src/linux/tcp.ts';
import { MemberCounter, memberCounterBase } from '../../src/proxy/counters.ts';
import { Relay, RelayIo, type RelayOwner } from '../../src/proxy/relay.ts';
import {
  freePort,
  Harness,
  listener,
  member,
  openDescriptors,
  outcome,
  pool,
  snapshot,
  Upstream,
  until,
} from './harness.ts';

async function through(t: Test, onConnection: (socket: net.Socket) => void) {
  const upstream = await new Upstream(onConnection).listen();
  const port = await freePort();
  const harness = new Harness();
  t.teardown(() => {
    harness.close();
    upstream.close();
  });
  harness.engine.apply(snapshot([listener(`127.0.0.1:${port}`)], [pool([member('m1', upstream.port)])]));
  const connect = () => net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  return { harness, upstream, connect };
}

const SO_SNDBUFFORCE = 32;
const chunk = randomFillSync(Buffer.alloc(1 << 20));

/** Writes `megabytes` of pseudo-random bytes with back-pressure, then the end. Resolves to their hash. */
async function pour(socket: net.Socket, megabytes: number): Promise<string> {
  const hash = createHash('sha256');
  for (let i = 0; i < megabytes; i++) {
    // Each piece starts elsewhere, so that one lost or doubled is noticed.
    const piece = chunk.subarray(i * 7);
    hash.update(piece);
    if (!socket.write(piece)) await once(socket, 'drain');
  }
  socket.end();
  return hash.digest('hex');
}

/** Hashes what comes until the end, resting now and then as a slow reader does. */
async function soak(socket: net.Socket, restEvery: number): Promise<string> {
  const hash = createHash('sha256');
  let sinceRest = 0;
  for await (const data of socket as AsyncIterable<Buffer>) {
    hash.update(data);
    sinceRest += data.length;
    if (sinceRest < restEvery) continue;
    sinceRest = 0;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return hash.digest('hex');
}

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
  const SO_RCVBUFFORCE = 33;
  const endpoint = parseInetEndpoint(`127.0.0.1:${await freePort()}`);
  const listening = listenTcp(endpoint, { backlog: 2, keepaliveSeconds: 0 });
  setSocketInt(listening, SOL_SOCKET, SO_RCVBUFFORCE, 2 * size);
  const slot = new SockaddrSlot();
  const connection = async () => {
    const fd = openTcp(AF_INET);
    setSocketInt(fd, SOL_SOCKET, SO_RCVBUFFORCE, 2 * size);
    setSocketInt(fd, SOL_SOCKET, SO_SNDBUFFORCE, 2 * size);
    connectTcp(fd, Memory.of(encodeSockaddr(endpoint.address, endpoint.port)));
    let accepted = -1;
    await until(() => {
      accepted = acceptTcp(listening, slot);
      return accepted >= 0;
    }, 'a connection');
    setSocketInt(accepted, SOL_SOCKET, SO_SNDBUFFORCE, 2 * size);
    return { ours: fd, theirs: accepted };
  };
  const [toMember, toClient] = [await connection(), await connection()];
  t.teardown(() => {
    for (const fd of [listening, toMember.ours, toClient.ours, toClient.theirs]) closeFd(fd);
  });
  const ends: string[] = [];
  const owner: RelayOwner = {
    relaying: true,
    onEarlyEvents: () => undefined,
    onBytes: () => undefined,
    onHalfClosed: () => undefined,
    onFinished: () => ends.push('finished'),
    onBroken: () => ends.push('broken'),
  };
  // Without pipes, which would move it all in one turn.
  const io = new RelayIo(new PipePool(0, 1));
  const [client, upstream] = [new Relay(owner, io), new Relay(owner, io)];
  client.other = upstream;
  upstream.other = client;
  client.fd = toClient.ours;
  upstream.fd = toMember.ours;

  const sent = Memory.of(randomFillSync(Buffer.alloc(size)));
  for (let at = 0; at < size; ) {
    const count = send(toMember.theirs, sent.address + at, size - at);
    if (count > 0) at += count;
    else await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await until(() => unacknowledged(toMember.theirs) === 0, 'all of it to be with us');
  resetTcp(toMember.theirs);
  const word = Memory.of(Buffer.from('go on'));
  t.equal(send(toClient.theirs, word.address, 5), 5);
  await until(() => peek(toClient.ours, io.memory.address, 5) === 5, 'what the client says');
  client.pump();
  await until(() => ends.length > 0, 'the end');
  t.equal(upstream.bytes, size);
  t.strictSame([ends, upstream.broken], [['finished'], true]);
});

t.test('urgent data amid a stream that ends at once: what stands around it is not lost', async (t) => {
  const { harness, upstream, connect } = await through(t, (socket) => socket.on('end', () => socket.end()));
  const MSG_OOB = 1;
  const sendCall = libcCall<(fd: number, bytes: Buffer, length: number, flags: number) => number>(
    'int64 send(int fd, void *bytes, size_t length, int flags)',
  );
  for (let round = 1; round <= 20; round++) {
    const client = connect();
    await once(client, 'connect');
    // The handle's descriptor, to send what Node's streams cannot.
    const { fd } = (client as unknown as { _handle: { fd: number } })._handle;
    for (const [text, flags] of [
      ['abc', 0],
      ['!', MSG_OOB],
      ['def', 0],
    ] as const) {
      t.equal(sendCall(fd, Buffer.from(text), text.length, flags), text.length);
    }
    client.end();
    client.resume();
    await harness.session(round);
    t.equal(upstream.received[round - 1]!.toString(), 'abcdef');
  }
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
