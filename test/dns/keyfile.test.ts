import { execFileSync } from 'node:child_process';
import t from 'tap';
import { SeededRandom } from '../../src/core/random.ts';
import type { TsigAlgorithm } from '../../src/dns/config.ts';
import { formatKeyFile, generateKey, parseKeyFile } from '../../src/dns/keyfile.ts';
import { TSIG_ALGORITHMS } from '../../src/dns/tsig.ts';

const good = 'key "node-key" {\n\talgorithm hmac-sha256;\n\tsecret "c2VjcmV0";\n};\n';

t.test('what is no key file', (t) => {
  const rows: [name: string, text: string, message: RegExp][] = [
    ['nothing', '', /k:1: there is no key/],
    ['a comment alone', '# a key\n', /k:1: there is no key/],
    ['no key statement', 'zone "x" {};', /k:1: "key" is wanted, not "zone"/],
    ['quoted keyword', '"key" x {};', /k:1: "key" is wanted/],
    ['no semicolon at the end', good.replace('};', '}'), /k:4: the file ends where ";" is wanted/],
    ['cut', 'key "a" {\n', /k:1: the file ends where "}" is wanted/],
    ['no secret', 'key a {\n algorithm hmac-sha256;\n};', /k:1: key "a" has no secret/],
    ['no algorithm', 'key a {\n secret "c2VjcmV0";\n};', /k:1: key "a" has no algorithm/],
    ['secret twice', 'key a {\n secret "c2VjcmV0";\nsecret "c2VjcmV0";};', /k:3: "secret" stands twice/],
    ['unknown field', 'key a {\n\n colour red; };', /k:3: a key has "algorithm" and "secret", not "colour"/],
    ['unknown algorithm', good.replace('sha256', 'sha3'), /k:1: key "node-key": algorithm "hmac-sha3" is not one of/],
    [
      'cut below half',
      good.replace('sha256', 'sha256-120'),
      /k:1: .*hmac-sha256 can be cut to 128 to 256 bits.*not 120/,
    ],
    ['cut below 80 bits', good.replace('sha256', 'md5-72'), /hmac-md5 can be cut to 80 to 128 bits/],
    ['cut within an octet', good.replace('sha256', 'sha256-130'), /in whole octets, not 130/],
    ['longer than it is', good.replace('sha256', 'sha256-264'), /not 264/],
    ['cut to nothing', good.replace('sha256', 'sha256-'), /algorithm "hmac-sha256-" is not one of/],
    ['secret not base64', good.replace('c2VjcmV0', 'c2VjcmV!'), /k:1: key "node-key": the secret is not base64$/],
    ['secret of odd length', good.replace('c2VjcmV0', 'c2Vj='), /the secret is not base64$/],
    ['empty secret', good.replace('c2VjcmV0', ''), /the secret is not base64$/],
    ['bad name', good.replace('node-key', 'a..b'), /k:1: "a\.\.b" has an empty label/],
    ['open quote', '\nkey "a {', /k:2: a quotation mark is not closed/],
    ['open comment', 'key a /* {', /k:1: a comment is not closed/],
  ];
  for (const [name, text, message] of rows)
    t.throws(() => parseKeyFile(text, 'k'), { code: 'V6_VALUE', message }, name);
  t.end();
});

t.test('key files', (t) => {
  const secret = Uint8Array.from(Buffer.from('secret'));
  const wanted = [{ name: 'node-key', algorithm: 'hmac-sha256', secret }];
  const rows: [name: string, text: string][] = [
    ['as tsig-keygen prints it', good],
    ['in one line', 'key "node-key" { algorithm hmac-sha256; secret "c2VjcmV0"; };'],
    ['nothing quoted, final dot, upper case', 'key Node-Key. { algorithm HMAC-SHA256; secret c2VjcmV0; };'],
    ['fields the other way round, algorithm quoted', 'key node-key{secret "c2Vj cmV0";algorithm "hmac-sha256";};'],
    ['comments of all kinds', `// a\n# b\n/* c\n "d */ ${good}# e`],
  ];
  for (const [name, text] of rows) t.same(parseKeyFile(text, 'k'), wanted, name);
  t.equal(parseKeyFile(`${good}${good.replace('node-key', 'b')}`, 'k').length, 2, 'two keys');
  const cut = parseKeyFile(good.replace('sha256', 'sha256-128'), 'k');
  t.same(cut, [{ name: 'node-key', algorithm: 'hmac-sha256', secret, macLength: 16 }], 'truncated MACs');
  t.equal(formatKeyFile(cut[0]!), good.replace('sha256', 'sha256-128'));
  const md5 = parseKeyFile(good.replace('hmac-sha256', 'hmac-md5.sig-alg.reg.int'), 'k');
  t.equal(md5[0]!.algorithm, 'hmac-md5', "BIND's long name of MD5");
  t.end();
});

t.test('keys of ours, and those of tsig-keygen', (t) => {
  for (const algorithm of Object.keys(TSIG_ALGORITHMS) as TsigAlgorithm[]) {
    const key = generateKey('Node-1.Cluster.test', algorithm, new SeededRandom(1));
    t.equal(key.name, 'node-1.cluster.test');
    t.equal(key.secret.length, TSIG_ALGORITHMS[algorithm].length);
    t.same(parseKeyFile(formatKeyFile(key), 'k'), [key]);
    const theirs = execFileSync('tsig-keygen', ['-a', algorithm, 'a-key'], { encoding: 'utf8' });
    const [parsed] = parseKeyFile(theirs, 'k');
    t.equal(parsed!.algorithm, algorithm);
    t.equal(formatKeyFile(parsed!), theirs, 'written as tsig-keygen writes it');
  }
  t.end();
});
