import t from 'tap';
import { interfaceBurst, maxSources, sourceBurst } from '../../src/ra/constants.ts';
import { ReplyLimit } from '../../src/ra/rate-limit.ts';

t.test('one source: a burst, then one a second', (t) => {
  const limit = new ReplyLimit();
  const verdicts = Array.from({ length: sourceBurst + 2 }, () => limit.ask('a', 1_000));
  t.strictSame(verdicts, [...Array(sourceBurst).fill('reply'), 'drop', 'drop']);
  t.equal(limit.ask('a', 1_999), 'drop');
  t.equal(limit.ask('a', 2_000), 'reply');
  t.equal(limit.ask('a', 2_001), 'drop');
  for (let i = 0; i < sourceBurst; i++) t.equal(limit.ask('a', 1_000_000), 'reply', 'full again, and no fuller');
  t.equal(limit.ask('a', 1_000_000), 'drop');
  t.end();
});

t.test('a source does not use up what is there for all', (t) => {
  const limit = new ReplyLimit();
  for (let i = 0; i < 10_000; i++) limit.ask('flood', 1_000);
  t.equal(limit.ask('other', 1_000), 'reply');
  t.end();
});

t.test('all together: a burst, then a hundred a second, and bounded memory', (t) => {
  const limit = new ReplyLimit();
  let replies = 0;
  for (let i = 0; i < 5_000; i++) if (limit.ask(`s${i}`, 1_000) === 'reply') replies++;
  t.equal(replies, interfaceBurst);
  t.equal(limit.size, maxSources);
  replies = 0;
  for (let i = 0; i < 5_000; i++) if (limit.ask(`t${i}`, 1_500) === 'reply') replies++;
  t.equal(replies, 50);
  t.equal(limit.ask('u', 1_500), 'multicast');
  t.end();
});

t.test('the source that was heard last is not the one forgotten', (t) => {
  const limit = new ReplyLimit();
  for (let i = 0; i < sourceBurst; i++) limit.ask('loud', 1_000);
  for (let i = 0; i < maxSources - 1; i++) {
    limit.ask(`s${i}`, 1_000);
    if (i % 100 === 0) limit.ask('loud', 1_000);
  }
  t.equal(limit.ask('loud', 1_000), 'drop', 'still known');
  t.end();
});
