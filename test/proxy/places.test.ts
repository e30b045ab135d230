/**
 * Places at members and in the queue, over real threads: random scripts of sessions that come, wait, give up and end, while limits
 * and states change under them. `V6EDGE_PLACES_RUNS` has more scripts run than the few that do by default.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { CounterTable } from '../../src/core/counters.ts';
import { memberGaugeBase, poolGaugeBase, proxyCounters, proxyGauges } from '../../src/proxy/counters.ts';
import { newQueueTable } from '../../src/proxy/queue.ts';
import { memberCount, type PlacesSetting } from './places.ts';

const runs = Number(process.env.V6EDGE_PLACES_RUNS ?? 3);
const program = new URL('./places-worker.ts', import.meta.url);

t.test(
  'never more than a member takes, nobody waits beside a free place, and nothing is left in the end',
  async (t) => {
    for (let seed = 1; seed <= runs; seed++) {
      const layout = { threads: 2 + (seed % 2), counters: proxyCounters, gauges: proxyGauges };
      const table = new CounterTable(layout);
      const setting: Omit<PlacesSetting, 'thread'> = {
        seed,
        steps: 20_000,
        layout,
        counters: table.buffer,
        queues: newQueueTable(layout.threads),
        shared: new SharedArrayBuffer(4 * (memberCount + 1)),
      };
      const said = await Promise.all(
        Array.from({ length: layout.threads }, async (_, thread) => {
          const worker = new Worker(program, { workerData: { ...setting, thread }, execArgv: [] });
          const exited = once(worker, 'exit');
          const [text] = (await once(worker, 'message')) as [string];
          await exited;
          return text;
        }),
      );
      t.strictSame(said, Array(layout.threads).fill('done'), `seed ${seed}`);
      const left = Array.from({ length: memberCount }, (_, slot) => table.gauge(memberGaugeBase(slot)));
      t.strictSame(
        [...left, table.gauge(poolGaugeBase(0))],
        Array(memberCount + 1).fill(0),
        `seed ${seed}: all given back`,
      );
    }
  },
);
