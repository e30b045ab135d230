import t from 'tap';
import { SeededRandom } from '../../src/core/random.ts';
import { ExpiryHeap } from '../../src/dns/expiry-heap.ts';

t.test('an empty one', (t) => {
  const heap = new ExpiryHeap<string>();
  t.equal(heap.next, Number.POSITIVE_INFINITY);
  t.equal(heap.pop(), undefined);
  t.equal(heap.size, 0);
  t.end();
});

t.test('comes out in order, whatever went in', (t) => {
  const seed = 20261125;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 200; round++) {
    const heap = new ExpiryHeap<number>();
    const model: number[] = [];
    for (let step = 0; step < 100; step++) {
      if (random.below(3) > 0 || model.length === 0) {
        const at = random.below(50);
        heap.push(at, at);
        model.push(at);
        model.sort((a, b) => a - b);
      } else if (heap.pop() !== model.shift()) {
        t.fail(`seed ${seed}, round ${round}, step ${step}`);
      }
      if (heap.next !== (model[0] ?? Number.POSITIVE_INFINITY)) t.fail(`seed ${seed}, round ${round}, step ${step}`);
    }
    heap.rebuild((_at, value) => value % 2 === 0);
    const rest: number[] = [];
    while (heap.size > 0) rest.push(heap.pop()!);
    t.strictSame(
      rest,
      model.filter((at) => at % 2 === 0),
    );
  }
  t.end();
});
