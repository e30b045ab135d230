import fc from 'fast-check';
import t from 'tap';
import { type Health, nextHealth, unknownHealth } from '../../../src/proxy/check/state.ts';

const limits = { rise: 2, fall: 3 };

/** Results as + and -, then the status after each: ? unknown, U up, D down. */
const cases: { name: string; results: string; statuses: string; limits?: { rise: number; fall: number } }[] = [
  { name: 'the first failure is enough', results: '-', statuses: 'D' },
  { name: 'the first success is enough', results: '+', statuses: 'U' },
  { name: 'fewer failures than fall keep it up', results: '+--+--+', statuses: 'UUUUUUU' },
  { name: 'fall failures in a row take it down', results: '+---', statuses: 'UUUD' },
  { name: 'a success between starts the count again', results: '+--+---', statuses: 'UUUUUUD' },
  { name: 'rise successes in a row bring it up', results: '-++', statuses: 'DDU' },
  { name: 'a failure between starts the count again', results: '-+-++', statuses: 'DDDDU' },
  { name: 'down, up and down again', results: '+---++---', statuses: 'UUUDDUUUD' },
  { name: 'rise 1 and fall 1 follow each result', results: '+-+-', statuses: 'UDUD', limits: { rise: 1, fall: 1 } },
  {
    name: 'long agreement does not overflow anything',
    results: '+'.repeat(50) + '---',
    statuses: 'U'.repeat(52) + 'D',
  },
];

t.test('rise and fall', (t) => {
  for (const { name, results, statuses, limits: own } of cases) {
    let health: Health = unknownHealth;
    let seen = '';
    for (const result of results) {
      health = nextHealth(health, result === '+', own ?? limits);
      seen += { unknown: '?', up: 'U', down: 'D' }[health.status];
    }
    t.equal(seen, statuses, name);
  }
  t.end();
});

t.test('any sequence: a change takes rise or fall results in a row, and the streak stays below them', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { maxLength: 60 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      (results, rise, fall) => {
        let health: Health = unknownHealth;
        results.forEach((ok, i) => {
          const before = health;
          health = nextHealth(before, ok, { rise, fall });
          if (before.status !== 'unknown' && before.status !== health.status) {
            const needed = health.status === 'up' ? rise : fall;
            const row = results.slice(i + 1 - needed, i + 1);
            if (row.length !== needed || row.some((other) => other !== ok)) throw new Error(`changed early at ${i}`);
          }
          if (health.streak >= (health.status === 'up' ? fall : rise))
            throw new Error(`streak ${health.streak} at ${i}`);
        });
      },
    ),
    { seed: 2001, numRuns: 500 },
  );
  t.end();
});
