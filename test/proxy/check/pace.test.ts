import t from 'tap';
import { FakeClock } from '../../../src/core/clock.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import { Pace } from '../../../src/proxy/check/pace.ts';

const delays = (pace: Pace, count: number, longestMs = 2000) =>
  Array.from({ length: count }, () => pace.next(longestMs));

t.test('the first are at once, the others one by one, not in step', (t) => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const told = delays(new Pace({ clock: new FakeClock(), random: new SeededRandom(seed) }), 100);
    t.ok(told.filter((ms) => ms === 0).length >= 3, `seed ${seed}: some at once`);
    t.ok(told.filter((ms) => ms === 0).length <= 7);
    t.ok(told.at(-1)! > 700 && told.at(-1)! < 1200, `the last after ${told.at(-1)} ms`);
    const gaps = told.slice(7).map((ms, i) => ms - (told[i + 6] ?? 0));
    t.ok(
      gaps.every((gap) => gap >= 5 && gap < 15),
      `from ${Math.min(...gaps)} to ${Math.max(...gaps)} ms apart`,
    );
    t.ok(new Set(gaps).size > 80);
  }
  t.end();
});

t.test('a single one now and then is never late', (t) => {
  const clock = new FakeClock();
  const pace = new Pace({ clock, random: new SeededRandom(1) });
  for (let i = 0; i < 50; i++) {
    t.strictSame(delays(pace, 2), [0, 0]);
    clock.advance(100);
  }
  t.end();
});

t.test('none is later than told, and those after a crowd are at once again', (t) => {
  const clock = new FakeClock();
  const pace = new Pace({ clock, random: new SeededRandom(1) });
  t.equal(Math.max(...delays(pace, 1000, 500)), 500);
  clock.advance(20_000);
  t.strictSame(delays(pace, 2), [0, 0]);
  t.end();
});
