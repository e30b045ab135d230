import t from 'tap';
import { CounterTable } from '../../src/core/counters.ts';
import { counterLayout } from '../../src/edge/counter-layout.ts';
import { memberSessions, proxySlots } from '../../src/edge/proxy-slots.ts';
import {
  listenerCounterBase,
  listenerCounterSpecs,
  listenerGaugeBase,
  listenerSlots,
  memberCounterBase,
  memberCounterSpecs,
  memberGaugeBase,
  memberSlots,
  poolGaugeBase,
  poolSlots,
} from '../../src/proxy/counters.ts';

const cases = [
  {
    name: 'memberSlots',
    capacity: memberSlots,
    gauge: memberGaugeBase,
    counters: memberCounterBase,
    count: memberCounterSpecs.length,
  },
  {
    name: 'listenerSlots',
    capacity: listenerSlots,
    gauge: listenerGaugeBase,
    counters: listenerCounterBase,
    count: listenerCounterSpecs.length,
  },
  { name: 'poolSlots', capacity: poolSlots, gauge: poolGaugeBase, counters: () => 0, count: 0 },
] as const;

for (const { name, capacity, gauge, counters, count } of cases) {
  t.test(`${name}: busy while any thread counts there, and cleared alone`, async (t) => {
    const table = new CounterTable(counterLayout(2));
    const use = proxySlots(table)[name];
    t.equal(use.capacity, capacity);
    const last = capacity - 1;
    t.equal(use.busy?.(last), false);
    table.stripe(1).gaugeAdd(gauge(last), 1);
    t.equal(use.busy?.(last), true);
    t.equal(use.busy?.(last - 1), false);
    table.stripe(1).gaugeAdd(gauge(last), -1);
    t.equal(use.busy?.(last), false);
    if (count === 0) return;
    const from = counters(last);
    const stripes = [table.stripe(0), table.stripe(1)];
    for (const stripe of stripes) for (let i = from - 1; i <= from + count; i++) stripe.add(i, 7);
    use.clear?.(last);
    for (let i = from; i < from + count; i++) t.equal(table.counter(i), 0);
    t.strictSame([table.counter(from - 1), table.counter(from + count)], [14, 14], 'its neighbours stay');
  });
}

t.test('sessions of a member, over all threads', async (t) => {
  const table = new CounterTable(counterLayout(2));
  table.stripe(0).gaugeAdd(memberGaugeBase(5), 2);
  table.stripe(1).gaugeAdd(memberGaugeBase(5), 3);
  t.strictSame([memberSessions(table, 5), memberSessions(table, 6)], [5, 0]);
});
