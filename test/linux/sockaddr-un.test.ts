import t from 'tap';
import { ValueError } from '../../src/core/errors.ts';
import { decodeSockaddrUn, encodeSockaddrUn, SOCKADDR_UN_BYTES } from '../../src/linux/sockaddr-un.ts';

t.test('what is no UNIX address', (t) => {
  const bad = [
    '',
    '/',
    '@',
    'a',
    './a',
    '/a\0b',
    '@a\0b',
    '/' + 'x'.repeat(107),
    '@' + 'x'.repeat(108),
    '/' + 'é'.repeat(54),
  ];
  for (const path of bad) t.throws(() => encodeSockaddrUn(path), ValueError, JSON.stringify(path));
  t.end();
});

t.test('both ways', (t) => {
  const cases: [string, string][] = [
    ['/ab', '0100' + '2f6162' + '00'],
    ['@ab', '0100' + '00' + '6162'],
  ];
  for (const [path, hex] of cases) {
    const bytes = encodeSockaddrUn(path);
    t.equal(bytes.toString('hex'), hex, path);
    const field = Buffer.concat([bytes, Buffer.alloc(SOCKADDR_UN_BYTES - bytes.length)]);
    t.equal(decodeSockaddrUn(field, bytes.length), path);
  }
  for (const path of ['/' + 'x'.repeat(106), '@' + 'x'.repeat(107)]) {
    const bytes = encodeSockaddrUn(path);
    t.equal(bytes.length, SOCKADDR_UN_BYTES, 'the longest there is');
    t.equal(decodeSockaddrUn(bytes, bytes.length), path);
  }
  t.equal(decodeSockaddrUn(Buffer.from('0100', 'hex'), 2), '', 'unbound');
  t.equal(decodeSockaddrUn(Buffer.from('0a00', 'hex'), 2), undefined, 'AF_INET6');
  t.end();
});
