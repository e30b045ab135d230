import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { type Cidr, maskAddress, parseAddress, parseCidr } from '../../../src/core/address.ts';
import { errorCode } from '../../../src/core/errors.ts';
import { encodeOption, type KnownOption, type NdOption, parseOptions } from '../../../src/ra/wire/options.ts';

const bytes = (hex: string): Buffer => Buffer.from(hex.replace(/[^0-9a-f]/g, ''), 'hex');
const seed = 4861;

/** Golden options, field by field; each is encoded, parsed, and cut at every length. */
const golden: { name: string; option: NdOption; hex: string }[] = [
  {
    name: 'prefix information, on-link and autonomous (RFC 4861 §4.6.2)',
    option: {
      kind: 'prefix-information',
      prefix: parseCidr('fd00:6:6::/64'),
      onLink: true,
      autonomous: true,
      validSeconds: 86_400,
      preferredSeconds: 14_400,
    },
    //   type len plen LA valid    preferred reserved prefix
    hex: '03 04 40 c0 00015180 00003840 00000000 fd000006000600000000000000000000',
  },
  {
    name: 'prefix information with the router’s whole address (RFC 6275 §7.2)',
    option: {
      kind: 'prefix-information',
      prefix: parseCidr('fd00:6:6::/64'),
      onLink: true,
      autonomous: false,
      validSeconds: 60,
      preferredSeconds: 30,
      routerAddress: parseAddress('fd00:6:6::1'),
    },
    //   type len plen LAR valid   preferred reserved address
    hex: '03 04 40 a0 0000003c 0000001e 00000000 fd000006000600000000000000000001',
  },
  {
    name: 'prefix information, infinite, no flags',
    option: {
      kind: 'prefix-information',
      prefix: parseCidr('2001:db8::/32'),
      onLink: false,
      autonomous: false,
      validSeconds: Infinity,
      preferredSeconds: Infinity,
    },
    hex: '03 04 20 00 ffffffff ffffffff 00000000 20010db8000000000000000000000000',
  },
  {
    name: 'source link-layer address (§4.6.1)',
    option: { kind: 'source-link-layer-address', address: Uint8Array.from(bytes('020000000001')) },
    hex: '01 01 020000000001',
  },
  { name: 'MTU (§4.6.4)', option: { kind: 'mtu', mtu: 1400 }, hex: '05 01 0000 00000578' },
  {
    name: 'route ::/0, 8 octets (RFC 4191 §2.3)',
    option: { kind: 'route-information', prefix: parseCidr('::/0'), preference: 'low', lifetimeSeconds: 60 },
    //   type len plen prf lifetime
    hex: '18 01 00 18 0000003c',
  },
  {
    name: 'route of 64 bits, 16 octets',
    option: { kind: 'route-information', prefix: parseCidr('2001:db8::/64'), preference: 'high', lifetimeSeconds: 60 },
    hex: '18 02 40 08 0000003c 20010db800000000',
  },
  {
    name: 'route of 96 bits, 24 octets, infinite',
    option: {
      kind: 'route-information',
      prefix: parseCidr('64:ff9b::/96'),
      preference: 'medium',
      lifetimeSeconds: Infinity,
    },
    hex: '18 03 60 00 ffffffff 0064ff9b000000000000000000000000',
  },
  {
    name: 'two DNS servers (RFC 8106 §5.1)',
    option: { kind: 'rdnss', lifetimeSeconds: 1800, servers: [parseAddress('fd00::1'), parseAddress('2001:db8::53')] },
    hex: '19 05 0000 00000708 fd000000000000000000000000000001 20010db8000000000000000000000053',
  },
  {
    name: 'search list, padded (§5.2)',
    option: { kind: 'dnssl', lifetimeSeconds: 1800, domains: ['cluster.test'] },
    //   type len res lifetime 7 cluster         4 test      .  pad
    hex: '1f 03 0000 00000708 07 636c7573746572 04 74657374 00 0000',
  },
  {
    name: 'two names, the most padding',
    option: { kind: 'dnssl', lifetimeSeconds: 0, domains: ['a.example', 'bc.d'] },
    hex: '1f 04 0000 00000000 01 61 07 6578616d706c65 00 02 6263 01 64 00 00000000000000',
  },
  {
    name: 'a name with octets that text cannot show',
    option: { kind: 'dnssl', lifetimeSeconds: 1, domains: ['a\\046b\\000.x'] },
    hex: '1f 02 0000 00000001 04 61 2e 62 00 01 78 00',
  },
  {
    name: 'NAT64 prefix of 96 bits (RFC 8781 §4): 225 × 8 s, code 0',
    option: { kind: 'pref64', prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800 },
    hex: '26 02 0708 0064ff9b0000000000000000',
  },
  {
    name: 'NAT64 prefix of 32 bits: longest lifetime, code 5',
    option: { kind: 'pref64', prefix: parseCidr('2001:db8::/32'), lifetimeSeconds: 65_528 },
    hex: '26 02 fffd 20010db80000000000000000',
  },
  {
    name: 'captive portal (RFC 8910 §2.3)',
    option: { kind: 'captive-portal', uri: 'https://a.b/' },
    hex: '25 02 68747470733a2f2f612e622f 0000',
  },
  {
    name: 'unknown',
    option: { kind: 'raw', type: 253, body: Uint8Array.from(bytes('010203040506')) },
    hex: 'fd 01 010203040506',
  },
];

t.test('malformed options of a known type are raw, the rest of the message counts', (t) => {
  const cases: [name: string, hex: string][] = [
    ['prefix information of 8 octets', '03 01 40 c0 00015180'],
    ['prefix length 129', `03 04 81 c0 ${'00'.repeat(28)}`],
    ['MTU of 16 octets', `05 02 0000 00000578 ${'00'.repeat(8)}`],
    ['route preference reserved', '18 01 00 10 0000003c'],
    ['route of 65 bits in 16 octets', `18 02 41 00 0000003c ${'00'.repeat(8)}`],
    ['route of 1 bit in 8 octets', '18 01 01 00 0000003c'],
    ['route length 129', `18 03 81 00 0000003c ${'00'.repeat(16)}`],
    ['route of 32 octets', `18 04 40 00 0000003c ${'00'.repeat(24)}`],
    ['no DNS server', '19 01 0000 00000708'],
    ['one and a half DNS servers', `19 04 0000 00000708 ${'00'.repeat(24)}`],
    ['empty search list', '1f 01 0000 00000708'],
    ['search list of padding', '1f 02 0000 00000708 0000000000000000'],
    ['compression pointer', '1f 02 0000 00000708 c008000000000000'],
    ['label beyond the end', '1f 02 0000 00000708 0861626364656667'],
    ['name without end', '1f 02 0000 00000708 0761626364656667'],
    ['name of more than 255 octets', `1f 22 0000 00000708 ${`3f${'61'.repeat(63)}`.repeat(4)} 00 ${'00'.repeat(7)}`],
    ['prefix length code 6', '26 02 0706 0064ff9b0000000000000000'],
    ['PREF64 of 8 octets', '26 01 0708 0064ff9b'],
    ['portal with a control character', '25 01 680a00000000'],
    ['empty portal', '25 01 000000000000'],
  ];
  for (const [name, hex] of cases) {
    const [first, second] = parseOptions(bytes(`${hex} 05 01 0000 00000578`), 0);
    t.match(first, { kind: 'raw', type: bytes(hex)[0] }, name);
    t.strictSame(second, { kind: 'mtu', mtu: 1400 });
    t.equal(Buffer.from(encodeOption(first!)).toString('hex'), bytes(hex).toString('hex'), 'raw keeps it as it was');
  }
  t.end();
});

t.test('sequences that do not fit are refused', (t) => {
  t.throws(() => parseOptions(bytes('01 00 020000000001'), 0), { code: 'V6_ND_OPTION_ZERO' });
  t.throws(() => parseOptions(bytes('01'), 0), { code: 'V6_ND_OPTION_LENGTH' });
  t.throws(() => parseOptions(bytes('05 02 0000 00000578'), 0), { code: 'V6_ND_OPTION_LENGTH' });
  t.strictSame(parseOptions(new Uint8Array(0), 0), []);
  const many = Buffer.concat(Array.from({ length: 8_000 }, () => bytes('05 01 0000 00000578')));
  t.equal(parseOptions(many, 0).length, 256, 'no more is kept');
  t.end();
});

t.test('values that have no encoding are refused', (t) => {
  const name255 = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
  const bad: [name: string, option: KnownOption][] = [
    ['fractional lifetime', { kind: 'rdnss', lifetimeSeconds: 1.5, servers: [parseAddress('::1')] }],
    ['negative lifetime', { kind: 'rdnss', lifetimeSeconds: -1, servers: [parseAddress('::1')] }],
    [
      'a finite lifetime that reads as infinity',
      { kind: 'rdnss', lifetimeSeconds: 0xffff_ffff, servers: [parseAddress('::1')] },
    ],
    ['no server', { kind: 'rdnss', lifetimeSeconds: 1, servers: [] }],
    ['128 servers', { kind: 'rdnss', lifetimeSeconds: 1, servers: Array(128).fill(parseAddress('::1')) }],
    ['no domain', { kind: 'dnssl', lifetimeSeconds: 1, domains: [] }],
    ['the root', { kind: 'dnssl', lifetimeSeconds: 1, domains: ['.'] }],
    ['an empty label', { kind: 'dnssl', lifetimeSeconds: 1, domains: ['a..b'] }],
    ['a label of 64', { kind: 'dnssl', lifetimeSeconds: 1, domains: ['a'.repeat(64)] }],
    ['a name of 256 octets', { kind: 'dnssl', lifetimeSeconds: 1, domains: [`${name255}e`] }],
    ['another alphabet', { kind: 'dnssl', lifetimeSeconds: 1, domains: ['bücher.test'] }],
    ['PREF64 of 80 bits', { kind: 'pref64', lifetimeSeconds: 1, prefix: parseCidr('64:ff9b::/80') }],
    ['a portal with a space', { kind: 'captive-portal', uri: 'https://a b' }],
    ['a portal of 3000 octets', { kind: 'captive-portal', uri: 'x'.repeat(3000) }],
    ['MTU 2^32', { kind: 'mtu', mtu: 2 ** 32 }],
  ];
  for (const [name, option] of bad) t.throws(() => encodeOption(option), { code: 'V6_VALUE' }, name);
  t.equal(encodeOption({ kind: 'dnssl', lifetimeSeconds: 1, domains: [name255] }).length, 8 + 256, 'the longest name');
  t.end();
});

t.test('golden bytes, both ways, and cut at every length', (t) => {
  for (const { name, option, hex } of golden) {
    const whole = bytes(hex);
    t.equal(Buffer.from(encodeOption(option)).toString('hex'), whole.toString('hex'), name);
    t.strictSame(parseOptions(whole, 0), [option], name);
    for (let length = 1; length < whole.length; length++) {
      t.throws(() => parseOptions(whole.subarray(0, length), 0), { code: 'V6_ND_OPTION_LENGTH' });
    }
  }
  t.end();
});

t.test('what was read stays when the memory it was read from is used again', (t) => {
  for (const { name, option, hex } of golden) {
    const whole = bytes(hex);
    const parsed = parseOptions(whole, 0);
    whole.fill(0xee);
    t.strictSame(parsed, [option], name);
  }
  t.end();
});

t.test('PREF64 lifetimes: rounded up to 8 s, cut at 65528; all six lengths', (t) => {
  const through = (prefix: Cidr, lifetimeSeconds: number) =>
    parseOptions(encodeOption({ kind: 'pref64', prefix, lifetimeSeconds }), 0)[0];
  for (const [seconds, read] of [
    [0, 0],
    [1, 8],
    [8, 8],
    [9, 16],
    [65_528, 65_528],
    [100_000, 65_528],
    [Infinity, 65_528],
  ] as const) {
    t.match(through(parseCidr('64:ff9b::/96'), seconds), { lifetimeSeconds: read });
  }
  for (const length of [32, 40, 48, 56, 64, 96]) {
    t.match(through(parseCidr(`64:ff9b::/${length}`), 8), { prefix: { length } });
  }
  t.end();
});

t.test('bits beyond the prefix length are ignored', (t) => {
  const [option] = parseOptions(bytes(`03 04 30 c0 00000001 00000001 00000000 ${'ff'.repeat(16)}`), 0);
  t.match(option, { prefix: parseCidr('ffff:ffff:ffff::/48') });
  t.end();
});

const cidr = fc
  .tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 128 }))
  .map(([base, length]): Cidr => ({ base: maskAddress({ family: 6, bytes: base }, length), length }));
const lifetime = fc.oneof(fc.integer({ min: 0, max: 0xffff_fffe }), fc.constant(Infinity));
const label = fc.uint8Array({ minLength: 1, maxLength: 20 }).map((octets) =>
  Array.from(octets, (octet) => {
    const character = String.fromCharCode(octet);
    return /[\w-]/.test(character) ? character : `\\${String(octet).padStart(3, '0')}`;
  }).join(''),
);
const anyOption: fc.Arbitrary<NdOption> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('prefix-information' as const),
      prefix: cidr,
      onLink: fc.boolean(),
      autonomous: fc.boolean(),
      validSeconds: lifetime,
      preferredSeconds: lifetime,
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      kind: fc.constant('route-information' as const),
      prefix: cidr,
      preference: fc.constantFrom('low' as const, 'medium' as const, 'high' as const),
      lifetimeSeconds: lifetime,
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      kind: fc.constant('rdnss' as const),
      lifetimeSeconds: lifetime,
      servers: fc.array(
        fc.uint8Array({ minLength: 16, maxLength: 16 }).map((octets) => ({ family: 6 as const, bytes: octets })),
        { minLength: 1, maxLength: 8 },
      ),
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      kind: fc.constant('dnssl' as const),
      lifetimeSeconds: lifetime,
      domains: fc.array(
        fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.')),
        { minLength: 1, maxLength: 5 },
      ),
    },
    { noNullPrototype: true },
  ),
  fc.record({ kind: fc.constant('mtu' as const), mtu: fc.nat(0xffff_ffff) }, { noNullPrototype: true }),
  fc.record(
    {
      kind: fc.constant('source-link-layer-address' as const),
      address: fc.uint8Array({ minLength: 6, maxLength: 6 }),
    },
    { noNullPrototype: true },
  ),
  fc
    .webUrl()
    .filter((uri) => /^[\x21-\x7e]{1,2000}$/.test(uri))
    .map((uri) => ({ kind: 'captive-portal' as const, uri })),
);

t.test('what is encoded is read back the same', (t) => {
  fc.assert(
    fc.property(fc.array(anyOption, { maxLength: 10 }), (options) => {
      const encoded = Buffer.concat(options.map(encodeOption));
      assert.deepEqual(parseOptions(encoded, 0), options);
    }),
    { seed, numRuns: 300 },
  );
  t.pass('all runs');
  t.end();
});

t.test('random bytes: an answer or a WireError, and reading again what was read gives the same', (t) => {
  const code = fc.constantFrom(1, 3, 5, 24, 25, 31, 37, 38, 200);
  const optionBytes = fc
    .tuple(code, fc.integer({ min: 0, max: 5 }), fc.uint8Array({ minLength: 40, maxLength: 40 }))
    .map(([type, units, rest]) => Buffer.from([type, units, ...rest.subarray(0, Math.max(0, units * 8 - 2))]));
  fc.assert(
    fc.property(fc.array(optionBytes, { maxLength: 5 }), (list) => {
      let options: NdOption[];
      try {
        options = parseOptions(Buffer.concat(list), 0);
      } catch (error) {
        assert.match(errorCode(error) ?? '', /^V6_ND_OPTION_(ZERO|LENGTH)$/);
        return;
      }
      assert.deepEqual(parseOptions(Buffer.concat(options.map(encodeOption)), 0), options);
    }),
    { seed, numRuns: 1_000 },
  );
  t.pass('all runs');
  t.end();
});
