import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mock } from 'node:test';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { processSettling, settle, settleInTime, threadSettling } from '../../src/edge/settle.ts';
import { libcCall } from '../../src/linux/libc.ts';

/** Something that only a collection takes away: it has outlived the young generation. */
function garbage(): WeakRef<object> {
  return new WeakRef(Array.from({ length: 100_000 }, (_, i) => ({ i })));
}

t.test('what nothing refers to is collected at once', async (t) => {
  const left = garbage();
  // A WeakRef holds its target until the job that made it has ended (ECMAScript, KeepDuringJob).
  await new Promise(setImmediate);
  settle();
  t.equal(left.deref(), undefined);
});

t.test('after a moment, and again in a quiet minute behind work', (t) => {
  const clock = new FakeClock();
  let cpuMicros = 5_000_000;
  let count = 0;
  const timer = settleInTime(clock, {
    afterMs: 2_000,
    cpuMicros: () => cpuMicros,
    heapOctets: () => 10_000_000,
    settle: () => count++,
  });
  clock.advance(1_999);
  t.equal(count, 0);
  clock.advance(1);
  t.equal(count, 1, 'after the moment');
  const minute = (micros: number) => {
    cpuMicros += micros;
    clock.advance(60_000);
    return count;
  };
  t.equal(minute(600_000), 1, 'no quiet minute yet');
  t.equal(minute(10_000), 2, 'the first');
  t.equal(minute(10_000), 2, 'nothing was done');
  t.equal(minute(50_000_000), 2, 'under load');
  t.equal(minute(600_000), 2, 'at the edge of it');
  t.equal(minute(599_999), 3, 'quiet');
  t.equal(minute(0), 3, 'once');
  t.equal(minute(500_000), 3, 'a little');
  t.equal(minute(499_999), 3, 'all in all less than is worth it');
  t.equal(minute(1), 4, 'a little often is work too');
  timer.cancel();
  t.equal(minute(50_000_000), 4);
  t.equal(minute(0), 4, 'cancelled');
  t.equal(clock.pending, 0);
  t.end();
});

t.test('behind less work when the heap has grown by it', (t) => {
  const clock = new FakeClock();
  const mebi = 1024 * 1024;
  let cpuMicros = 0;
  let heapOctets = 40 * mebi;
  let count = 0;
  // What is live stays: it is not counted as growth again.
  const live = 12 * mebi;
  const settling = { afterMs: 2_000, cpuMicros: () => cpuMicros, heapOctets: () => heapOctets };
  settleInTime(clock, {
    ...settling,
    settle() {
      count++;
      heapOctets = live;
    },
  });
  clock.advance(2_000);
  const minute = (micros: number, octets: number) => {
    cpuMicros += micros;
    heapOctets += octets;
    clock.advance(60_000);
    return count;
  };
  t.equal(minute(0, 0), 2, 'the first quiet minute');
  t.equal(minute(0, 8 * mebi), 2, 'grown, by no work to speak of');
  t.equal(minute(199_999, 0), 2);
  t.equal(minute(1, 0), 3, 'work enough');
  t.equal(minute(300_000, 4 * mebi - 1), 3, 'grown too little');
  t.equal(minute(0, 1), 4, 'enough');
  t.equal(minute(600_000, 100 * mebi), 4, 'not under load');
  t.equal(minute(0, 0), 5, 'but behind it');
  t.equal(minute(500_000, -mebi), 5, 'grown less');
  t.end();
});

t.test('cancelled before the first time', (t) => {
  const clock = new FakeClock();
  settleInTime(clock, { ...threadSettling, settle: () => t.fail('settles') }).cancel();
  clock.advance(200_000);
  t.equal(clock.pending, 0);
  t.end();
});

t.test('what a thread and a process used', (t) => {
  const before = [threadSettling.cpuMicros(), processSettling.cpuMicros()] as const;
  const from = performance.now();
  while (performance.now() - from < 30);
  t.ok(threadSettling.cpuMicros() > before[0], 'the thread');
  t.ok(processSettling.cpuMicros() > before[1], 'the process');
  const heapBefore = threadSettling.heapOctets();
  const many = Array.from({ length: 1_000_000 }, (_, i) => ({ i }));
  const grown = threadSettling.heapOctets() - heapBefore;
  t.ok(grown > many.length * 24, `the heap: ${grown} octets`);
  t.ok(processSettling.afterMs > threadSettling.afterMs, 'the process comes behind its threads');
  t.end();
});

t.test('the process gives its program back and goes on', async (t) => {
  const left = garbage();
  await new Promise(setImmediate);
  processSettling.settle();
  t.equal(left.deref(), undefined);
  t.match(readFileSync('/proc/self/smaps', 'latin1'), /^VmFlags:/m);
});

t.test('what comes free behind it goes back, too', (t) => {
  const malloc = libcCall<(size: number) => number>('uintptr_t malloc(size_t size)');
  const free = libcCall<(address: number) => number>('void free(uintptr_t address)');
  const fill = libcCall<(address: number, byte: number, size: number) => number>(
    'uintptr_t memset(uintptr_t address, int byte, size_t size)',
  );
  const blocks = Array.from({ length: 16_000 }, () => {
    const block = malloc(4000);
    fill(block, 1, 4000);
    return block;
  });
  // It holds the end of the heap, which malloc gives back by itself otherwise.
  const last = blocks.pop()!;
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  processSettling.settle();
  for (const block of blocks) free(block);
  const before = process.memoryUsage().rss;
  mock.timers.tick(8_500);
  const given = before - process.memoryUsage().rss;
  free(last);
  t.ok(given > 40_000_000, `${given} octets of 64,000,000`);
  t.end();
});

t.test('the collector is in nobody else’s hands afterwards', (t) => {
  settle();
  t.notOk('gc' in globalThis);
  t.end();
});

t.test('all threads at the same moment, over and over', async (t) => {
  const module = new URL('../../src/edge/settle.ts', import.meta.url).href;
  const script = `import(${JSON.stringify(module)}).then(({ settle }) => { for (let i = 0; i < 60; i++) settle(); });`;
  const threads = Array.from({ length: 6 }, () => new Worker(script, { eval: true, execArgv: [] }));
  // A collector that another thread takes away is an exception, and would end the daemon.
  const ends = await Promise.allSettled(threads.map((thread) => once(thread, 'exit')));
  t.strictSame(
    ends.map(({ status }) => status),
    threads.map(() => 'fulfilled'),
  );
});
