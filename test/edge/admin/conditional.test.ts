import t from 'tap';
import { checkPreconditions, entityTag, isFresh } from '../../../src/edge/admin/conditional.ts';

type Case = [name: string, ifMatch: string | undefined, ifNoneMatch: string | undefined, current: string | undefined];
const failing: Case[] = [
  ['another version', '"a"', undefined, 'b'],
  ['none of several', '"a", "c"', undefined, 'b'],
  ['nothing is there', '"a"', undefined, undefined],
  ['anything is wanted, nothing is there', '*', undefined, undefined],
  ['a weak tag is no strong one (RFC 9110 §8.8.3.2)', 'W/"b"', undefined, 'b'],
  ['a tag without quotes is none', 'b', undefined, 'b'],
  ['only if there is nothing, but there is', undefined, '*', 'b'],
  ['only if it is not this, but it is', undefined, '"b"', 'b'],
  ['the same, weakly', undefined, 'W/"b"', 'b'],
];
const passing: Case[] = [
  ['no condition', undefined, undefined, undefined],
  ['this very version', '"b"', undefined, 'b'],
  ['one of several', '"a" , "b"', undefined, 'b'],
  ['anything', '*', undefined, 'b'],
  ['only if there is nothing', undefined, '*', undefined],
  ['only if it is another', undefined, '"a"', 'b'],
];

t.test('preconditions that do not hold', (t) => {
  for (const [name, ifMatch, ifNoneMatch, current] of failing) {
    t.throws(() => checkPreconditions({ ifMatch, ifNoneMatch }, current), { code: 'V6_ADMIN_412' }, name);
  }
  t.end();
});

t.test('preconditions that hold', (t) => {
  for (const [name, ifMatch, ifNoneMatch, current] of passing) {
    t.doesNotThrow(() => checkPreconditions({ ifMatch, ifNoneMatch }, current), name);
  }
  t.end();
});

t.test('tags', (t) => {
  t.match(entityTag([1, 'a']), /^[\w-]{16}$/);
  t.equal(entityTag([1, 'a']), entityTag([1, 'a']));
  t.not(entityTag([1, 'a']), entityTag([1, 'b']));
  t.equal(isFresh(undefined, 'a'), false);
  t.equal(isFresh('W/"a"', 'a'), true);
  t.equal(isFresh('"b"', 'a'), false);
  t.end();
});
