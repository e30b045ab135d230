import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { CounterStripe, CounterTable, counterBytes } from '../../src/core/counters.ts';

t.test('threads write their own stripe; the table sums', (t) => {
  const table = new CounterTable({ threads: 3, counters: 4, gauges: 2 });
  t.equal(table.buffer.byteLength, counterBytes(table.layout));
  t.equal(counterBytes(table.layout), 3 * 4 * 8 + (3 + 1) * 2 * 4);
  const [a, b, c] = [table.stripe(0), table.stripe(1), table.stripe(2)];
  a.add(0);
  b.add(0, 10);
  c.add(3, 2 ** 40);
  t.strictSame(
    [0, 1, 2, 3].map((i) => table.counter(i)),
    [11, 0, 0, 2 ** 40],
  );
  t.strictSame(
    [0, 1, 2].map((thread) => table.counterOf(thread, 0)),
    [1, 10, 0],
  );
  t.equal(a.get(0), 1);
  t.equal(b.gaugeAdd(1, 5), 0, 'the total before');
  t.equal(c.gaugeAdd(1, 2), 5, 'over all threads');
  t.strictSame([a.gauge(1), table.gauge(1), table.gauge(0)], [7, 7, 0]);
  t.equal(a.gaugeAdd(1, -1), 7);
  t.equal(table.gauge(1), 6);
  t.end();
});

t.test('a gauge with a limit', (t) => {
  const table = new CounterTable({ threads: 2, counters: 1, gauges: 2 });
  const [a, b] = [table.stripe(0), table.stripe(1)];
  t.strictSame(
    [a, b, a, b].map((stripe) => stripe.gaugeTake(1, 3)),
    [true, true, true, false],
  );
  t.equal(table.gauge(1), 3, 'who got nothing left nothing');
  t.equal(a.gaugeTake(1, 0), false);
  t.equal(a.gaugeTake(1, 2), false, 'a limit that is lower now');
  table.release(0);
  t.equal(table.gauge(1), 1);
  t.equal(b.gaugeTake(1, 2), true);
  t.equal(table.gauge(0), 0);
  t.end();
});

t.test('another table on the same buffer sees the same', (t) => {
  const table = new CounterTable({ threads: 2, counters: 1, gauges: 1 });
  const other = new CounterTable(table.layout, table.buffer);
  other.stripe(1).add(0, 3);
  other.stripe(1).gaugeAdd(0, 4);
  t.strictSame([table.counter(0), table.gauge(0)], [3, 4]);
  t.end();
});

t.test("release takes a dead thread's gauges out and leaves its counters", (t) => {
  const table = new CounterTable({ threads: 2, counters: 1, gauges: 2 });
  const [a, b] = [table.stripe(0), table.stripe(1)];
  a.gaugeAdd(0, 5);
  b.gaugeAdd(0, 2);
  a.gaugeAdd(1, 1);
  a.add(0, 9);
  table.release(0);
  t.strictSame([table.gauge(0), table.gauge(1), table.counter(0)], [2, 0, 9]);
  table.release(0);
  t.equal(table.gauge(0), 2, 'twice is once');
  table.stripe(0).gaugeAdd(0, 1);
  t.equal(table.gauge(0), 3, 'its successor begins at zero');
  t.end();
});

t.test('clear zeroes a slot in every stripe and nothing beside it', (t) => {
  const table = new CounterTable({ threads: 2, counters: 4, gauges: 0 });
  for (let thread = 0; thread < 2; thread++) for (let i = 0; i < 4; i++) table.stripe(thread).add(i, i + 1);
  table.clear(1, 2);
  t.strictSame(
    [0, 1, 2, 3].map((i) => table.counter(i)),
    [2, 0, 0, 8],
  );
  t.end();
});

t.test('windows are indexed from zero and share memory with the stripe', (t) => {
  const table = new CounterTable({ threads: 2, counters: 6, gauges: 4 });
  const window = table.stripe(1).window(2, 3, 1, 2);
  t.equal(window.counters.length, 3);
  window.add(0);
  window.gaugeAdd(1, 7);
  t.strictSame([table.counterOf(1, 2), table.gauge(2), window.gauge(1)], [1, 7, 7]);
  table.release(1);
  t.equal(table.gauge(2), 0);
  const alone = CounterStripe.alone(1, 1);
  alone.add(0, 2);
  alone.gaugeAdd(0, 3);
  t.strictSame([alone.get(0), alone.gauge(0)], [2, 3]);
  t.end();
});

t.test('gauges are exact when threads count at the same time', async (t) => {
  const table = new CounterTable({ threads: 3, counters: 1, gauges: 1 });
  const module = new URL('../../src/core/counters.ts', import.meta.url).href;
  const program = `
    const { workerData } = require('node:worker_threads');
    import(${JSON.stringify(module)}).then(({ CounterTable }) => {
      const stripe = new CounterTable(workerData.layout, workerData.buffer).stripe(workerData.thread);
      for (let i = 0; i < 100000; i++) { stripe.add(0); stripe.gaugeAdd(0, 1); if (i % 2) stripe.gaugeAdd(0, -1); }
    });`;
  const workers = [0, 1, 2].map(
    (thread) => new Worker(program, { eval: true, workerData: { layout: table.layout, buffer: table.buffer, thread } }),
  );
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  t.equal(table.counter(0), 300_000);
  t.equal(table.gauge(0), 150_000);
  table.release(0);
  table.release(2);
  t.equal(table.gauge(0), 50_000, 'what a thread has left is what it did not take back');
});
