import t from 'tap';
import { SourceBuckets, TokenBucket } from '../../src/core/token-bucket.ts';

/** How many of `count` it gives at one moment. */
function takes(bucket: TokenBucket, now: number, count: number): number {
  let taken = 0;
  for (let i = 0; i < count; i++) if (bucket.take(now)) taken++;
  return taken;
}

t.test('a burst, then so many a second, and no more saved up than the burst', async (t) => {
  const bucket = new TokenBucket({ perSecond: 2, burst: 5 }, 1000);
  t.equal(takes(bucket, 1000, 100), 5);
  t.equal(takes(bucket, 1499, 100), 0, 'not yet');
  t.equal(takes(bucket, 1500, 100), 1);
  t.equal(takes(bucket, 3500, 100), 4);
  t.equal(takes(bucket, 1e9, 100), 5);
});

t.test('asking in small steps earns the same', async (t) => {
  const bucket = new TokenBucket({ perSecond: 4, burst: 1 }, 0);
  let taken = 0;
  for (let now = 0; now < 10_000; now += 125) taken += takes(bucket, now, 10);
  t.equal(taken, 40);
});

t.test('what is spent without being there is owed', async (t) => {
  const bucket = new TokenBucket({ perSecond: 1, burst: 3 }, 0);
  bucket.spend(5);
  t.equal(bucket.tokens(0), -2);
  t.equal(takes(bucket, 2999, 10), 0);
  t.equal(takes(bucket, 3000, 10), 1);
});

t.test('each source for itself, and the one unheard of for longest is forgotten first', async (t) => {
  const sources = new SourceBuckets({ perSecond: 1, burst: 1 }, 2);
  t.ok(sources.of('a', 0).take(0));
  t.ok(sources.of('b', 0).take(0));
  t.notOk(sources.of('a', 1).take(1), 'still known, and heard of');
  t.ok(sources.of('c', 2).take(2), 'takes the place of b');
  t.equal(sources.size, 2);
  t.notOk(sources.of('a', 3).take(3), 'still known');
  t.ok(sources.of('b', 4).take(4), 'forgotten: full again');
});
