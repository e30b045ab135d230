import t from 'tap';
import { loadKey } from '../../../src/edge/config/keys.ts';

t.test('a key by its name in the file', (t) => {
  const source = { kind: 'file', file: '/k' } as const;
  const read = () =>
    'key "a" { algorithm hmac-sha512; secret "c2VjcmV0IHNlY3JldCBzZWNyZXQ="; };\nkey B. { algorithm hmac-sha256; secret "c2VjcmV0IHNlY3JldCBzZWNyZXQ="; };';
  t.throws(() => loadKey('c', source, read), { code: 'V6_VALUE', message: '/k has no key "c" (it has: "a", "b")' });
  t.throws(() => loadKey('c', source, () => 'zone "a" {};'), { code: 'V6_VALUE', message: /^\/k:1: / });
  t.match(loadKey('a', source, read), { name: 'a', algorithm: 'hmac-sha512' });
  t.match(loadKey('b', source, read), { name: 'b', algorithm: 'hmac-sha256' });
  t.end();
});

t.test('an inline key reads no file', (t) => {
  const secret = new Uint8Array([1, 2, 3]);
  const read = () => t.fail('reads a file') as never;
  t.strictSame(loadKey('a', { kind: 'inline', algorithm: 'hmac-sha256', secret }, read), {
    name: 'a',
    algorithm: 'hmac-sha256',
    secret,
  });
  t.end();
});
