import { Worker } from 'node:worker_threads';
import t from 'tap';
import { CounterTable } from '../../src/core/counters.ts';
import { poolGaugeBase, poolSlots, proxyCounters, proxyGauges } from '../../src/proxy/counters.ts';
import { newQueueTable, PoolQueue, Queues, releaseQueues } from '../../src/proxy/queue.ts';
import { until } from './harness.ts';

/** A pool's members over all threads: so many places. */
class Places {
  free: number;
  readonly served: string[] = [];
  constructor(free: number) {
    this.free = free;
  }
}

/** So many threads of one process, each with a queue of the same pool. */
function stage(threads: number, places: number) {
  const table = new CounterTable({ threads, counters: proxyCounters, gauges: proxyGauges });
  const buffer = newQueueTable(threads);
  const shared = new Places(places);
  const sides = Array.from({ length: threads }, (_, thread) => {
    const queues = new Queues(buffer, thread);
    const queue = new PoolQueue(queues, 3, table.stripe(thread));
    /** Waits under the name, and is served as a session would be. */
    const join = (name: string, limit = 100) => {
      const session = {
        tries: 0,
        proceed() {
          session.tries++;
          if (queue.isBehind(session) || shared.free === 0) return;
          shared.free--;
          queue.remove(session);
          shared.served.push(name);
        },
      };
      return queue.push(session, limit) ? session : undefined;
    };
    const give = () => {
      shared.free++;
      queue.offer();
    };
    return { queues, queue, join, give };
  });
  const close = () => {
    for (const { queues } of sides) queues.close();
  };
  return { table, buffer, shared, sides, close };
}

t.test('one order over all threads, whoever gives places back', async (t) => {
  const { shared, sides, close } = stage(3, 0);
  const names = Array.from({ length: 30 }, (_, i) => `s${i}`);
  for (const [i, name] of names.entries()) sides[(i * 7) % 3]!.join(name);
  t.equal(sides[0]!.queue.length, 30);
  for (let i = 0; i < 30; i++) {
    sides[i % 2]!.give();
    await until(() => shared.served.length === i + 1, `session ${i}`);
  }
  t.strictSame(shared.served, names);
  t.equal(sides[2]!.queue.length, 0);
  close();
});

t.test('several places at once: each thread passes on what it does not need', async (t) => {
  const { shared, sides, close } = stage(2, 0);
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  for (const [i, name] of names.entries()) sides[i % 2]!.join(name);
  // As when a member with four places comes up, and thread 1 alone has heard of it.
  shared.free = 4;
  sides[1]!.queue.wake();
  await until(() => shared.served.length === 4, 'all four');
  t.strictSame(shared.served, names.slice(0, 4));
  t.equal(sides[0]!.queue.length, 2);
  close();
});

t.test('newcomers stand behind those of other threads', (t) => {
  const { sides, close } = stage(2, 1);
  const waiting = sides[0]!.join('first')!;
  const next = sides[1]!.join('second')!;
  const newcomer = { proceed() {} };
  t.equal(sides[0]!.queue.isBehind(waiting), false);
  t.equal(sides[0]!.queue.isBehind(newcomer), true);
  t.equal(sides[1]!.queue.isBehind(next), true);
  t.equal(sides[1]!.queue.isBehind(newcomer), true);
  sides[0]!.queue.remove(waiting);
  t.equal(sides[1]!.queue.isBehind(next), false);
  sides[1]!.queue.remove(next);
  sides[1]!.queue.remove(next);
  t.equal(sides[0]!.queue.isBehind(newcomer), false);
  close();
  t.end();
});

t.test('the length is kept over all threads', (t) => {
  const { sides, close } = stage(2, 0);
  t.ok(sides[0]!.join('a', 3));
  t.ok(sides[1]!.join('b', 3));
  const last = sides[0]!.join('c', 3)!;
  t.equal(sides[0]!.join('d', 3), undefined);
  t.equal(sides[1]!.join('e', 3), undefined);
  t.equal(sides[1]!.queue.length, 3);
  sides[0]!.queue.remove(last);
  t.ok(sides[1]!.join('f', 3));
  t.equal(sides[1]!.join('g', 0), undefined, 'no queue at all');
  close();
  t.end();
});

t.test('a thread that ends holds nobody up', async (t) => {
  const { table, buffer, shared, sides, close } = stage(2, 0);
  sides[0]!.join('lost');
  sides[1]!.join('kept');
  // The session of thread 0 is gone with it.
  sides[0]!.queues.close();
  table.release(0);
  releaseQueues(buffer, 0);
  t.equal(sides[1]!.queue.length, 1);
  sides[1]!.give();
  await until(() => shared.served.length === 1, 'the other one');
  t.strictSame(shared.served, ['kept']);
  close();
});

t.test('numbers go round', async (t) => {
  const { buffer, shared, sides, close } = stage(2, 0);
  // Two below the end: the third drawn would be 0, which says that nobody waits, and is left out.
  new Int32Array(buffer)[3] = -3;
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const [i, name] of names.entries()) sides[i % 2]!.join(name);
  for (let i = 0; i < names.length; i++) {
    sides[0]!.give();
    await until(() => shared.served.length === i + 1, names[i]!);
  }
  t.strictSame(shared.served, names);
  close();
});

t.test('pools do not meet, the last one too', (t) => {
  const table = new CounterTable({ threads: 2, counters: proxyCounters, gauges: proxyGauges });
  const buffer = newQueueTable(2);
  const queues = new Queues(buffer, 1);
  const first = new PoolQueue(queues, 0, table.stripe(1));
  const last = new PoolQueue(queues, poolSlots - 1, table.stripe(1));
  const waiting = { proceed() {} };
  t.ok(last.push(waiting, 1));
  t.equal(first.length, 0);
  t.equal(first.isBehind({ proceed() {} }), false);
  t.equal(last.isBehind({ proceed() {} }), true);
  last.remove(waiting);
  queues.close();
  t.end();
});

t.test('a worker thread that sleeps is woken, and ends although it watches', async (t) => {
  const table = new CounterTable({ threads: 2, counters: proxyCounters, gauges: proxyGauges });
  const buffer = newQueueTable(2);
  const program = `
    const { workerData, parentPort } = require('node:worker_threads');
    Promise.all([import(workerData.queue), import(workerData.counters)]).then(([{ Queues, PoolQueue }, { CounterTable }]) => {
      const table = new CounterTable(workerData.layout, workerData.gauges);
      const queue = new PoolQueue(new Queues(workerData.buffer, 1), 3, table.stripe(1));
      const session = { proceed() { if (workerData.free[0] > 0) { queue.remove(session); parentPort.postMessage('served'); } } };
      queue.push(session, 2);
      queue.push({ proceed() {} }, 2);
      parentPort.postMessage('waits');
      parentPort.once('message', () => parentPort.close());
    });`;
  const free = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(program, {
    eval: true,
    workerData: {
      buffer,
      gauges: table.buffer,
      layout: table.layout,
      free,
      queue: new URL('../../src/proxy/queue.ts', import.meta.url).href,
      counters: new URL('../../src/core/counters.ts', import.meta.url).href,
    },
  });
  const said: string[] = [];
  worker.on('message', (text) => said.push(text));
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  await until(() => said.includes('waits'), 'the worker');
  free[0] = 1;
  new PoolQueue(new Queues(buffer, 0), 3, table.stripe(0)).offer();
  await until(() => said.includes('served'), 'its session');
  t.equal(table.gauge(poolGaugeBase(3)), 1, 'the other one still waits');
  worker.postMessage('end');
  t.equal(await ended, 0);
});
