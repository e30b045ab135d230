import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { maxOtherRouters, silentRouterMs } from '../../src/ra/constants.ts';
import { findContradictions, OtherRouters } from '../../src/ra/monitor.ts';
import type { NdOption } from '../../src/ra/wire/options.ts';
import type { RouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';
import { prefixOption } from './support.ts';

const pio = prefixOption;
const rdnss = (lifetimeSeconds: number, ...servers: string[]): NdOption => ({
  kind: 'rdnss',
  lifetimeSeconds,
  servers: servers.map(parseAddress),
});
const ours: RouterAdvertisement = {
  hopLimit: 64,
  managed: false,
  other: false,
  homeAgent: false,
  preference: 'medium',
  lifetimeSeconds: 0,
  reachableTimeMs: 1_000,
  retransTimerMs: 2_000,
  options: [
    pio('fd00:6:6::/64'),
    { kind: 'mtu', mtu: 1400 },
    rdnss(60, 'fd00::1', 'fd00::2'),
    { kind: 'dnssl', lifetimeSeconds: 60, domains: ['b.test', 'a.test'] },
    { kind: 'pref64', prefix: parseCidr('2001:db8:64::/96'), lifetimeSeconds: 600 },
    { kind: 'captive-portal', uri: 'https://a.test' },
  ],
};

const own = { advertisement: ours, countsDown: false };

t.test('what contradicts, and what does not (§6.2.7)', (t) => {
  const cases: [name: string, theirs: Partial<RouterAdvertisement>, what: string[]][] = [
    ['the same', {}, []],
    ['a default router where we are none', { lifetimeSeconds: 1800, preference: 'high' }, ['default router']],
    [
      'the same by a route to everything',
      { options: [{ kind: 'route-information', prefix: parseCidr('::/0'), preference: 'low', lifetimeSeconds: 9 }] },
      ['default router'],
    ],
    [
      'another route',
      {
        options: [{ kind: 'route-information', prefix: parseCidr('fd00::/8'), preference: 'low', lifetimeSeconds: 9 }],
      },
      [],
    ],
    [
      'another NAT64 prefix',
      { options: [{ kind: 'pref64', prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 600 }] },
      ['PREF64'],
    ],
    [
      'that prefix withdrawn',
      { options: [{ kind: 'pref64', prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 0 }] },
      [],
    ],
    ['another portal', { options: [{ kind: 'captive-portal', uri: 'https://b.test' }] }, ['captive portal']],
    ['hop limit', { hopLimit: 32 }, ['AdvCurHopLimit']],
    ['hop limit unspecified', { hopLimit: 0 }, []],
    ['flags', { managed: true, other: true }, ['AdvManagedFlag', 'AdvOtherConfigFlag']],
    ['timers', { reachableTimeMs: 1, retransTimerMs: 1 }, ['AdvReachableTime', 'AdvRetransTimer']],
    ['timers unspecified', { reachableTimeMs: 0, retransTimerMs: 0 }, []],
    ['MTU', { options: [{ kind: 'mtu', mtu: 1500 }] }, ['AdvLinkMTU']],
    ['no options', { options: [] }, []],
    ['another prefix', { options: [pio('fd00:7::/64', { validSeconds: 1 })] }, []],
    ['valid lifetime', { options: [pio('fd00:6:6::/64', { validSeconds: 1 })] }, ['AdvValidLifetime fd00:6:6::/64']],
    ['preferred', { options: [pio('fd00:6:6::/64', { preferredSeconds: 1 })] }, ['AdvPreferredLifetime fd00:6:6::/64']],
    ['the same servers in another order', { options: [rdnss(99, 'fd00::2', 'fd00::1')] }, []],
    ['another server', { options: [rdnss(60, 'fd00::1', 'fd00::bad')] }, ['RDNSS']],
    ['fewer servers', { options: [rdnss(60, 'fd00::1')] }, ['RDNSS']],
    ['another server, withdrawn', { options: [rdnss(0, 'fd00::bad')] }, []],
    ['another domain', { options: [{ kind: 'dnssl', lifetimeSeconds: 60, domains: ['c.test'] }] }, ['DNSSL']],
  ];
  for (const [name, theirs, what] of cases) {
    const found = findContradictions(ours, { ...ours, ...theirs }).map((one) => one.what);
    t.strictSame(found, what, name);
  }
  const router = { ...ours, lifetimeSeconds: 600, preference: 'low' as const };
  const beside = { ...ours, lifetimeSeconds: 1800 };
  t.strictSame(findContradictions(router, beside), [], 'two default routers are in order');
  const later = (seconds: number) => ({
    ...ours,
    options: [pio('fd00:6:6::/64', { validSeconds: 86_400 - seconds, preferredSeconds: 14_400 - seconds })],
  });
  t.strictSame(findContradictions(ours, later(60), 60), [], 'within the tolerance');
  t.equal(findContradictions(ours, later(61), 60).length, 2);
  t.end();
});

t.test('told anew when it comes again after a long time, and when we say something else', (t) => {
  const routers = new OtherRouters();
  const one = parseAddress('fe80::1');
  const bad = { ...ours, hopLimit: 1 };
  const news = (theirs: RouterAdvertisement, at: number): number =>
    routers.hear(one, theirs, own, at).newContradictions.length;
  t.equal(news(bad, 0), 1);
  t.equal(news(bad, silentRouterMs), 0, 'it has gone on');
  t.equal(news(ours, 2 * silentRouterMs), 0);
  t.equal(news(bad, 2 * silentRouterMs), 0, 'a short end is none');
  t.equal(news(ours, 3 * silentRouterMs), 0);
  t.equal(news(bad, 4 * silentRouterMs), 1);
  const changed = { ...own, advertisement: { ...ours, hopLimit: 1, managed: true } };
  t.match(routers.compare(changed, 4 * silentRouterMs), [
    { isNew: false, newContradictions: [{ what: 'AdvManagedFlag' }] },
  ]);
  t.match(routers.list(), [{ contradictions: [{ what: 'AdvManagedFlag' }] }], 'and the other has ended');
  t.end();
});

t.test('told once, forgotten in the order of last heard', (t) => {
  const routers = new OtherRouters();
  const bad = { ...ours, hopLimit: 1 };
  const one = parseAddress('fe80::1');
  t.match(routers.hear(one, bad, own, 1), { isNew: true, newContradictions: [{ what: 'AdvCurHopLimit' }] });
  t.match(routers.hear(one, bad, own, 2), { isNew: false, newContradictions: [] });
  t.match(routers.hear(one, ours, own, 3).router, { contradictions: [], firstSeen: 1, lastSeen: 3 });
  t.match(
    routers.hear(one, bad, undefined, 4).router,
    { contradictions: [] },
    'while we say nothing, nothing contradicts',
  );
  for (let i = 2; i <= maxOtherRouters; i++) routers.hear(parseAddress(`fe80::${i.toString(16)}`), ours, own, i);
  routers.hear(one, bad, own, 100);
  t.equal(routers.hear(parseAddress('fe80::ffff'), ours, own, 101).isNew, true);
  t.equal(routers.size, maxOtherRouters);
  t.equal(routers.hear(one, bad, own, 102).isNew, false, 'heard lately: still known');
  t.equal(routers.hear(parseAddress('fe80::2'), ours, own, 103).isNew, true, 'the oldest gave way');
  t.end();
});
