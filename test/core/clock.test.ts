import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { FakeClock, systemClock } from '../../src/core/clock.ts';

t.test('FakeClock runs timers in the order of their times, at their own times', (t) => {
  const clock = new FakeClock(Date.UTC(2026, 5, 1));
  const start = clock.now();
  const seen: [string, number][] = [];
  const note = (name: string) => () => seen.push([name, clock.now() - start]);
  clock.after(30, note('c'));
  clock.after(10, note('a'));
  clock.after(20, note('b1'));
  clock.after(20, note('b2'));
  clock.after(-5, note('now'));
  t.equal(clock.pending, 5);
  t.equal(clock.next, 0);
  t.strictSame(seen, [], 'nothing runs before time moves');
  clock.advance(0);
  t.strictSame(seen, [['now', 0]]);
  clock.advance(19);
  t.equal(clock.next, 1);
  clock.advance(100);
  t.strictSame(seen.slice(1), [
    ['a', 10],
    ['b1', 20],
    ['b2', 20],
    ['c', 30],
  ]);
  t.equal(clock.now() - start, 119);
  t.equal(clock.wall(), Date.UTC(2026, 5, 1) + 119);
  t.equal(clock.next, undefined);
  t.end();
});

t.test('FakeClock: timers that set and cancel timers', (t) => {
  const clock = new FakeClock();
  const start = clock.now();
  const seen: number[] = [];
  let count = 0;
  const again = () => {
    seen.push(clock.now() - start);
    if (++count < 4) clock.after(10, again);
  };
  clock.after(10, again);
  const cancelled = clock.after(25, () => t.fail('was cancelled'));
  clock.after(15, () => cancelled.cancel());
  cancelled.cancel();
  cancelled.cancel();
  clock.advance(35);
  t.strictSame(seen, [10, 20, 30], 'those set on the way run when due on the way');
  clock.advance(5);
  t.strictSame(seen, [10, 20, 30, 40]);
  const late = clock.after(1, () => {});
  clock.advance(1);
  late.cancel();
  t.equal(clock.pending, 0, 'cancel after it ran does nothing');
  t.end();
});

t.test('the system clock', async (t) => {
  const before = systemClock.now();
  t.ok(Math.abs(systemClock.wall() - Date.now()) < 1000);
  t.ok(systemClock.now() >= before);
  systemClock.after(1, () => t.fail('was cancelled')).cancel();
  const order: string[] = [];
  // Unreferenced timers need something else that keeps the process running.
  const awake = setInterval(() => {}, 1000);
  await new Promise<void>((done) => {
    systemClock.after(5, () => {
      order.push('5');
      done();
    });
    systemClock.after(-1, () => order.push('at once'));
  });
  clearInterval(awake);
  t.strictSame(order, ['at once', '5']);
});

t.test('a delay beyond what a Node timer holds is waited for, not cut to a millisecond', async (t) => {
  // setTimeout takes 32 bits: a day-long lifetime times thirty overflows it and would fire at once.
  let fired = false;
  const timer = systemClock.after(30 * 86_400_000, () => {
    fired = true;
  });
  const awake = setInterval(() => {}, 1000);
  await new Promise((done) => setTimeout(done, 20));
  clearInterval(awake);
  t.equal(fired, false);
  timer.cancel();
});

t.test('a timer does not keep a thread alive', async (t) => {
  const clock = new URL('../../src/core/clock.ts', import.meta.url).href;
  const worker = new Worker(
    `import(${JSON.stringify(clock)}).then(({ systemClock }) => systemClock.after(3.6e6, () => {}))`,
    {
      eval: true,
    },
  );
  const [code] = await once(worker, 'exit');
  t.equal(code, 0);
});
