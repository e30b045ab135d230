import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { History } from '../../src/edge/history.ts';

function setUp() {
  const clock = new FakeClock();
  const values = { gauge: 3, counter: 1000 };
  const history = new History(clock, [
    { name: 'g', kind: 'gauge', read: () => values.gauge },
    { name: 'c', kind: 'counter', read: () => values.counter },
  ]);
  return { clock, values, history };
}

t.test('nothing before it began, and nothing after it stopped', (t) => {
  const { clock, history } = setUp();
  t.strictSame(history.report('1h'), { span: '1h', stepMs: 5000, times: [], series: { g: [], c: [] } });
  history.start();
  history.stop();
  clock.advance(60_000);
  t.strictSame(history.report('1h').times, []);
  t.end();
});

t.test('gauges as they are, counters as their rise a second', (t) => {
  const { clock, values, history } = setUp();
  history.start();
  const wall = clock.wall();
  values.counter += 10;
  clock.advance(5000);
  values.gauge = 7;
  values.counter += 26;
  clock.advance(5000);
  values.counter -= 500;
  clock.advance(5000);
  t.strictSame(history.report('1h'), {
    span: '1h',
    stepMs: 5000,
    times: [wall + 5000, wall + 10_000, wall + 15_000],
    series: { g: [3, 7, 7], c: [2, 5.2, 0] },
  });
  t.end();
});

t.test('an hour and a day, and no more', (t) => {
  const { clock, values, history } = setUp();
  history.start();
  const wall = clock.wall();
  for (let i = 0; i < 1440; i++) {
    values.counter += 60;
    for (let j = 0; j < 12; j++) clock.advance(5000);
  }
  const hour = history.report('1h');
  t.equal(hour.times.length, 720);
  t.equal(hour.times[0], wall + 86_400_000 - 719 * 5000);
  t.equal(hour.times.at(-1), wall + 86_400_000);
  const day = history.report('24h');
  t.equal(day.times.length, 720);
  t.ok(
    day.series.c!.every((rate) => rate === 1),
    'two minutes a step',
  );
  t.end();
});
