import t from 'tap';
import { cryptoRandom } from '../../../src/core/random.ts';
import type { StoredToken } from '../../../src/edge/join/state.ts';
import {
  claimMs,
  digestOf,
  drawToken,
  findByDigest,
  keptMs,
  keptTokens,
  tokenFault,
  tokenState,
} from '../../../src/edge/join/tokens.ts';

const hour = 3_600_000;
const token = (more: Partial<StoredToken> = {}): StoredToken => ({
  id: 'a',
  digest: digestOf('secret'),
  role: 'worker',
  createdAt: 0,
  expiresAt: hour,
  ...more,
});
const claim = { name: 'w1', source: 'fd00::21', at: 1000 };

t.test('who may use a token when', (t) => {
  const rows: [name: string, token: StoredToken | undefined, source: string, now: number, fault: string | undefined][] =
    [
      ['unknown', undefined, 'fd00::21', 0, 'unknown'],
      ['expired', token(), 'fd00::21', hour, 'expired'],
      ['claimed by another', token({ claim }), 'fd00::22', 2000, 'claimed by another node'],
      ['done', token({ claim, doneAt: 3000 }), 'fd00::21', 4000, 'used'],
      ['ten minutes after the claim', token({ claim }), 'fd00::21', 1000 + claimMs, 'used'],
      ['open', token(), 'fd00::21', hour - 1, undefined],
      ['its claimant again', token({ claim }), 'fd00::21', 1000 + claimMs - 1, undefined],
      [
        'its claimant after the token’s time',
        token({ claim: { ...claim, at: hour - 1 } }),
        'fd00::21',
        hour + 1,
        undefined,
      ],
    ];
  for (const [name, one, source, now, fault] of rows) t.equal(tokenFault(one, source, now), fault, name);
  t.equal(tokenState(token(), 0), 'open');
  t.equal(tokenState(token({ claim }), 2000), 'claimed');
  t.end();
});

t.test('look-up is by digest, and never by what is stored', (t) => {
  const all = [token({ id: 'x', digest: digestOf('other') }), token(), token({ id: 'bad', digest: 'zz' })];
  t.equal(
    findByDigest(all, ({ digest }) => digest, 'secret'),
    all[1],
  );
  for (const wrong of ['', 'Secret', 'secret ', digestOf('secret'), 'zz']) {
    t.equal(
      findByDigest(all, ({ digest }) => digest, wrong),
      undefined,
      JSON.stringify(wrong),
    );
  }
  t.end();
});

t.test('tokens are drawn with 144 bits, and fit into a path', (t) => {
  const drawn = new Set(Array.from({ length: 100 }, () => drawToken(cryptoRandom).token));
  t.equal(drawn.size, 100);
  for (const each of drawn) t.match(each, /^[\w-]{24}$/);
  t.end();
});

t.test('those that are through are kept for a day', (t) => {
  t.equal(keptTokens([token()], hour + keptMs - 1).length, 1);
  t.equal(keptTokens([token()], hour + keptMs).length, 0);
  t.equal(keptTokens([token({ claim: { ...claim, at: hour } })], hour + claimMs + keptMs - 1).length, 1);
  t.equal(keptTokens([token({ claim, doneAt: 2 * hour })], 2 * hour + keptMs - 1).length, 1);
  t.end();
});
