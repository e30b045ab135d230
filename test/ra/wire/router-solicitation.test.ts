import t from 'tap';
import { parseAddress } from '../../../src/core/address.ts';
import { checkRouterSolicitation, encodeRouterSolicitation } from '../../../src/ra/wire/router-solicitation.ts';

const meta = { source: parseAddress('fe80::1'), hopLimit: 255, fragmented: false };
const bytes = (hex: string): Buffer => Buffer.from(hex.replace(/[^0-9a-f]/g, ''), 'hex');

t.test('the checks of RFC 4861 §6.1.1, bad first', (t) => {
  const cases: [name: string, hex: string, more: Partial<typeof meta>, code: string][] = [
    ['hop limit 0', '85 00 0000 00000000', { hopLimit: 0 }, 'V6_ND_HOP_LIMIT'],
    ['hop limit unknown', '85 00 0000 00000000', { hopLimit: -1 }, 'V6_ND_HOP_LIMIT'],
    ['fragments', '85 00 0000 00000000', { fragmented: true }, 'V6_ND_FRAGMENT'],
    ['code', '85 01 0000 00000000', {}, 'V6_ND_CODE'],
    ['option of length zero', '85 00 0000 00000000 0100 020000000001', {}, 'V6_ND_OPTION_ZERO'],
    ['option cut off', '85 00 0000 00000000 0102 020000000001', {}, 'V6_ND_OPTION_LENGTH'],
    [
      'link-layer address from ::',
      '85 00 0000 00000000 0101 020000000001',
      { source: parseAddress('::') },
      'V6_ND_SOURCE',
    ],
  ];
  for (const [name, hex, more, code] of cases) {
    t.throws(() => checkRouterSolicitation(bytes(hex), { ...meta, ...more }), { code }, name);
  }
  for (let length = 0; length < 8; length++) {
    t.throws(() => checkRouterSolicitation(bytes('85 00 0000 00000000').subarray(0, length), meta), {
      code: 'V6_ND_LENGTH',
    });
  }
  t.end();
});

t.test('good ones: plain, with its link-layer address, with what we do not know, reserved bits set', (t) => {
  const good: [hex: string, source: string][] = [
    ['85 00 0000 00000000', 'fe80::1'],
    ['85 00 0000 ffffffff', '::'],
    ['85 00 0000 00000000 0101 020000000001 fd01 010203040506', 'fe80::1'],
    ['85 00 0000 00000000 fd01 010203040506', '::'],
  ];
  for (const [hex, source] of good) {
    t.doesNotThrow(() => checkRouterSolicitation(bytes(hex), { ...meta, source: parseAddress(source) }), hex);
  }
  const options = [
    { kind: 'source-link-layer-address', address: bytes('020000000001') },
    { kind: 'raw', type: 253, body: bytes('010203040506') },
  ] as const;
  t.equal(Buffer.from(encodeRouterSolicitation({ options })).toString('hex'), bytes(good[2]![0]).toString('hex'));
  t.end();
});
