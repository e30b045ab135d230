import t from 'tap';
import { Tally } from '../../src/core/tally.ts';

t.test('a key is kept while it has any', async (t) => {
  const tally = new Tally<string>();
  t.strictSame([tally.of('a'), tally.total], [0, 0]);
  for (const key of ['a', 'b', 'a']) tally.add(key);
  t.strictSame([tally.of('a'), tally.of('b'), tally.of('c'), tally.total], [2, 1, 0, 3]);
  tally.remove('a');
  t.strictSame([tally.of('a'), tally.total], [1, 2]);
  tally.remove('a');
  tally.remove('b');
  t.strictSame([tally.of('a'), tally.of('b'), tally.total], [0, 0, 0]);
});
