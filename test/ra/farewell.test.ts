import t from 'tap';
import { formatAddress, parseAddress, parseCidr } from '../../src/core/address.ts';
import { Farewell } from '../../src/ra/farewell.ts';
import type { RouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';

const [a, b, c] = ['fe80::a', 'fe80::b', 'fe80::c'].map(parseAddress) as [
  ReturnType<typeof parseAddress>,
  ReturnType<typeof parseAddress>,
  ReturnType<typeof parseAddress>,
];
const router = { lifetimeSeconds: 1800, options: [] as const } as unknown as RouterAdvertisement;
const host = { lifetimeSeconds: 0, options: [{ kind: 'mtu', mtu: 1400 }] } as unknown as RouterAdvertisement;
const routing = {
  lifetimeSeconds: 0,
  options: [{ kind: 'route-information', prefix: parseCidr('::/0'), preference: 'low', lifetimeSeconds: 9 }],
} as unknown as RouterAdvertisement;

type Step = ['begin' | 'spoke', ReturnType<typeof parseAddress>, RouterAdvertisement?, number?];

t.test('who has last words, and how many', (t) => {
  const cases: [name: string, steps: Step[], lastWords: string[]][] = [
    ['the first address of all', [['begin', a]], []],
    [
      'the same again',
      [
        ['begin', a],
        ['spoke', a, router],
        ['begin', a],
      ],
      [],
    ],
    [
      'a new one',
      [
        ['begin', a],
        ['spoke', a, router],
        ['begin', b],
      ],
      ['fe80::a', 'fe80::a', 'fe80::a'],
    ],
    [
      'routes are enough',
      [
        ['begin', a],
        ['spoke', a, routing],
        ['begin', b],
      ],
      ['fe80::a', 'fe80::a', 'fe80::a'],
    ],
    [
      'it was no router',
      [
        ['begin', a],
        ['spoke', a, host],
        ['begin', b],
      ],
      [],
    ],
    [
      'it never spoke',
      [
        ['begin', a],
        ['begin', b],
      ],
      [],
    ],
    [
      'two changes, the second never spoke',
      [
        ['spoke', a, router],
        ['begin', b],
        ['begin', c],
      ],
      ['fe80::a', 'fe80::a', 'fe80::a'],
    ],
    [
      'there and back, unspoken',
      [
        ['spoke', a, router],
        ['begin', b],
        ['begin', a],
      ],
      [],
    ],
    [
      'another interface',
      [
        ['spoke', a, router, 8],
        ['begin', b],
      ],
      [],
    ],
  ];
  for (const [name, steps, lastWords] of cases) {
    const farewell = new Farewell();
    for (const [what, address, advertisement, ifindex = 7] of steps) {
      if (what === 'begin') farewell.begin(ifindex, address);
      else farewell.spoke(ifindex, address, advertisement!);
    }
    const said = Array.from({ length: 4 }, () => farewell.next()).filter((one) => one !== undefined);
    t.strictSame(
      said.map((one) => formatAddress(one.source)),
      lastWords,
      name,
    );
    for (const { advertisement } of said) {
      t.equal(advertisement.lifetimeSeconds, 0);
      t.ok(advertisement.options.every((one) => one.kind === 'route-information' && one.lifetimeSeconds === 0));
    }
  }
  t.end();
});
