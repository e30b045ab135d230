import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { CookieJar, isCookieLength } from '../../src/dns/cookies.ts';

const hex = (text: string) => Buffer.from(text, 'hex');

t.test('the examples of RFC 9018, Appendix A', async (t) => {
  const cases = [
    // A.1: learning a new server cookie
    [
      'e5e973e5a6b2a43f48e7dc849e37bfcf',
      '2464c4abcf10c957',
      '198.51.100.100',
      1559731985,
      '010000005cf79f111f8130c3eee29480',
    ],
    // A.2: the same client again
    [
      'e5e973e5a6b2a43f48e7dc849e37bfcf',
      '2464c4abcf10c957',
      '198.51.100.100',
      1559734385,
      '010000005cf7a871d4a564a1442aca77',
    ],
    // A.3: another client
    [
      'e5e973e5a6b2a43f48e7dc849e37bfcf',
      'fc93fc62807ddb86',
      '203.0.113.203',
      1559734700,
      '010000005cf7a9acf73a7810aca2381e',
    ],
    // A.4: an IPv6 query
    [
      '445536bcd2513298075a5d379663c962',
      '22681ab97d52c298',
      '2001:db8:220:1:59de:d0f4:8769:82b8',
      1559741961,
      '010000005cf7c609a6bb79d16625507a',
    ],
  ] as const;
  for (const [secret, client, address, now, expected] of cases) {
    const jar = new CookieJar(hex(secret));
    const out = Buffer.alloc(16);
    const { bytes } = parseAddress(address);
    jar.make(hex(client), 0, bytes, now, out);
    t.equal(out.toString('hex'), expected, address);
    const option = Buffer.concat([hex(client), out]);
    t.ok(jar.knows(option, 0, 24, bytes, now + 3600), 'good for an hour');
    t.ok(jar.knows(option, 0, 24, bytes, now - 300), 'and for a clock that is five minutes behind');
    t.notOk(jar.knows(option, 0, 24, bytes, now + 3601), 'no longer');
    t.notOk(jar.knows(option, 0, 24, bytes, now - 301));
    t.notOk(jar.knows(option, 0, 24, parseAddress('192.0.2.1').bytes, now), 'from another address');
    t.notOk(jar.knows(option, 0, 8, bytes, now), 'without');
    for (let at = 0; at < 24; at++) {
      const wrong = Buffer.from(option);
      wrong[at]! ^= 1;
      t.notOk(jar.knows(wrong, 0, 24, bytes, now), `octet ${at} changed`);
    }
  }
});

t.test('lengths (RFC 7873 §5.2.2)', async (t) => {
  const good = Array.from({ length: 64 }, (_, length) => length).filter(isCookieLength);
  t.strictSame(good, [8, ...Array.from({ length: 25 }, (_, i) => 16 + i)]);
});
