import t from 'tap';
import { SeededRandom } from '../../../src/core/random.ts';
import { parseConfig } from '../../../src/edge/config/load.ts';
import { draftFor, type Wishes } from '../../../src/edge/init/draft.ts';
import {
  defaultRoute4,
  defaultRoute6,
  type Host,
  type HostInterface,
  readNameServers,
} from '../../../src/edge/init/host.ts';
import { mark, renderConfig, renderZone, reverseZone } from '../../../src/edge/init/render.ts';

const noWishes: Wishes = { privateInterface: undefined, zone: undefined, upstreams: [] };
const address = (text: string): HostInterface['addresses'][number] => {
  const [value, length] = text.split('/');
  return { address: value!, family: value!.includes(':') ? 6 : 4, length: Number(length) };
};
const nic = (name: string, addresses: string[], defaultRoutes: (4 | 6)[] = []): HostInterface => ({
  name,
  addresses: addresses.map(address),
  defaultRoutes,
});
const eth0 = nic('eth0', ['198.51.100.1/24', '2001:db8:1::1/64', 'fe80::1/64'], [4, 6]);
const eth1 = nic('eth1', ['fd00:6:6::1/64', 'fe80::2/64']);
const host = (interfaces: HostInterface[], nameServers = ['2001:db8::53']): Host => ({
  hostname: 'edge',
  interfaces,
  nameServers,
});

type Case = [name: string, host: Host, wishes: Partial<Wishes>, expected: object];
const cases: Case[] = [
  [
    'no interface at all',
    host([], []),
    {},
    {
      privateInterface: { value: 'eth1', doubt: /default route/ },
      address: { value: /^fd.*::1$/, doubt: /no such address yet/ },
      upstreams: { value: ['2001:db8::53'], doubt: /knows none/ },
    },
  ],
  [
    'one interface, which has the default route',
    host([eth0]),
    {},
    { privateInterface: { value: 'eth0', doubt: /may be wrong/ }, address: { value: '2001:db8:1::1' } },
  ],
  [
    'as it should be',
    host([eth0, eth1]),
    {},
    {
      privateInterface: { value: 'eth1', doubt: undefined },
      address: { value: 'fd00:6:6::1', doubt: undefined },
      prefix: 'fd00:6:6::/64',
      publicAddresses: ['198.51.100.1', '2001:db8:1::1'],
      upstreams: { value: ['2001:db8::53'], doubt: /DNS64/ },
    },
  ],
  [
    'a private interface without an address',
    host([eth0, nic('ens7', ['fe80::3/64'])]),
    {},
    { privateInterface: { value: 'ens7', doubt: undefined }, address: { doubt: /ens7 has no such address yet/ } },
  ],
  [
    'two that would do',
    host([eth0, nic('eth1', []), nic('eth2', [])]),
    {},
    { privateInterface: { value: 'eth1', doubt: /eth2 would do/ } },
  ],
  [
    'two, one with a unique local address',
    host([eth0, nic('eth1', []), nic('eth2', ['fd01::1/64'])]),
    {},
    { privateInterface: { value: 'eth2', doubt: undefined }, prefix: 'fd01::/64' },
  ],
  [
    'two, one in use',
    host([eth0, nic('dummy0', []), nic('eth1', ['fe80::9/64'])]),
    {},
    { privateInterface: { value: 'eth1', doubt: undefined } },
  ],
  [
    'a prefix of another length',
    host([eth0, nic('eth1', ['fd00:6::1/48'])]),
    {},
    { address: { value: 'fd00:6::1', doubt: /length 48/ }, prefix: 'fd00:6::/64' },
  ],
  [
    'as the operator said',
    host([eth0, eth1, nic('eth2', ['fd02::9/64'])]),
    { privateInterface: 'eth2', zone: 'n.example.org', upstreams: ['2001:db8::64'] },
    {
      privateInterface: { value: 'eth2', doubt: undefined },
      address: { value: 'fd02::9', doubt: undefined },
      zone: { value: 'n.example.org', doubt: undefined },
      upstreams: { value: ['2001:db8::64'], doubt: undefined },
    },
  ],
];

for (const [name, seen, wishes, expected] of cases) {
  t.test(name, (t) => {
    const draft = draftFor(seen, { ...noWishes, ...wishes }, new SeededRandom(1));
    t.match(draft, expected);
    const text = renderConfig(draft, {
      keyFile: 'keys/node-key.key',
      tokenFile: 'admin.token',
      zoneFile: 'a.zone',
    });
    // All but the files that `init` writes beside it.
    const loaded = parseConfig(text, '/nowhere/v6edge.yaml');
    const wrong = 'errors' in loaded ? loaded.errors.filter(({ message }) => !/does not exist/.test(message)) : [];
    t.strictSame(wrong, [], 'what it makes can be read');
    const doubts = [draft.privateInterface, draft.address, draft.zone, draft.upstreams].filter(
      (one) => one.doubt !== undefined,
    );
    const marks = text.split('\n').filter((line) => line.trim().startsWith(mark));
    t.equal(marks.length, doubts.length + (draft.publicAddresses.length === 0 ? 1 : 0), 'each guess is marked');
    t.match(renderZone(draft), new RegExp(`AAAA ${draft.address.value}\n`));
    t.end();
  });
}

t.test('an interface that is not there', (t) => {
  t.throws(() => draftFor(host([eth0, eth1]), { ...noWishes, privateInterface: 'eth9' }, new SeededRandom(1)), {
    code: 'V6_VALUE',
    message: /no interface eth9 \(there are: eth0, eth1\)/,
  });
  t.end();
});

t.test('a fresh unique local prefix is another each time (RFC 4193 §3.2)', (t) => {
  const prefixes = Array.from(
    { length: 50 },
    (_, i) => draftFor(host([eth0, nic('eth1', [])]), noWishes, new SeededRandom(i + 1)).prefix,
  );
  t.equal(new Set(prefixes).size, 50);
  t.end();
});

t.test('the reverse zone of a prefix', (t) => {
  t.equal(reverseZone('fd00:6:6::/64'), '0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa');
  t.equal(reverseZone('2001:db8:1:2::/64'), '2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa');
  t.end();
});

t.test('lines of the kernel', (t) => {
  const zeros = '0'.repeat(32);
  const gateway = 'fe800000000000000000000000000001';
  const six: [string, string | undefined][] = [
    ['', undefined],
    [`${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo`, undefined],
    [`${zeros} 00 ${zeros} 00 ${gateway} 00000400 00000003 00000000 00000203     eth0`, undefined],
    [
      `fd000000000000000000000000000000 40 ${zeros} 00 ${zeros} 00000100 00000001 00000000 00000001     eth1`,
      undefined,
    ],
    [`${zeros} 00 ${zeros} 00 ${gateway} 00000400 00000003 00000000 00000003     eth0`, 'eth0'],
  ];
  for (const [line, name] of six) t.equal(defaultRoute6(line), name, line);
  const four: [string, string | undefined][] = [
    ['', undefined],
    ['Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask', undefined],
    ['eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0', undefined],
    ['eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0', undefined],
    ['eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0', 'eth0'],
  ];
  for (const [line, name] of four) t.equal(defaultRoute4(line), name, line);
  const text =
    '# nameserver 192.0.2.1\nnameserver 127.0.0.53\n nameserver 2001:db8::1 # x\nnameserver fe80::1%eth0\noptions ndots:1\n';
  t.strictSame(readNameServers(text), ['2001:db8::1', 'fe80::1%eth0']);
  t.end();
});
