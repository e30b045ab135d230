import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { advertisementJson } from '../../src/ra/status.ts';
import type { NdOption } from '../../src/ra/wire/options.ts';
import { prefixOption } from './support.ts';

t.test('every kind of option as JSON', (t) => {
  const cases: [option: NdOption, json: object][] = [
    [
      prefixOption('fd00::/64', { validSeconds: Infinity }),
      { prefix: 'fd00::/64', onLink: true, autonomous: true, valid: 'infinity', preferred: 14_400 },
    ],
    [
      { kind: 'route-information', prefix: parseCidr('::/0'), preference: 'high', lifetimeSeconds: Infinity },
      { prefix: '::/0', preference: 'high', lifetime: 'infinity' },
    ],
    [
      { kind: 'rdnss', servers: [parseAddress('fd00::1')], lifetimeSeconds: 0 },
      { servers: ['fd00::1'], lifetime: 0 },
    ],
    [
      { kind: 'dnssl', domains: ['a.test'], lifetimeSeconds: 9 },
      { domains: ['a.test'], lifetime: 9 },
    ],
    [
      { kind: 'pref64', prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 16 },
      { prefix: '64:ff9b::/96', lifetime: 16 },
    ],
    [{ kind: 'captive-portal', uri: 'https://a.b/' }, { uri: 'https://a.b/' }],
    [{ kind: 'mtu', mtu: 1400 }, { mtu: 1400 }],
    [
      { kind: 'source-link-layer-address', address: Uint8Array.of(2, 0, 0, 0, 0, 10) },
      { address: '02:00:00:00:00:0a' },
    ],
    [
      { kind: 'raw', type: 253, body: Uint8Array.of(1, 2, 3, 4, 5, 255) },
      { type: 253, body: '0102030405ff' },
    ],
  ];
  const header = {
    hopLimit: 64,
    managed: true,
    other: false,
    homeAgent: false,
    preference: 'low' as const,
    lifetimeSeconds: 1800,
    reachableTimeMs: 1,
    retransTimerMs: 2,
  };
  const json = advertisementJson({ ...header, options: cases.map(([option]) => option) });
  const { lifetimeSeconds, ...rest } = header;
  t.match(json, { ...rest, lifetime: lifetimeSeconds });
  for (const [i, [option, expected]] of cases.entries()) {
    t.strictSame(json.options[i], { kind: option.kind, ...expected }, option.kind);
  }
  t.strictSame(JSON.parse(JSON.stringify(json)), json, 'nothing that JSON does not have');
  t.end();
});
