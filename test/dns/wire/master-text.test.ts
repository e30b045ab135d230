import t from 'tap';
import { masterEntries, quote, tokenize, tokenOctets, ttlFromText } from '../../../src/dns/wire/master-text.ts';

const words = (text: string) =>
  [...masterEntries(text)].map(({ line, fault, tokens }) => [line, fault ?? tokens.map((token) => token.text)]);

t.test('entries and tokens', (t) => {
  t.strictSame(words('a b\n;c\n\n d'), [
    [1, ['a', 'b']],
    [4, ['d']],
  ]);
  t.strictSame(words('a (b\n c ;x )\n d) e\nf'), [
    [1, ['a', 'b', 'c', 'd', 'e']],
    [4, ['f']],
  ]);
  t.strictSame(words('"a b""c"d'), [[1, ['a b', 'c', 'd']]]);
  t.strictSame(words('a\\ b\\;c\\"d'), [[1, ['a\\ b\\;c\\"d']]]);
  t.strictSame(words('k="v w" x'), [[1, ['k="v w"', 'x']]]);
  t.strictSame(words('"\\"" "'), [[1, 'a quotation mark without its partner']]);
  t.strictSame(words('k="v'), [[1, 'a quotation mark without its partner']]);
  t.strictSame(words('a )\n(b'), [
    [1, 'a closing parenthesis without an opening one'],
    [2, 'an opening parenthesis without a closing one'],
  ]);
  t.strictSame(words('a\\'), [[1, ['a\\']]]);
  t.strictSame(
    [...masterEntries('\ta\nb')].map(({ startsBlank }) => startsBlank),
    [true, false],
  );
  t.strictSame(
    [...masterEntries('"a" b')][0]!.tokens.map(({ quoted }) => quoted),
    [true, false],
  );
  t.end();
});

t.test('a text that is one record’s data', (t) => {
  t.equal(tokenize('10 mail').length, 2);
  t.equal(tokenize('').length, 0);
  for (const text of ['a\nb', '"a', '(a', 'a)']) t.throws(() => tokenize(text), { code: 'V6_VALUE' }, text);
  t.end();
});

t.test('octets of a token', (t) => {
  t.strictSame(tokenOctets('a\\"\\065\\\\é'), Uint8Array.from(Buffer.from('a"A\\é')));
  t.strictSame(tokenOctets('\\é'), Uint8Array.from(Buffer.from('é')));
  t.strictSame(tokenOctets(''), new Uint8Array(0));
  for (const text of ['\\256', 'a\\']) t.throws(() => tokenOctets(text), { code: 'V6_VALUE' }, text);
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  t.strictSame(tokenOctets(quote(all).slice(1, -1)), all);
  t.end();
});

t.test('times', (t) => {
  for (const [text, seconds] of [
    ['0', 0],
    ['2147483647', 2147483647],
    ['1h', 3600],
    ['1W2d3H4m5s', 788645],
  ] as const)
    t.equal(ttlFromText(text), seconds);
  for (const text of ['', '-1', '1.5', '2147483648', '1x', 'h', '4000w', '99999999999'])
    t.throws(() => ttlFromText(text), { code: 'V6_VALUE' }, text);
  t.end();
});
