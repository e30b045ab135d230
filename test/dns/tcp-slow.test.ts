/** Clients by TCP that take their answers slowly or not at all: what they hold, and for how long. A transfer is the longest answer. */
import { once } from 'node:events';
import type net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { COUNT, GAUGE } from '../../src/dns/counters.ts';
import { TAKE_MS } from '../../src/dns/tcp-connection.ts';
import { TYPE } from '../../src/dns/wire/types.ts';
import { aaaa, Bench, frame, query, zone } from './peers.ts';

const PIECE = 60_000;

/** A server whose transfers have no end, and how far one of them has come. */
async function endless(t: Test, clock: FakeClock, pause?: () => Promise<void>) {
  const piece = new Uint8Array(PIECE);
  piece.set([0x12, 0x34, 0x80]);
  const transfer = { made: 0, over: false };
  const bench = await Bench.start(t, {
    clock,
    handoff: async (_, send) => {
      do {
        transfer.made++;
        await pause?.();
      } while (await send([piece]));
      transfer.over = true;
      return [];
    },
  });
  bench.engine.setZone(zone('own.test', [aaaa('a.own.test', 1)]));
  return { bench, transfer };
}

async function transferTo(t: Test, bench: Bench): Promise<net.Socket> {
  const socket = await bench.connect(t);
  socket.pause();
  socket.write(frame(query('own.test', { type: TYPE.AXFR })));
  return socket;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await nextTurn();
}

/** Until no more is made, as the client takes no more. */
async function stalled(transfer: { made: number }): Promise<void> {
  for (let before = -1; before !== transfer.made; ) {
    before = transfer.made;
    for (let i = 0; i < 300; i++) await nextTurn();
  }
}

/** Takes octets of what has come, or waits for them. */
async function take(socket: net.Socket, octets: number): Promise<void> {
  for (let left = octets; left > 0; ) {
    const data = socket.read(Math.min(left, Math.max(1, socket.readableLength))) as Buffer | null;
    if (data === null) await once(socket, 'readable');
    else left -= data.length;
  }
}

t.test('nothing is taken: little is held, and it ends soon whatever is asked meanwhile', async (t) => {
  const clock = new FakeClock();
  const { bench, transfer } = await endless(t, clock);
  const socket = await transferTo(t, bench);
  let error: NodeJS.ErrnoException | undefined;
  socket.on('error', (cause) => (error = cause));
  await stalled(transfer);
  // What is on its way, in the client's own buffers, in ours, and one more.
  const held = transfer.made * PIECE;
  t.ok(held < 1024 * 1024, `${held} octets made ahead; the kernel alone would take 4 MiB`);
  for (let ms = 5000; ms < TAKE_MS; ms += 5000) {
    const asked = bench.counters.get(COUNT.TCP);
    clock.advance(5000);
    socket.write(frame(query('a.own.test')));
    await until(() => bench.counters.get(COUNT.TCP) > asked);
  }
  t.equal(transfer.over, false, 'not yet');
  clock.advance(5000);
  await until(() => transfer.over);
  t.equal(bench.counters.gauge(GAUGE.TCP_CONNECTIONS), 0);
  t.equal(bench.counters.get(COUNT.TCP_TIMEOUT), 1);
  socket.resume();
  await until(() => socket.destroyed);
  t.equal(error?.code, 'ECONNRESET', 'the kernel goes on for minutes with what a FIN would come after');
});

t.test('a few octets now and then are not enough', async (t) => {
  const clock = new FakeClock();
  const { bench, transfer } = await endless(t, clock);
  const socket = await transferTo(t, bench);
  await stalled(transfer);
  for (let i = 0; i < 4 && !transfer.over; i++) {
    await take(socket, 1000);
    for (let i = 0; i < 50; i++) await nextTurn();
    clock.advance(TAKE_MS / 3);
  }
  await until(() => transfer.over);
  t.equal(bench.counters.get(COUNT.TCP_TIMEOUT), 1);
});

t.test('a slow client gets all, however long it takes', async (t) => {
  const clock = new FakeClock();
  const { bench, transfer } = await endless(t, clock);
  const socket = await transferTo(t, bench);
  await stalled(transfer);
  for (let i = 0; i < 20; i++) {
    const { made } = transfer;
    // As much as makes the server notice: the kernel tells of room in large pieces.
    while (transfer.made < made + 3) await take(socket, 16 * 1024);
    clock.advance(TAKE_MS - 1000);
  }
  t.equal(transfer.over, false, 'after ten minutes');
  t.equal(bench.counters.get(COUNT.TCP_TIMEOUT), 0);
});

t.test('a client that is faster than what is made for it is not idle', async (t) => {
  const clock = new FakeClock();
  let next = () => {};
  const { bench, transfer } = await endless(t, clock, () => new Promise<void>((resolve) => (next = resolve)));
  const socket = await transferTo(t, bench);
  for (let i = 1; i <= 10; i++) {
    await until(() => transfer.made === i);
    clock.advance(6000);
    next();
    await take(socket, 2 + PIECE);
  }
  t.equal(bench.counters.get(COUNT.TCP_TIMEOUT), 0);
  t.equal(transfer.over, false);
});

t.test('an answer that is there at once has the same time to be taken', async (t) => {
  const clock = new FakeClock();
  const bench = await Bench.start(t, { clock });
  const text = (name: string) => ({
    ...aaaa(name, 1),
    type: TYPE.TXT,
    rdata: Buffer.concat(Array(200).fill(Buffer.alloc(256, 255))),
  });
  bench.engine.setZone(zone('own.test', [text('big.own.test')]));
  const socket = await bench.connect(t);
  socket.pause();
  const question = frame(query('big.own.test', { type: TYPE.TXT }));
  for (let i = 0; i < 200; i++) socket.write(question);
  await stalled({
    get made() {
      return bench.counters.get(COUNT.TCP);
    },
  });
  t.ok(bench.counters.get(COUNT.TCP) < 200, 'it is read no further');
  clock.advance(TAKE_MS - 1);
  t.equal(bench.counters.gauge(GAUGE.TCP_CONNECTIONS), 1);
  clock.advance(1);
  t.equal(bench.counters.gauge(GAUGE.TCP_CONNECTIONS), 0);
});
