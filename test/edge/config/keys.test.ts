import t from 'tap';
import { loadKey, parseKeyFile } from '../../../src/edge/config/keys.ts';

const secret = 'c2VjcmV0IHNlY3JldCBzZWNyZXQ=';

t.test('files that are no key files, and nothing of the secret in the message', (t) => {
  const bad: [name: string, text: string, message: RegExp][] = [
    ['empty', '', /holds no key/],
    ['comments alone', '# nothing\n// here\n/* at all */', /holds no key/],
    ['something else', 'zone "a" { type primary; };', /is no key file/],
    ['no closing brace', `key "a" { algorithm hmac-sha256; secret "${secret}";`, /is no key file/],
    ['no algorithm', `key "a" { secret "${secret}"; };`, /no algorithm/],
    ['unknown algorithm', `key "a" { algorithm hmac-sha3; secret "${secret}"; };`, /unknown algorithm hmac-sha3/],
    ['no secret', 'key "a" { algorithm hmac-sha256; };', /secret is missing/],
    ['secret not base64', 'key "a" { algorithm hmac-sha256; secret "hunter2!!"; };', /secret is missing or no base64/],
  ];
  for (const [name, text, message] of bad) {
    t.throws(() => parseKeyFile(text), { code: 'V6_VALUE', message }, name);
    try {
      parseKeyFile(text);
    } catch (error) {
      t.notMatch(String(error), /hunter2|c2Vj/, name);
    }
  }
  t.end();
});

t.test('what tsig-keygen writes, and its variants', (t) => {
  const want = { name: 'node.key', algorithm: 'hmac-sha256', secret: new Uint8Array(Buffer.from(secret, 'base64')) };
  const good = [
    `key "node.key" {\n\talgorithm hmac-sha256;\n\tsecret "${secret}";\n};\n`,
    `key Node.Key. { secret ${secret}; algorithm HMAC-SHA256; };`,
    `# comment\nkey "node.key" { // comment\n algorithm "hmac-sha256."; /* two\nlines */ secret "${secret.slice(0, 8)}\n${secret.slice(8)}"; };`,
  ];
  for (const text of good) t.strictSame(parseKeyFile(text), [want], text);
  t.strictSame(
    parseKeyFile(`${good[0]}key b { algorithm hmac-sha512; secret QQ==; };`).map((key) => key.name),
    ['node.key', 'b'],
  );
  t.end();
});

t.test('a key that the file does not have', (t) => {
  const source = { kind: 'file', file: '/k' } as const;
  const read = () => `key a { algorithm hmac-sha512; secret QQ==; };`;
  t.throws(() => loadKey('b', source, read), { message: '/k has no key "b" (it has: "a")' });
  t.equal(loadKey('a', source, read).algorithm, 'hmac-sha512');
  t.end();
});
