import t from 'tap';
import { config, ra, testBad } from './texts.ts';

testBad(t, [
  [
    'interface name',
    'ra: [{ interface: an-interface-name }]',
    ['1:19: ra[0].interface: "an-interface-name" is no interface name'],
  ],
  ['interface twice', 'ra: [{ interface: a }, { interface: a }]', ['1:37: ra[1].interface: "a" stands above already']],
  ['max below 4s', ra('    interval: { max: 3s }'), [/^3:22: ra\[0\].interval.max: "3s" is out of range/]],
  ['min below 3s', ra('    interval: { min: 2s }'), [/^3:22: ra\[0\].interval.min: "2s" is out of range/]],
  [
    'min above 0.75 max',
    ra('    interval: { min: 451s, max: 600s }'),
    ['3:22: ra[0].interval.min: 451s is more than three quarters of max, 10m (RFC 4861 §6.2.1; allowed: 3s to 450s)'],
  ],
  [
    'default lifetime below max',
    ra('    defaultLifetime: 599s'),
    [/^3:22: ra\[0\].defaultLifetime: 599s ends before the next advertisement is due/],
  ],
  ['default lifetime too long', ra('    defaultLifetime: 65536s'), [/allowed: 0s to 65535s/]],
  ['preference of no default router', ra('    preference: high'), [/^3:17: ra\[0\].preference: must be medium/]],
  ['mtu', ra('    mtu: 1279'), ['3:10: ra[0].mtu: 1279 is no MTU of an IPv6 link (allowed: 0, 1280 to 65535)']],
  ['hop limit', ra('    hopLimit: 256'), ['3:15: ra[0].hopLimit: 256 is no whole number in range (allowed: 0 to 255)']],
  [
    'IPv4 prefix',
    ra('    prefixes: [{ prefix: 10.0.0.0/8 }]'),
    ['3:26: ra[0].prefixes[0].prefix: "10.0.0.0/8" is no IPv6 prefix'],
  ],
  [
    'preferred above valid',
    ra('    prefixes: [{ prefix: "fd00::/64", valid: 1h, preferred: 61m }]'),
    ['3:61: ra[0].prefixes[0].preferred: is longer than `valid` (RFC 4861 §4.6.2)'],
  ],
  [
    'prefix twice',
    ra('    prefixes: [{ prefix: "fd00::/64" }, { prefix: "fd00:0::/64" }]'),
    [/fd00::\/64 stands above already/],
  ],
  ['autonomous /65', ra('    prefixes: [{ prefix: "fd00::/65" }]'), [/autonomous: false/]],
  ['link-local prefix', ra('    prefixes: [{ prefix: "fe80::/64" }]'), [/link-local/]],
  ['::/48', ra('    prefixes: [{ prefix: "::/48" }]'), [/allowed: ::\/64/]],
  [
    '::/0 route and lifetime 0',
    ra('    routes: [{ prefix: "::/0" }]'),
    [/^3:24: ra\[0\].routes\[0\].prefix: ::\/0 makes us a default router/],
  ],
  [
    'IPv4 DNS server',
    ra('    rdnss: { servers: [192.0.2.1] }'),
    ['3:24: ra[0].rdnss.servers[0]: "192.0.2.1" is no IPv6 address'],
  ],
  [
    'rdnss lifetime below max',
    ra('    rdnss: { servers: ["fd00::1"], lifetime: 1m }'),
    [/^3:46: ra\[0\].rdnss.lifetime: 1m ends before/],
  ],
  [
    'pref64 length',
    ra('    pref64: { prefix: "64:ff9b::/95" }'),
    [/allowed: auto, or an IPv6 prefix of length 32, 40, 48, 56, 64, 96/],
  ],
  ['captive portal', ra('    captivePortal: not a uri'), ['3:20: ra[0].captivePortal: "not a uri" is no URI']],
  [
    'client that is not link-local',
    ra('    clients: ["fd00::1"]'),
    [/^3:15: ra\[0\].clients\[0\]: fd00::1 is no link-local address/],
  ],
  [
    'source that is not link-local',
    ra('    source: fd00::1'),
    [/^3:13: ra\[0\].source: "fd00::1" is no link-local address/],
  ],
  ['source with a zone', ra('    source: fe80::1%eth1'), [/ra\[0\].source/]],
  [
    'a time without its zone',
    ra('    prefixes: [{ prefix: "fd00::/64", validUntil: 2027-01-31T12:00 }]'),
    [/ra\[0\].prefixes\[0\].validUntil: "2027-01-31T12:00" is no time with its zone/],
  ],
  [
    'a day that is none',
    ra('    routes: [{ prefix: "64:ff9b::/96", until: 2027-02-31T12:00:00Z }]'),
    [/ra\[0\].routes\[0\].until/],
  ],
  [
    'a number as time',
    ra('    prefixes: [{ prefix: "fd00::/64", preferredUntil: 1800000000 }]'),
    [/preferredUntil: 1800000000 is a number where text is wanted/],
  ],
  [
    'ignore beside one prefix',
    ra('    prefixes: [{ prefix: "fd00::/64", ignore: ["fd00::/16"] }]'),
    [/ra\[0\].prefixes\[0\].ignore: is for `prefix: "::\/64"`/],
  ],
  [
    'maxDelay above the constant',
    ra('    maxDelay: 501ms'),
    [/ra\[0\].maxDelay: "501ms" is out of range \(allowed: 0ms? to 500ms\)|allowed/],
  ],
  ['reachable time above an hour', ra('    reachableTime: 3601s'), [/ra\[0\].reachableTime: "3601s" is out of range/]],
  ['retrans timer beyond 32 bits', ra('    retransTimer: 50d'), [/ra\[0\].retransTimer: "50d" is out of range/]],
  ['mtu above an Ethernet jumbo', ra('    mtu: 65536'), [/ra\[0\].mtu: 65536 is no MTU/]],
  ['a negative hop limit', ra('    hopLimit: -1'), [/ra\[0\].hopLimit: -1/]],
  [
    'valid lifetime beyond 32 bits',
    ra('    prefixes: [{ prefix: "fd00::/64", valid: 50000d }]'),
    [/ra\[0\].prefixes\[0\].valid: "50000d" is out of range/],
  ],
  [
    'pref64 lifetime beyond 13 bits',
    ra('    pref64: { prefix: "64:ff9b::/96", lifetime: 65529s }'),
    [/allowed: 0s to 65528s/],
  ],
  [
    'pref64 auto with nobody to learn it from',
    ra('    pref64: { prefix: auto }'),
    [/ra\[0\].pref64.prefix: auto needs dns.forward/],
  ],
  ['max above RFC 8319', ra('    interval: { max: 65536s }'), [/ra\[0\].interval.max/]],
]);

t.test('lifetimes without a word of their own: three times the longest interval, as far as their field goes', (t) => {
  const entry =
    'rdnss: {}, dnssl: { domains: [a.test] }, pref64: { prefix: "64:ff9b::/96" }, routes: [{ prefix: "fd00::/8" }]';
  for (const [max, seconds, pref64Seconds] of [
    ['4s', 12, 12],
    ['100s', 300, 300],
    ['65535s', 196_605, 65_528],
  ] as const) {
    t.match(
      config(`ra: [{ interface: e, interval: { max: ${max} }, ${entry} }]`).ra[0],
      {
        defaultLifetimeSeconds: 0,
        rdnss: { lifetimeSeconds: seconds },
        dnssl: { lifetimeSeconds: seconds },
        pref64: { lifetimeSeconds: pref64Seconds },
        routes: [{ lifetimeSeconds: seconds }],
      },
      max,
    );
  }
  t.end();
});

t.test('the shortest interval has a legal default minimum', (t) => {
  t.strictSame(config('ra: [{ interface: e, interval: { max: 4s } }]').ra[0]?.interval, { minMs: 3000, maxMs: 4000 });
  t.end();
});
