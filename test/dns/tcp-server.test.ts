import { once } from 'node:events';
import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { COUNT, GAUGE } from '../../src/dns/counters.ts';
import type { Handoff } from '../../src/dns/snapshot.ts';
import { parseMessage } from '../../src/dns/wire/message.ts';
import { RCODE, TYPE } from '../../src/dns/wire/types.ts';
import { aaaa, Bench, FakeUpstream, frame, query, readFrames, reply, txt, zone } from './peers.ts';

/** Messages of a connection as they come. */
function inbox(socket: net.Socket): { next(): Promise<Buffer>; readonly count: number } {
  const got: Buffer[] = [];
  let wake = () => {};
  let count = 0;
  readFrames(socket, (message) => {
    got.push(message);
    count++;
    wake();
  });
  return {
    async next() {
      while (got.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return got.shift()!;
    },
    get count() {
      return count;
    },
  };
}

async function own(t: Test, options = {}): Promise<Bench> {
  const bench = await Bench.start(t, options);
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1), txt('big.own.test', 20_000)]));
  return bench;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await nextTurn();
}

t.test('one question, one answer, whole whatever its size', async (t) => {
  const bench = await own(t);
  const socket = await bench.connect(t);
  const messages = inbox(socket);
  socket.write(frame(query('big.own.test', { type: TYPE.TXT })));
  t.ok((await messages.next()).length > 20_000);
  t.equal(bench.counters.get(COUNT.TCP), 1);
  t.equal(bench.counters.gauge(GAUGE.TCP_CONNECTIONS), 1);
});

t.test('reads split at every byte, and all at once', async (t) => {
  const bench = await own(t);
  const socket = await bench.connect(t);
  socket.setNoDelay(true);
  const messages = inbox(socket);
  const three = Buffer.concat([1, 2, 3].map((id) => frame(query('a.own.test', { id }))));
  for (let at = 0; at <= three.length; at++) {
    socket.write(three.subarray(0, at));
    await nextTurn();
    socket.write(three.subarray(at));
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push((await messages.next()).readUInt16BE(0));
    if (ids.join() !== '1,2,3') t.fail(`split at ${at}: ${ids}`);
  }
  for (const byte of three) {
    socket.write(Buffer.of(byte));
    await nextTurn();
  }
  for (let id = 1; id <= 3; id++) t.equal((await messages.next()).readUInt16BE(0), id, 'byte by byte');
});

t.test('answers come when they are there, out of order', async (t) => {
  const upstream = await FakeUpstream.start(t, () => undefined);
  const bench = await own(t, { upstreams: [upstream.config], forward: { timeoutMs: 5000 } });
  const socket = await bench.connect(t);
  const messages = inbox(socket);
  socket.write(Buffer.concat([frame(query('slow.test', { id: 1 })), frame(query('a.own.test', { id: 2 }))]));
  t.equal((await messages.next()).readUInt16BE(0), 2);
  upstream.behaviour = ({ message }) => reply(message, { answers: [aaaa('slow.test', 1)] });
  t.match(parseMessage(await messages.next()), { id: 1, rcode: RCODE.NOERROR });
});

t.test('half-close: what was asked before is still answered, then the connection ends', async (t) => {
  const bench = await own(t);
  const socket = await bench.connect(t);
  const messages = inbox(socket);
  socket.end(frame(query('a.own.test')));
  t.equal(parseMessage(await messages.next()).rcode, RCODE.NOERROR);
  await once(socket, 'close');
  await until(() => bench.counters.gauge(GAUGE.TCP_CONNECTIONS) === 0);
});

t.test('broken messages are answered or left, and the next one is served', async (t) => {
  const bench = await own(t);
  const socket = await bench.connect(t);
  const messages = inbox(socket);
  socket.write(
    Buffer.concat([
      frame(new Uint8Array(0)),
      frame(Uint8Array.of(1, 2, 3)),
      frame(query('a.own.test').subarray(0, 14)),
    ]),
  );
  t.equal((await messages.next())[3]! & 15, RCODE.FORMERR);
  socket.write(frame(query('a.own.test')));
  t.equal((await messages.next())[3]! & 15, RCODE.NOERROR);
  t.equal(bench.counters.get(COUNT.SHORT), 2);
});

t.test('silent, and half a message: closed after the idle time', async (t) => {
  const clock = new FakeClock();
  const bench = await own(t, { clock });
  const silent = await bench.connect(t);
  const half = await bench.connect(t);
  for (const socket of [silent, half]) socket.resume();
  half.write(Buffer.of(0xff, 0xff, 1, 2, 3));
  const busy = await bench.connect(t);
  await until(() => bench.counters.gauge(GAUGE.TCP_CONNECTIONS) === 3);
  clock.advance(6000);
  const messages = inbox(busy);
  busy.write(frame(query('a.own.test')));
  await messages.next();
  clock.advance(6000);
  await Promise.all([once(silent, 'close'), once(half, 'close')]);
  t.equal(bench.counters.gauge(GAUGE.TCP_CONNECTIONS), 1);
  t.equal(bench.counters.get(COUNT.TCP_TIMEOUT), 2);
  busy.write(frame(query('a.own.test')));
  t.ok(await messages.next(), 'the one that asked is still there');
});

t.test('a client that resets ends nothing but itself', async (t) => {
  const upstream = await FakeUpstream.start(t, () => undefined);
  const bench = await own(t, { upstreams: [upstream.config], forward: { timeoutMs: 200 } });
  const socket = await bench.connect(t);
  socket.write(frame(query('slow.test')));
  await until(() => upstream.seen.length === 1);
  socket.resetAndDestroy();
  await until(() => bench.counters.gauge(GAUGE.TCP_CONNECTIONS) === 0);
  await until(() => bench.counters.gauge(GAUGE.IN_FLIGHT) === 0);
  t.equal((await bench.ask('a.own.test')).rcode, RCODE.NOERROR);
});

t.test('a client that takes no answers is read no further, and gets all once it does', async (t) => {
  const bench = await own(t);
  const socket = await bench.connect(t);
  socket.pause();
  const asked = 2000;
  const questions = frame(query('big.own.test', { type: TYPE.TXT }));
  for (let i = 0; i < asked; i++) socket.write(questions);
  // The kernel's buffers fill, then ours, up to the bound; then reading stops.
  let before = -1;
  while (bench.counters.get(COUNT.TCP) !== before) {
    before = bench.counters.get(COUNT.TCP);
    for (let i = 0; i < 200; i++) await nextTurn();
  }
  t.ok(before < asked, `${before} of ${asked} were read`);
  const messages = inbox(socket);
  socket.resume();
  for (let i = 0; i < asked; i++) await messages.next();
  t.equal(messages.count, asked);
});

t.test('too many connections of one client are turned away', async (t) => {
  const bench = await own(t);
  const sockets: net.Socket[] = [];
  for (let i = 0; i < 140; i++) {
    const socket = net.connect(bench.port, '127.0.0.1');
    socket.on('error', () => {});
    t.teardown(() => void socket.destroy());
    sockets.push(socket);
  }
  await until(() => bench.counters.get(COUNT.TCP_ACCEPTED) === 140);
  t.equal(bench.counters.gauge(GAUGE.TCP_CONNECTIONS), 128);
  t.equal(bench.counters.get(COUNT.TCP_REJECTED), 12);
});

t.test('clients outside allow are refused by TCP too', async (t) => {
  const bench = await own(t, { settings: { allow: [] } });
  const socket = await bench.connect(t);
  const messages = inbox(socket);
  socket.write(frame(query('a.own.test')));
  t.equal((await messages.next())[3]! & 15, RCODE.REFUSED);
});

t.test('a handed-over query may have several answers (RFC 5936 §2.2)', async (t) => {
  const handoff = async ({ message, transport }: { message: Uint8Array; transport: string }) => {
    t.equal(transport, 'tcp');
    return [message, message, message];
  };
  const bench = await own(t, { handoff });
  const socket = await bench.connect(t);
  const messages = inbox(socket);
  socket.end(frame(query('own.test', { type: TYPE.AXFR })));
  for (let i = 0; i < 3; i++) t.equal((await messages.next()).readUInt16BE(0), 0x1234);
  await once(socket, 'close');
});

t.test('a long handed-over answer waits for its client, and ends when it goes', async (t) => {
  const piece = new Uint8Array(60_000);
  piece.set([0x12, 0x34, 0x80]);
  const pieces = 400;
  let sent = 0;
  let ended: boolean | undefined;
  const handoff: Handoff = async (_, send) => {
    for (let i = 0; i < pieces; i++) {
      sent++;
      ended = !(await send([piece]));
      if (ended) return [];
    }
    return [piece];
  };
  const bench = await own(t, { handoff });
  const slow = await bench.connect(t);
  slow.pause();
  slow.write(frame(query('own.test', { type: TYPE.AXFR })));
  let before = -1;
  while (sent !== before) {
    before = sent;
    for (let i = 0; i < 200; i++) await nextTurn();
  }
  t.ok(sent < pieces, `${sent} of ${pieces} were made`);
  const messages = inbox(slow);
  slow.resume();
  for (let i = 0; i <= pieces; i++) await messages.next();
  t.equal(messages.count, pieces + 1);
  t.equal(ended, false);

  const gone = await bench.connect(t);
  gone.pause();
  sent = 0;
  gone.write(frame(query('own.test', { type: TYPE.AXFR })));
  await until(() => sent > 1);
  gone.resetAndDestroy();
  await until(() => ended === true);
  t.ok(sent < pieces);
});

t.test('close lets go of every connection at once', async (t) => {
  const bench = await own(t);
  const socket = await bench.connect(t);
  socket.resume();
  await until(() => bench.counters.gauge(GAUGE.TCP_CONNECTIONS) === 1);
  bench.engine.close();
  await once(socket, 'close');
  t.equal(bench.counters.gauge(GAUGE.TCP_CONNECTIONS), 0);
});
