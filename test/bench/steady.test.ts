import t from 'tap';
import { sessionBytes } from '../../bench/proxy/idle.ts';
import { type Steadiness, steady } from '../../bench/steady.ts';

const three: Steadiness = { readings: 3, pauseMs: 250, tolerance: 10, limit: 6 };

/** Reads the figures one after the other; nothing waits. */
function feed(figures: readonly number[], steadiness = three) {
  const left = [...figures];
  const paused: number[] = [];
  const read = () => {
    if (left.length === 0) throw new Error('read more often than it may');
    return left.shift()!;
  };
  const pause = async (ms: number) => paused.push(ms);
  return { result: steady('memory', read, steadiness, pause), paused, left };
}

t.test('a figure that never rests is an error, not a figure', async (t) => {
  for (const figures of [
    [1, 12, 1, 12, 1, 12],
    [0, 20, 40, 60, 80, 100],
    [100, 80, 60, 40, 20, 0],
    // The last two would do.
    [0, 0, 50, 50, 99, 99],
  ]) {
    await t.rejects(feed(figures).result, { message: `memory is not steady: ${figures.slice(3).join(', ')}` });
  }
  await t.rejects(feed([7, 7], { ...three, limit: 2 }).result, /not steady/, 'fewer readings than it takes');
});

t.test('rests when enough readings in a row are alike', async (t) => {
  const cases = [
    { figures: [5, 5, 5], steady: { last: 5, most: 5, leastEver: 5 } },
    { figures: [0, 10, 5], steady: { last: 5, most: 10, leastEver: 0 } },
    // What a collection gave back does not count as rest, nor does what came before it.
    { figures: [900, 890, 500, 504, 501], steady: { last: 501, most: 504, leastEver: 500 } },
    // It was less once: a baseline takes that.
    { figures: [40, 400, 405, 410], steady: { last: 410, most: 410, leastEver: 40 } },
  ];
  for (const { figures, steady } of cases) {
    const { result, paused, left } = feed([...figures, 1, 2, 3]);
    t.strictSame(await result, steady, figures.join(', '));
    t.strictSame(left, [1, 2, 3], 'and reads no more');
    t.strictSame(
      paused,
      figures.slice(1).map(() => three.pauseMs),
    );
  }
});

t.test('memory of a session is never negative, nor nothing', (t) => {
  t.throws(() => sessionBytes('v6edge', 50_000, 48_350, 9450), { message: /^v6edge had not settled: 50000 KiB/ });
  t.throws(() => sessionBytes('v6edge', 50_000, 50_000, 9450), /not settled/);
  t.equal(sessionBytes('v6edge', 1_000, 3_000, 2_048), 1_000);
  t.end();
});
