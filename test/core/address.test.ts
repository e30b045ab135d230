import { BlockList, isIP } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import {
  type Address,
  cidrContains,
  equalAddress,
  formatAddress,
  formatCidr,
  formatEndpoint,
  isLinkLocal,
  isLoopback,
  isUnspecified,
  maskAddress,
  parseAddress,
  parseCidr,
  parseEndpoint,
  parseInetEndpoint,
  unmapAddress,
  unmapCidr,
} from '../../src/core/address.ts';
import { ValueError } from '../../src/core/errors.ts';

t.test('what is no address', (t) => {
  const bad = [
    '',
    ' ',
    'localhost',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.2.3.-4',
    '0x1.2.3.4',
    '01.2.3.4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '1.2.3.4%lo',
    '1.2.3.4/32',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'g::',
    '::1%',
    '::1%a%b',
    '[::1]',
    '::1 ',
    '::1\n',
    '::256.1.1.1',
    '::1.2.3',
    'fe80::1%eth 0',
    'fe80::1%eth0/64',
    '1:2:3:4:5:6:7::8',
    '::ffff:1.2.3.4.5',
    '%eth0',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::00001',
    '::1%\0',
    '::1%../x',
  ];
  for (const text of bad) t.throws(() => parseAddress(text), { code: 'V6_VALUE' }, JSON.stringify(text));
  t.end();
});

t.test('addresses, and how they are written (RFC 5952)', (t) => {
  const cases: [text: string, hex: string, canonical?: string][] = [
    ['0.0.0.0', '00000000'],
    ['192.0.2.1', 'c0000201'],
    ['255.255.255.255', 'ffffffff'],
    ['::', '0'.repeat(32)],
    ['::1', '0'.repeat(31) + '1'],
    ['2001:db8::1', '20010db8' + '0'.repeat(23) + '1'],
    ['2001:DB8:0:0:0:0:0:1', '20010db8' + '0'.repeat(23) + '1', '2001:db8::1'],
    ['2001:0db8::0001', '20010db8' + '0'.repeat(23) + '1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '20010db8000000010001000100010001'],
    ['2001:db8:0:0:1:0:0:1', '20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
    ['1:0:0:2::', '0001000000000002' + '0'.repeat(16), '1:0:0:2::'],
    ['::ffff:192.0.2.1', '0'.repeat(20) + 'ffffc0000201', '::ffff:192.0.2.1'],
    ['::ffff:c000:201', '0'.repeat(20) + 'ffffc0000201', '::ffff:192.0.2.1'],
    ['::192.0.2.1', '0'.repeat(24) + 'c0000201', '::c000:201'],
    ['64:ff9b::192.0.2.33', '0064ff9b' + '0'.repeat(16) + 'c0000221', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:192.0.2.1', '000100020003000400050006c0000201', '1:2:3:4:5:6:c000:201'],
    ['fe80::1%eth1', 'fe80' + '0'.repeat(27) + '1'],
    ['fe80::1%eth0.100', 'fe80' + '0'.repeat(27) + '1'],
    ['fe80::1%2', 'fe80' + '0'.repeat(27) + '1'],
  ];
  for (const [text, hex, canonical = text] of cases) {
    const address = parseAddress(text);
    t.equal(Buffer.from(address.bytes).toString('hex'), hex, text);
    t.equal(formatAddress(address), canonical, text);
    t.equal(address.family, hex.length === 8 ? 4 : 6);
  }
  t.equal(parseAddress('fe80::1%eth1').zone, 'eth1');
  t.notOk('zone' in parseAddress('fe80::1'));
  t.end();
});

t.test('any IPv6 address is written the way Node reads and writes it, and comes back', (t) => {
  const group = fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const bytes = Uint8Array.from(groups.flatMap((g) => [g >> 8, g & 255]));
      const text = formatAddress({ family: 6, bytes });
      if (isIP(text) !== 6) throw new Error(`${text} is no address to Node`);
      if (!equalAddress(parseAddress(text), { family: 6, bytes })) throw new Error(`${text} is another address`);
      // The URL standard writes IPv6 as RFC 5952 does, but for embedded IPv4.
      const url = new URL(`http://[${text}]/`).hostname.slice(1, -1);
      if (!text.includes('.') && url !== text) throw new Error(`${text}, by the URL standard ${url}`);
    }),
    { seed: 1001, numRuns: 1000 },
  );
  t.end();
});

t.test('kinds of address', (t) => {
  const cases: [string, { linkLocal?: true; unspecified?: true; loopback?: true; unmapped?: string }][] = [
    ['::', { unspecified: true }],
    ['0.0.0.0', { unspecified: true }],
    ['::1', { loopback: true }],
    ['127.0.0.1', { loopback: true }],
    ['127.255.255.254', { loopback: true }],
    ['128.0.0.1', {}],
    ['::2', {}],
    ['1::1', {}],
    ['fe80::1', { linkLocal: true }],
    ['febf:ffff::', { linkLocal: true }],
    ['fec0::1', {}],
    ['fe7f::1', {}],
    ['254.128.0.1', {}],
    ['::ffff:192.0.2.1', { unmapped: '192.0.2.1' }],
    ['::ffff:0.0.0.0', { unmapped: '0.0.0.0' }],
    ['::fffe:192.0.2.1', {}],
    ['::192.0.2.1', {}],
    ['64:ff9b::192.0.2.1', {}],
  ];
  for (const [text, expected] of cases) {
    const address = parseAddress(text);
    t.equal(isLinkLocal(address), expected.linkLocal === true, `${text} link-local`);
    t.equal(isUnspecified(address), expected.unspecified === true, `${text} unspecified`);
    t.equal(isLoopback(address), expected.loopback === true, `${text} loopback`);
    const unmapped = unmapAddress(address);
    t.equal(formatAddress(unmapped), expected.unmapped ?? formatAddress(address), `${text} unmapped`);
  }
  t.end();
});

t.test('prefixes of IPv4-mapped addresses', (t) => {
  const cases: [string, string][] = [
    ['::ffff:192.0.2.0/120', '192.0.2.0/24'],
    ['::ffff:192.0.2.1', '192.0.2.1/32'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
    ['::fffe:0:0/95', '::fffe:0:0/95'],
    ['::/0', '::/0'],
    ['192.0.2.0/24', '192.0.2.0/24'],
  ];
  for (const [text, expected] of cases) t.equal(formatCidr(unmapCidr(parseCidr(text))), expected, text);
  t.end();
});

t.test('sameness', (t) => {
  const same: [string, string, boolean][] = [
    ['::1', '0::1', true],
    ['::1', '::2', false],
    ['1.2.3.4', '::ffff:1.2.3.4', false],
    ['0.0.0.0', '::', false],
    ['fe80::1%a', 'fe80::1%a', true],
    ['fe80::1%a', 'fe80::1%b', false],
    ['fe80::1%a', 'fe80::1', false],
  ];
  for (const [a, b, expected] of same) t.equal(equalAddress(parseAddress(a), parseAddress(b)), expected, `${a} ${b}`);
  t.end();
});

t.test('what is no endpoint', (t) => {
  const bad = [
    '',
    '53',
    ':53',
    '1.2.3.4',
    '1.2.3.4:',
    '1.2.3.4:65536',
    '1.2.3.4:123456',
    '1.2.3.4:-1',
    '1.2.3.4:5x',
    '[1.2.3.4]:53',
    '::1:53',
    '[::1]',
    '[::1]53',
    '[::1]:',
    '[]:53',
    '[::1%]:53',
    '[::1]]:53',
    'localhost:53',
    'unix:',
    'unix:relative',
    'unix:/' + 'x'.repeat(107),
    'unix:/' + 'é'.repeat(54),
    'unix:/a\0b',
    '[::1]:53 ',
    '1.2.3.4:53\n',
  ];
  for (const text of bad) t.throws(() => parseEndpoint(text), { code: 'V6_VALUE' }, JSON.stringify(text));
  t.throws(() => parseInetEndpoint('unix:/run/x'), ValueError);
  t.end();
});

t.test('endpoints', (t) => {
  for (const text of [
    '1.2.3.4:53',
    '0.0.0.0:0',
    '[::]:443',
    '[fd00::1]:65535',
    '[fe80::1%eth1]:53',
    'unix:/run/a.sock',
    'unix:/' + 'x'.repeat(106),
  ]) {
    t.equal(formatEndpoint(parseEndpoint(text)), text);
  }
  t.equal(formatEndpoint(parseEndpoint('[FD00:0::1]:00053')), '[fd00::1]:53');
  t.match(parseInetEndpoint('[::1]:53'), { kind: 'inet', port: 53, address: { family: 6 } });
  t.end();
});

t.test('what is no prefix', (t) => {
  const bad = [
    '',
    '/',
    '/64',
    '::/',
    '::/129',
    '0.0.0.0/33',
    '::/-1',
    '::/1.5',
    '::/64/64',
    '::/ 64',
    '::/0x40',
    '::/1e1',
    'fe80::%eth0/64',
    'x/64',
  ];
  for (const text of bad) t.throws(() => parseCidr(text), { code: 'V6_VALUE' }, JSON.stringify(text));
  t.throws(() => parseCidr('fd00:6:6::1/64'), { message: /did you mean fd00:6:6::\/64\?/ });
  t.throws(() => parseCidr('10.1.2.3/8'), { message: /did you mean 10.0.0.0\/8\?/ });
  t.end();
});

t.test('prefixes hold what Node says they hold', (t) => {
  for (const text of [
    '::/0',
    '0.0.0.0/0',
    'fd00:6:6::/64',
    '10.0.0.0/8',
    '192.0.2.1/32',
    '2001:db8::1/128',
    'fe80::/10',
  ]) {
    t.equal(formatCidr(parseCidr(text)), text);
  }
  t.equal(formatCidr(parseCidr('192.0.2.1')), '192.0.2.1/32', 'an address alone');
  t.equal(cidrContains(parseCidr('::/0'), parseAddress('1.2.3.4').bytes), false, 'no family holds the other');
  t.equal(cidrContains(parseCidr('0.0.0.0/0'), parseAddress('::').bytes), false);
  fc.assert(
    fc.property(
      fc.constantFrom<4 | 6>(4, 6),
      fc.infiniteStream(fc.nat(255)),
      fc.nat(128),
      fc.nat(127),
      (family, stream, lengthSeed, flip) => {
        const size = family === 4 ? 4 : 16;
        const bytes = Uint8Array.from({ length: size }, () => stream.next().value);
        const length = lengthSeed % (size * 8 + 1);
        const base = maskAddress({ family, bytes }, length);
        const block = new BlockList();
        block.addSubnet(formatAddress(base), length, family === 4 ? 'ipv4' : 'ipv6');
        // One bit flipped: inside or outside, near the edge or not.
        const other = Uint8Array.from(bytes);
        const bit = flip % (size * 8);
        other[bit >> 3]! ^= 0x80 >> (bit & 7);
        for (const candidate of [bytes, other]) {
          const address: Address = { family, bytes: candidate };
          const expected = candidate === bytes || bit >= length;
          if (cidrContains({ base, length }, candidate) !== expected) {
            throw new Error(`${formatCidr({ base, length })} ${formatAddress(address)} should be ${expected}`);
          }
          // Node's list takes mapped addresses for IPv4: compared only where that plays no part.
          if (formatAddress(address).includes('.') === (family === 4)) {
            const theirs = block.check(formatAddress(address), family === 4 ? 'ipv4' : 'ipv6');
            if (theirs !== expected) throw new Error(`Node says ${theirs} of ${formatAddress(address)}`);
          }
        }
      },
    ),
    { seed: 1002, numRuns: 2000 },
  );
  t.end();
});
