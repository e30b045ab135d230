import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { MulticastSchedule } from '../../src/ra/schedule.ts';
import { fixedRandom } from './support.ts';

/** A schedule whose sends succeed, and the times of these. */
function running(fraction = 0.5, interval = { minMs: 200_000, maxMs: 600_000 }) {
  const clock = new FakeClock();
  const start = clock.now();
  const times: number[] = [];
  const schedule = new MulticastSchedule(clock, fixedRandom(fraction), interval, () => {
    times.push(clock.now() - start);
    schedule.sent();
  });
  return { clock, schedule, times };
}

t.test('initial burst, then the middle of the interval', (t) => {
  const { clock, schedule, times } = running();
  schedule.begin();
  clock.advance(900_000);
  t.strictSame(times, [0, 16_000, 32_000, 432_000, 832_000]);
  t.end();
});

t.test('an interval shorter than 16 s is kept in the burst too', (t) => {
  const { clock, schedule, times } = running(0, { minMs: 5_000, maxMs: 10_000 });
  schedule.begin();
  clock.advance(20_000);
  t.strictSame(times, [0, 5_000, 10_000, 15_000, 20_000]);
  t.end();
});

t.test('a wish brings the next one forward, never back, never too close', (t) => {
  const { clock, schedule, times } = running();
  schedule.begin();
  clock.advance(1_000);
  schedule.within(500);
  t.equal(schedule.nextInMs, 2_500, '3 s after the one before, and the delay');
  schedule.within(0);
  t.equal(schedule.nextInMs, 2_000);
  schedule.within(400);
  t.equal(schedule.nextInMs, 2_000, 'a later wish changes nothing');
  clock.advance(2_000);
  t.strictSame(times, [0, 3_000]);
  t.equal(schedule.nextInMs, 16_000, 'the interval begins anew');
  t.end();
});

t.test('stop ends it, begin starts it again', (t) => {
  const { clock, schedule, times } = running();
  schedule.begin();
  clock.advance(10_000);
  schedule.stop();
  t.equal(schedule.nextInMs, undefined);
  t.equal(clock.pending, 0);
  clock.advance(1_000_000);
  schedule.begin();
  clock.advance(16_000);
  t.strictSame(times, [0, 1_010_000, 1_026_000]);
  t.end();
});
