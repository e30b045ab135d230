import t from 'tap';
import { FakeClock } from '../../../src/core/clock.ts';
import { RequestRate } from '../../../src/edge/admin/rate.ts';

/** How many of `count` requests get through. */
function let_(rate: RequestRate, client: string, count: number): number {
  let through = 0;
  for (let i = 0; i < count; i++) {
    try {
      rate.take(client);
      through++;
    } catch (error) {
      t.match(error, { status: 429, headers: { 'retry-after': '1' } });
    }
  }
  return through;
}

t.test('a burst, then so many a second, each client for itself', (t) => {
  const clock = new FakeClock();
  const rate = new RequestRate(clock);
  t.equal(let_(rate, 'a', 1000), 200);
  t.equal(let_(rate, 'b', 10), 10, 'another client');
  clock.advance(1000);
  t.equal(let_(rate, 'a', 1000), 50);
  clock.advance(60_000);
  t.equal(let_(rate, 'a', 1000), 200, 'no more than the burst is saved up');
  t.end();
});

t.test('a wrong token costs ten', (t) => {
  const clock = new FakeClock();
  const rate = new RequestRate(clock);
  let guesses = 0;
  for (; let_(rate, 'a', 1) === 1; guesses++) rate.punish('a');
  t.equal(guesses, 20);
  clock.advance(1000);
  for (guesses = 0; let_(rate, 'a', 1) === 1; guesses++) rate.punish('a');
  t.ok(guesses <= 5, 'five a second then');
  t.end();
});

t.test('a flood of clients takes no more than its memory', (t) => {
  const clock = new FakeClock();
  const rate = new RequestRate(clock);
  t.equal(let_(rate, 'a', 1000), 200);
  for (let i = 0; i < 999; i++) rate.take(`2001:db8::${i}`);
  t.equal(let_(rate, 'a', 1), 0, 'still known');
  for (let i = 0; i < 1000; i++) rate.take(`2001:db8:1::${i}`);
  t.equal(let_(rate, 'a', 1), 1, 'forgotten, as unheard of for longest');
  t.end();
});
