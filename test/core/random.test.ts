import t from 'tap';
import { cryptoRandom, type Random, SeededRandom } from '../../src/core/random.ts';

const sources: [string, () => Random][] = [
  ['cryptoRandom', () => cryptoRandom],
  ['SeededRandom', () => new SeededRandom(42)],
];

for (const [name, make] of sources) {
  t.test(name, (t) => {
    const random = make();
    const rounds = 20_000;
    const buckets = new Array<number>(10).fill(0);
    for (let i = 0; i < rounds; i++) {
      const value = random.fraction();
      if (!(value >= 0 && value < 1)) t.fail(`fraction ${value}`);
      buckets[Math.floor(value * 10)]!++;
    }
    // Ten buckets of 2000: 6 standard deviations are 255.
    t.ok(
      buckets.every((count) => Math.abs(count - rounds / 10) < 255),
      `fractions are spread evenly: ${buckets}`,
    );
    const seen = new Set<number>();
    for (let i = 0; i < 1000; i++) seen.add(random.below(7));
    t.strictSame([...seen].sort(), [0, 1, 2, 3, 4, 5, 6], 'below reaches each value and no other');
    t.equal(random.below(1), 0);
    t.ok(Number.isInteger(random.below(2 ** 32)), 'below 2^32 is a whole number');
    const bytes = random.fill(new Uint8Array(4096));
    t.equal(new Set(bytes).size, 256, 'all values of a byte occur');
    const view = new Uint8Array(16);
    t.equal(random.fill(view.subarray(4, 8)).length, 4);
    t.strictSame([...view.subarray(0, 4), ...view.subarray(8)], new Array(12).fill(0), 'only the view is filled');
    t.equal(random.fill(Buffer.alloc(3)).length, 3, 'a Buffer stays a Buffer');
    t.equal(random.fill(new Uint8Array(100_000)).length, 100_000, 'more than getRandomValues takes at once');
    t.end();
  });
}

t.test('SeededRandom repeats itself', (t) => {
  const take = (seed: number) =>
    Array.from(
      { length: 5 },
      (
        (random) => () =>
          random.below(1000)
      )(new SeededRandom(seed)),
    );
  t.strictSame(take(7), take(7));
  t.notSame(take(7), take(8));
  t.strictSame(take(-1), take(0xffffffff), 'seeds are 32 bits');
  t.end();
});
