import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { asConfig } from '../../src/ra/as-config.ts';
import type { NdOption } from '../../src/ra/wire/options.ts';
import type { RouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';
import { prefixOption } from './support.ts';

const header: Omit<RouterAdvertisement, 'options'> = {
  hopLimit: 64,
  managed: false,
  other: true,
  homeAgent: false,
  preference: 'high',
  lifetimeSeconds: 1800,
  reachableTimeMs: 0,
  retransTimerMs: 1_500,
};
const plain = {
  managed: false,
  other: true,
  defaultLifetime: '30m',
  preference: 'high',
  hopLimit: 64,
  reachableTime: '0s',
  retransTimer: '1500ms',
  mtu: 0,
  sourceLinkLayer: false,
  prefixes: [],
  routes: [],
};
const rdnss = (lifetimeSeconds: number, ...servers: string[]): NdOption => ({
  kind: 'rdnss',
  lifetimeSeconds,
  servers: servers.map(parseAddress),
});

t.test('every kind of option in the words of the configuration', (t) => {
  const cases: [name: string, options: NdOption[], more: object, remarks: string[]][] = [
    ['nothing', [], {}, []],
    [
      'prefixes',
      [
        prefixOption('fd00::/64', { validSeconds: Infinity }),
        prefixOption('fd01::/64', { onLink: false, routerAddress: parseAddress('fd01::1') }),
      ],
      {
        prefixes: [
          { prefix: 'fd00::/64', onLink: true, autonomous: true, valid: 'infinity', preferred: '4h' },
          { prefix: 'fd01::/64', onLink: false, autonomous: true, valid: '1d', preferred: '4h', routerAddress: true },
        ],
      },
      [],
    ],
    [
      'a route',
      [{ kind: 'route-information', prefix: parseCidr('64:ff9b::/96'), preference: 'low', lifetimeSeconds: 90 }],
      { routes: [{ prefix: '64:ff9b::/96', lifetime: '90s', preference: 'low' }] },
      [],
    ],
    [
      'servers in two options of one lifetime, and one of another',
      [rdnss(60, 'fd00::1'), rdnss(60, 'fd00::2'), rdnss(0, 'fd00::3')],
      { rdnss: { servers: ['fd00::1', 'fd00::2'], lifetime: '1m' } },
      ['another rdnss: fd00::3, 0s'],
    ],
    [
      'search domains',
      [{ kind: 'dnssl', lifetimeSeconds: Infinity, domains: ['a.test', 'b.test'] }],
      { dnssl: { domains: ['a.test', 'b.test'], lifetime: 'infinity' } },
      [],
    ],
    [
      'one of each of the rest',
      [
        { kind: 'mtu', mtu: 1400 },
        { kind: 'source-link-layer-address', address: Uint8Array.of(2, 0, 0, 0, 0, 1) },
        { kind: 'pref64', prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800 },
        { kind: 'captive-portal', uri: 'https://a.b/' },
        { kind: 'raw', type: 253, body: Uint8Array.of(1, 2, 3, 4, 5, 6) },
      ],
      {
        mtu: 1400,
        sourceLinkLayer: true,
        pref64: { prefix: '64:ff9b::/96', lifetime: '30m' },
        captivePortal: 'https://a.b/',
      },
      ['option 253: 010203040506'],
    ],
    [
      'two of what there is one of',
      [
        { kind: 'mtu', mtu: 1400 },
        { kind: 'mtu', mtu: 1300 },
      ],
      { mtu: 1400 },
      ['another mtu: 1300'],
    ],
  ];
  for (const [name, options, more, remarks] of cases) {
    t.strictSame(asConfig({ ...header, options }), { entry: { ...plain, ...more }, remarks }, name);
  }
  t.equal(asConfig({ ...header, homeAgent: true, options: [] }).entry.homeAgent, true);
  t.end();
});
