import t from 'tap';
import { loadKeys } from '../../../src/edge/config/keys.ts';

t.test('a key by its name in the file', (t) => {
  const source = { kind: 'file', file: '/k' } as const;
  const read = () =>
    'key "a" { algorithm hmac-sha512; secret "c2VjcmV0IHNlY3JldCBzZWNyZXQ="; };\nkey B. { algorithm hmac-sha256; secret "c2VjcmV0IHNlY3JldCBzZWNyZXQ="; };';
  t.throws(() => loadKeys('c', source, read), { code: 'V6_VALUE', message: '/k has no key "c" (it has: "a", "b")' });
  t.throws(() => loadKeys('c', source, () => 'zone "a" {};'), { code: 'V6_VALUE', message: /^\/k:1: / });
  t.match(loadKeys('a', source, read)[0], { name: 'a', algorithm: 'hmac-sha512' });
  t.match(loadKeys('b', source, read)[0], { name: 'b', algorithm: 'hmac-sha256' });
  t.end();
});

t.test('an inline key reads no file', (t) => {
  const secret = new Uint8Array([1, 2, 3]);
  const read = () => t.fail('reads a file') as never;
  t.strictSame(loadKeys('a', { kind: 'inline', algorithm: 'hmac-sha256', secret }, read), [
    { name: 'a', algorithm: 'hmac-sha256', secret },
  ]);

  t.end();
});

t.test('several of one name, in their order: an old secret and its successor', (t) => {
  const key = (name: string, secret: string) => `key "${name}" { algorithm hmac-sha256; secret "${secret}"; };\n`;
  const read = () => key('a', 'bmV3') + key('b', 'b3RoZXI=') + key('A.', 'b2xk');
  const found = loadKeys('a', { kind: 'file', file: '/k' }, read);
  t.strictSame(
    found.map(({ name, secret }) => [name, Buffer.from(secret).toString()]),
    [
      ['a', 'new'],
      ['a', 'old'],
    ],
  );
  t.end();
});
