import fc from 'fast-check';
import t from 'tap';
import type { OwnedRRset } from '../../src/dns/snapshot.ts';
import { compareNames, nameFromText, nameToText } from '../../src/dns/wire/name.ts';
import { type PageWish, recordPage } from '../../src/edge/record-page.ts';

const seed = Number(process.env.SEED ?? 20261125);

function sets(names: readonly string[], types = 1): OwnedRRset[] {
  return names.flatMap((name) =>
    Array.from({ length: types }, (_, i) => ({
      owner: nameFromText(name),
      rrset: { type: i + 1, ttl: 1, rdata: [] } as unknown as OwnedRRset['rrset'],
    })),
  );
}

/** All pages, one after the other. */
function allPages(all: readonly OwnedRRset[], wish: Omit<PageWish, 'after'>): string[][] {
  const pages: string[][] = [];
  let after: PageWish['after'];
  do {
    const page = recordPage(all, { ...wish, after });
    pages.push(page.sets.map(({ owner }) => nameToText(owner)));
    after = page.next;
  } while (after !== undefined && pages.length < 1000);
  return pages;
}

t.test('pages', (t) => {
  const all = sets(['c.test', 'a.test', 'test', 'b.test'], 2);
  const cases: [string, Omit<PageWish, 'after'>, string[][]][] = [
    ['nothing found', { search: 'x', limit: 10 }, [[]]],
    [
      'one page',
      { search: undefined, limit: 10 },
      [['test', 'test', 'a.test', 'a.test', 'b.test', 'b.test', 'c.test', 'c.test']],
    ],
    [
      'names are not cut in two',
      { search: undefined, limit: 3 },
      [
        ['test', 'test', 'a.test', 'a.test'],
        ['b.test', 'b.test', 'c.test', 'c.test'],
      ],
    ],
    [
      'a page that ends with the zone has no next',
      { search: undefined, limit: 8 },
      [['test', 'test', 'a.test', 'a.test', 'b.test', 'b.test', 'c.test', 'c.test']],
    ],
    ['search, in any case', { search: 'B.T', limit: 10 }, [['b.test', 'b.test']]],
  ];
  for (const [name, wish, expected] of cases) t.strictSame(allPages(all, wish), expected, name);
  t.end();
});

t.test(`pages put together are the zone in canonical order (seed ${seed})`, (t) => {
  const label = fc.stringMatching(/^[a-dA-D]{1,3}$/);
  const names = fc.uniqueArray(fc.array(label, { minLength: 0, maxLength: 3 }), {
    selector: (labels) => labels.join('.').toLowerCase(),
    maxLength: 60,
  });
  fc.assert(
    fc.property(names, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 3 }), (drawn, limit, types) => {
      const all = sets(
        drawn.map((labels) => [...labels, 'test'].join('.')),
        types,
      );
      const sorted = [...all].sort((a, b) => compareNames(a.owner, b.owner)).map(({ owner }) => nameToText(owner));
      const pages = allPages(all, { search: undefined, limit });
      t.strictSame(pages.flat(), sorted);
      for (const page of pages.slice(0, -1)) t.ok(page.length >= limit && page.length < limit + types);
    }),
    { seed, numRuns: 200 },
  );
  t.end();
});
