import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import {
  encodeRouterAdvertisement,
  parseRouterAdvertisement,
  type RouterAdvertisement,
} from '../../../src/ra/wire/router-advertisement.ts';

const meta = { source: parseAddress('fe80::1'), hopLimit: 255, fragmented: false };
const bytes = (hex: string): Buffer => Buffer.from(hex.replace(/[^0-9a-f]/g, ''), 'hex');
const plain: RouterAdvertisement = {
  hopLimit: 64,
  managed: false,
  other: false,
  homeAgent: false,
  preference: 'medium',
  lifetimeSeconds: 0,
  reachableTimeMs: 0,
  retransTimerMs: 0,
  options: [],
};
//            type code sum  hops flags lifetime reachable retrans
const header = '86 00 0000 40 00 0000 00000000 00000000';

t.test('the checks of RFC 4861 §6.1.2, bad first', (t) => {
  const cases: [name: string, hex: string, more: Partial<typeof meta>, code: string][] = [
    ['global source', header, { source: parseAddress('2001:db8::1') }, 'V6_ND_SOURCE'],
    ['unspecified source', header, { source: parseAddress('::') }, 'V6_ND_SOURCE'],
    ['hop limit', header, { hopLimit: 254 }, 'V6_ND_HOP_LIMIT'],
    ['fragments', header, { fragmented: true }, 'V6_ND_FRAGMENT'],
    ['code', header.replace('86 00', '86 01'), {}, 'V6_ND_CODE'],
    ['option of length zero', `${header} 0500 0000 00000578`, {}, 'V6_ND_OPTION_ZERO'],
    ['option cut off', `${header} 0502 0000 00000578`, {}, 'V6_ND_OPTION_LENGTH'],
  ];
  for (const [name, hex, more, code] of cases) {
    t.throws(() => parseRouterAdvertisement(bytes(hex), { ...meta, ...more }), { code }, name);
  }
  for (let length = 0; length < 16; length++) {
    t.throws(() => parseRouterAdvertisement(bytes(header).subarray(0, length), meta), { code: 'V6_ND_LENGTH' });
  }
  t.strictSame(parseRouterAdvertisement(bytes(header), meta), plain);
  t.end();
});

t.test('every flags octet, and what has no meaning', (t) => {
  for (let flags = 0; flags < 256; flags++) {
    const parsed = parseRouterAdvertisement(
      bytes(header.replace('40 00', `40 ${flags.toString(16).padStart(2, '0')}`)),
      meta,
    );
    t.equal(parsed.managed, flags >= 0x80);
    t.equal(parsed.other, (flags & 0x40) !== 0);
    t.equal(parsed.homeAgent, (flags & 0x20) !== 0);
    // RFC 4191 §2.2: the reserved value 10 is taken as 00.
    t.equal(parsed.preference, (['medium', 'high', 'medium', 'low'] as const)[(flags >> 3) & 3]);
  }
  t.end();
});

t.test('golden: every field', (t) => {
  const full: RouterAdvertisement = {
    hopLimit: 33,
    managed: true,
    other: true,
    homeAgent: false,
    preference: 'low',
    lifetimeSeconds: 1800,
    reachableTimeMs: 12_345,
    retransTimerMs: 6_789,
    options: [{ kind: 'mtu', mtu: 1400 }],
  };
  const hex = '86 00 0000 21 d8 0708 00003039 00001a85 05010000 00000578';
  t.equal(Buffer.from(encodeRouterAdvertisement(full)).toString('hex'), bytes(hex).toString('hex'));
  t.strictSame(parseRouterAdvertisement(bytes(hex), meta), full);
  t.end();
});

t.test('values out of range are refused', (t) => {
  for (const bad of [
    { hopLimit: 256 },
    { lifetimeSeconds: 65_536 },
    { lifetimeSeconds: Infinity },
    { reachableTimeMs: -1 },
    { retransTimerMs: 0.5 },
  ]) {
    t.throws(() => encodeRouterAdvertisement({ ...plain, ...bad }), { code: 'V6_VALUE' }, JSON.stringify(bad));
  }
  t.end();
});

t.test('what is encoded is read back the same', (t) => {
  fc.assert(
    fc.property(
      fc.record(
        {
          hopLimit: fc.nat(255),
          managed: fc.boolean(),
          other: fc.boolean(),
          homeAgent: fc.boolean(),
          preference: fc.constantFrom('low' as const, 'medium' as const, 'high' as const),
          lifetimeSeconds: fc.nat(65_535),
          reachableTimeMs: fc.nat(0xffff_ffff),
          retransTimerMs: fc.nat(0xffff_ffff),
          options: fc.constant([]),
        },
        { noNullPrototype: true },
      ),
      (ra) => {
        assert.deepEqual(parseRouterAdvertisement(encodeRouterAdvertisement(ra), meta), ra);
      },
    ),
    { seed: 4861, numRuns: 200 },
  );
  t.pass('all runs');
  t.end();
});
