import t from 'tap';
import { FakeClock } from '../../../src/core/clock.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import type { CheckResult, CheckTarget } from '../../../src/proxy/check/result.ts';
import { CheckSchedule } from '../../../src/proxy/check/schedule.ts';

const target: CheckTarget = {
  type: 'tcp',
  address: '::1',
  port: 1,
  timeoutMs: 1000,
  proxyProtocol: 'none',
  method: 'GET',
  path: '/',
  host: undefined,
  expect: [200],
  sni: undefined,
  verify: false,
  ca: undefined,
  steps: [],
};
const good: CheckResult = { ok: true, code: 'L4OK', reason: 'connected', durationMs: 0 };

/** A schedule of 2 s whose checks end when `finish` is called, or after `takesMs`. */
function setUp(takesMs?: number) {
  let interval = 2000;
  const clock = new FakeClock();
  const starts: number[] = [];
  const begin = clock.now();
  let cancelled = 0;
  let results = 0;
  let finish = () => {};
  const schedule = new CheckSchedule(
    {
      clock,
      random: new SeededRandom(7),
      onResult: () => results++,
      intervalMs: () => interval,
      probe: (_target, _clock, done) => {
        starts.push(clock.now() - begin);
        finish = () => done(good);
        if (takesMs !== undefined) clock.after(takesMs, finish);
        return { cancel: () => cancelled++ };
      },
    },
    target,
  );
  const setInterval = (ms: number) => {
    interval = ms;
  };
  return {
    clock,
    starts,
    schedule,
    setInterval,
    finish: () => finish(),
    results: () => results,
    cancelled: () => cancelled,
  };
}

t.test('the first check runs at once, the others every interval, give or take a tenth', (t) => {
  const { clock, starts, schedule } = setUp(50);
  schedule.start();
  t.strictSame(starts, [0]);
  clock.advance(400_000);
  const gaps = starts.slice(1).map((at, i) => at - starts[i]!);
  t.ok(gaps.length > 180, `${gaps.length} checks`);
  t.ok(Math.min(...gaps) >= 1800 && Math.max(...gaps) <= 2200, 'within 10 %');
  t.ok(Math.min(...gaps) < 1850 && Math.max(...gaps) > 2150, 'and spread over it');
  t.end();
});

t.test('one check at a time: the next waits for a slow one', (t) => {
  const { clock, starts, schedule, finish, results } = setUp();
  schedule.start();
  clock.advance(60_000);
  schedule.soon();
  t.strictSame(starts, [0], 'still the first');
  finish();
  t.equal(results(), 1);
  clock.advance(0);
  t.strictSame(starts, [0, 60_000], 'overdue: at once');
  t.end();
});

t.test('live failures: the next check runs at once, but not faster than a tenth of the interval', (t) => {
  const { clock, starts, schedule } = setUp(10);
  schedule.start();
  clock.advance(1000);
  schedule.soon();
  clock.advance(0);
  t.strictSame(starts, [0, 1000], 'at once');
  for (let i = 0; i < 100; i++) {
    clock.advance(1);
    schedule.soon();
  }
  t.strictSame(starts, [0, 1000], 'a burst of failures waits');
  clock.advance(100);
  t.strictSame(starts, [0, 1000, 1200], 'and costs one check');
  clock.advance(2200);
  t.equal(starts.length, 4, 'then the interval goes on');
  t.end();
});

t.test('nothing after stop', (t) => {
  for (const running of [true, false]) {
    const { clock, starts, schedule, finish, results, cancelled } = setUp();
    schedule.start();
    if (!running) finish();
    schedule.stop();
    const seen = results();
    finish();
    schedule.soon();
    clock.advance(10_000);
    t.strictSame([starts.length, results() - seen, cancelled(), clock.pending], [1, 0, running ? 1 : 0, 0]);
  }
  t.end();
});

t.test('whoever hears a result may stop the schedule', (t) => {
  const clock = new FakeClock();
  let results = 0;
  const schedule: CheckSchedule = new CheckSchedule(
    {
      clock,
      random: new SeededRandom(7),
      onResult: () => {
        results++;
        schedule.stop();
      },
      intervalMs: () => 2000,
      probe: (_target, _clock, done) => {
        const timer = clock.after(10, () => done(good));
        return { cancel: () => timer.cancel() };
      },
    },
    target,
  );
  schedule.start();
  clock.advance(100_000);
  t.strictSame([results, clock.pending], [1, 0]);
  t.end();
});

t.test('the interval is asked for after each result', (t) => {
  const { clock, starts, schedule, setInterval } = setUp(10);
  schedule.start();
  setInterval(10_000);
  clock.advance(8_900);
  t.equal(starts.length, 1);
  clock.advance(2_200);
  t.equal(starts.length, 2);
  setInterval(100);
  clock.advance(6_800);
  t.equal(starts.length, 2, 'this one was set before');
  clock.advance(6_000);
  t.ok(starts.length > 10, 'faster from now on');
  t.end();
});
