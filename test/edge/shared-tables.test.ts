import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { CounterTable } from '../../src/core/counters.ts';
import { counterLayout, proxyWindow } from '../../src/edge/counter-layout.ts';
import { SharedTables } from '../../src/edge/shared-tables.ts';
import { poolGaugeBase } from '../../src/proxy/counters.ts';
import { PoolQueue, Queues } from '../../src/proxy/queue.ts';
import { Sources, Verdict } from '../../src/proxy/sources.ts';
import { spanOfAddress } from '../../src/proxy/span.ts';

t.test('a thread that ended has nothing in any table any more; the others have theirs', async (t) => {
  const counters = new CounterTable(counterLayout(2));
  const tables = new SharedTables(counters);
  t.equal(tables.threads, 2);
  const client = spanOfAddress(parseAddress('2001:db8::1'), 1);
  const limits = { perWindow: 0, windowMs: 1000, atOnce: 2 };
  const { start } = tables;
  t.strictSame([start.threads, start.counters], [2, counters.buffer]);
  const sides = [0, 1].map((thread) => {
    const queues = new Queues(start.queues, thread);
    const queue = new PoolQueue(queues, 3, proxyWindow(counters.stripe(thread)));
    return { sources: new Sources(start.sources, thread), queues, queue };
  });
  t.teardown(() => {
    for (const { queues } of sides) queues.close();
  });
  const waiting = sides.map(() => ({ proceed: () => undefined }));
  for (const [thread, { sources, queue }] of sides.entries()) {
    t.ok(sources.enter(0, client, limits, 5000) >= 0);
    t.ok(queue.push(waiting[thread]!, 10));
  }
  t.equal(sides[1]!.sources.enter(0, client, limits, 5000), Verdict.tooMany, 'threads count together');
  t.equal(tables.listSources(5000)[0]?.sessions, 2);
  t.ok(sides[1]!.queue.isBehind(waiting[1]!), 'the other waits longer');
  tables.release(0);
  t.equal(tables.listSources(5000)[0]?.sessions, 1);
  t.equal(counters.gauge(poolGaugeBase(3)), 1);
  t.notOk(sides[1]!.queue.isBehind(waiting[1]!), 'nobody is before it any more');
});

t.test('a thread that starts is told how many changes its zones have', async (t) => {
  const tables = new SharedTables(new CounterTable(counterLayout(1)));
  t.equal(tables.start.commit, 0);
  tables.commits.publish();
  t.strictSame([tables.start.commit, tables.start.commits], [1, tables.commits.buffer]);
});
