import fc from 'fast-check';
import t from 'tap';
import { SlotAllocator } from '../../../src/proxy/control/slots.ts';

t.test('no slot is left', (t) => {
  const slots = new SlotAllocator('member', { capacity: 2 });
  t.doesNotThrow(() => slots.require(2));
  t.throws(() => slots.require(3), { code: 'V6_PROXY_SLOTS' });
  t.strictSame([slots.take(), slots.take()], [0, 1]);
  t.throws(() => slots.take(), { code: 'V6_PROXY_SLOTS', message: 'there is room for 2 members, and all are in use' });
  t.doesNotThrow(() => slots.require(0));
  slots.free(0);
  t.equal(slots.take(), 0);
  t.end();
});

t.test('a slot whose last sessions still count gets no new owner', (t) => {
  const busy = new Set([0]);
  const cleared: number[] = [];
  const slots = new SlotAllocator('member', {
    capacity: 2,
    busy: (slot) => busy.has(slot),
    clear: (slot) => cleared.push(slot),
  });
  slots.take();
  slots.take();
  slots.free(0);
  t.throws(() => slots.require(1), { code: 'V6_PROXY_SLOTS' });
  t.throws(() => slots.take(), { code: 'V6_PROXY_SLOTS' });
  slots.free(1);
  t.equal(slots.take(), 1);
  busy.clear();
  t.equal(slots.take(), 0);
  t.strictSame(cleared, [0, 1, 1, 0], 'each owner starts from zero');
  t.end();
});

t.test('the slot freed longest ago comes first', (t) => {
  const slots = new SlotAllocator('member', { capacity: 3 });
  for (let i = 0; i < 3; i++) slots.take();
  for (const slot of [2, 0, 1]) slots.free(slot);
  t.strictSame([slots.take(), slots.take(), slots.take()], [2, 0, 1]);
  t.end();
});

t.test('any sequence: no slot has two owners, none is beyond the capacity', (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { maxLength: 200 }), (orders) => {
      const slots = new SlotAllocator('member', { capacity: 5 });
      const owned: number[] = [];
      for (const order of orders) {
        if (order < 5 && owned.length < 5) owned.push(slots.take());
        else if (owned.length > 0) slots.free(owned.splice(order % owned.length, 1)[0]!);
        if (new Set(owned).size !== owned.length || owned.some((slot) => slot >= 5)) throw new Error(`${owned}`);
      }
    }),
    { seed: 2002, numRuns: 300 },
  );
  t.end();
});
