import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { formatAddress, formatCidr, parseAddress, parseCidr } from '../../src/core/address.ts';
import {
  buildAdvertisement,
  encodePackets,
  finalAdvertisement,
  hasDeadlines,
  ownServer,
} from '../../src/ra/advertisement.ts';
import { parseRouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';
import { address, ownLinkLocal, prefix, raConfig } from './support.ts';

const link = { index: 7, name: 'eth1', up: true, mtu: 1500, mac: Uint8Array.of(2, 0, 0, 0, 0, 1) };
const meta = { source: parseAddress(ownLinkLocal), hopLimit: 255 };

t.test('the own DNS server: a ULA before a global address, and none that is going or may go', (t) => {
  const cases: [name: string, addresses: ReturnType<typeof address>[], server: string | undefined][] = [
    ['nothing', [], undefined],
    ['link-local only', [address(ownLinkLocal)], undefined],
    ['deprecated', [address('fd00::1', { deprecated: true })], undefined],
    ['temporary', [address('fd00::1', { temporary: true })], undefined],
    ['tentative', [address('fd00::1', { tentative: true })], undefined],
    ['a duplicate', [address('fd00::1', { dadFailed: true })], undefined],
    ['IPv4', [address('192.0.2.1/24')], undefined],
    ['global', [address('2001:db8::1')], '2001:db8::1'],
    ['both', [address('2001:db8::1'), address('fd00::1')], 'fd00::1'],
  ];
  for (const [name, addresses, server] of cases) t.equal(ownServer(addresses).map(formatAddress)[0], server, name);
  t.end();
});

t.test('no server of our own, no RDNSS option; no router, no preference; each prefix once', (t) => {
  const config = raConfig({
    preference: 'high',
    prefixes: [prefix('fd00:6:6::/64', { onLink: false }), prefix('::/64')],
    rdnss: { servers: [], lifetimeSeconds: 60, whileHealthy: false },
  });
  const none = buildAdvertisement(config, link, [address(ownLinkLocal)]);
  t.equal(none.preference, 'medium');
  t.notOk(none.options.some((option) => option.kind === 'rdnss'));
  const some = buildAdvertisement(config, link, [address('fd00:6:6::1'), address('fd00:6:6::2'), address('fd00:7::1')]);
  t.match(
    some.options.filter((option) => option.kind === 'prefix-information'),
    [
      { prefix: parseCidr('fd00:6:6::/64'), onLink: false },
      { prefix: parseCidr('fd00:7::/64'), onLink: true },
    ],
    'the one that is written out wins',
  );
  t.end();
});

t.test('lifetimes count down to a deadline, and stay 0', (t) => {
  const wall = Date.UTC(2026, 0, 1);
  const config = raConfig({
    prefixes: [
      prefix('fd00:1::/64', { validUntil: wall + 7_200_000, preferredUntil: wall + 3_600_000 }),
      prefix('fd00:2::/64', { validUntil: wall + 3_600_000 }),
      prefix('fd00:3::/64', { validSeconds: Infinity, validUntil: wall + 7_200_000, preferredUntil: wall }),
    ],
    routes: [{ prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800, until: wall + 3_600_000, preference: 'low' }],
  });
  t.ok(hasDeadlines(config));
  t.notOk(hasDeadlines(raConfig()));
  const at = (time: number | undefined) => {
    const now = time === undefined ? {} : { wall: wall + time };
    const { options } = buildAdvertisement(config, link, [], { dnsServes: true, nat64: [], ...now });
    return options.flatMap((option) => {
      if (option.kind === 'prefix-information') return [[option.validSeconds, option.preferredSeconds]];
      return option.kind === 'route-information' ? [[option.lifetimeSeconds]] : [];
    });
  };
  t.strictSame(at(undefined), [[86_400, 14_400], [86_400, 14_400], [Infinity, 14_400], [1800]], 'without a clock');
  t.strictSame(at(0), [[7_200, 3_600], [3_600, 3_600], [7_200, 0], [1800]], 'preferred never beyond valid');
  t.strictSame(at(3_000_500), [[4_199, 599], [599, 599], [4_199, 0], [599]]);
  t.strictSame(at(9e9), [[0, 0], [0, 0], [0, 0], [0]]);
  t.end();
});

t.test('pref64 auto: each prefix that is known, and none while none is', (t) => {
  const config = raConfig({ pref64: { prefix: 'auto', lifetimeSeconds: 600 } });
  const said = (...nat64: string[]) =>
    buildAdvertisement(config, link, [], { dnsServes: true, nat64: nat64.map(parseCidr) }).options.flatMap((option) =>
      option.kind === 'pref64' ? [`${formatCidr(option.prefix)} ${option.lifetimeSeconds}`] : [],
    );
  t.strictSame(said(), []);
  t.strictSame(said('64:ff9b::/96', '2001:db8::/32'), ['64:ff9b::/96 600', '2001:db8::/32 600']);
  t.end();
});

t.test('DNS that cannot serve: lifetime 0 where the configuration wants it', (t) => {
  const servers = [parseAddress('fd00::1')];
  const lifetime = (whileHealthy: boolean, dnsServes: boolean): unknown => {
    const config = raConfig({ rdnss: { servers, lifetimeSeconds: 60, whileHealthy } });
    const { options } = buildAdvertisement(config, link, [], { dnsServes, nat64: [] });
    return options.find((option) => option.kind === 'rdnss')?.lifetimeSeconds;
  };
  t.strictSame(
    [lifetime(false, true), lifetime(false, false), lifetime(true, true), lifetime(true, false)],
    [60, 60, 60, 0],
  );
  t.end();
});

t.test('R: our own address in the prefix, if there is one; `::/64` passes over what is ignored', (t) => {
  const own = [
    address('fd00:1::5'),
    address('fd00:4::5'),
    address('2001:db8::5'),
    address('fd00:3::5', { tentative: true }),
  ];
  const config = raConfig({
    prefixes: [
      prefix('fd00:1::/64', { routerAddress: true }),
      prefix('fd00:2::/64', { routerAddress: true }),
      prefix('::/64', { routerAddress: true, ignore: [parseCidr('fd00::/16')] }),
    ],
  });
  const { options } = buildAdvertisement(config, link, own);
  t.strictSame(
    options.flatMap((option) =>
      option.kind === 'prefix-information'
        ? [[formatCidr(option.prefix), option.routerAddress && formatAddress(option.routerAddress)]]
        : [],
    ),
    [
      ['fd00:1::/64', 'fd00:1::5'],
      ['fd00:2::/64', undefined],
      ['2001:db8::/64', '2001:db8::5'],
    ],
  );
  t.end();
});

t.test('a link without an address of its own sends no link-layer option', (t) => {
  const { options } = buildAdvertisement(raConfig(), { ...link, mac: new Uint8Array(0) }, []);
  t.notOk(options.some((option) => option.kind === 'source-link-layer-address'));
  t.end();
});

t.test('final: prefixes as they were unless marked; a valid lifetime below two hours is not raised', (t) => {
  const config = raConfig({
    prefixes: [prefix('fd00:1::/64'), prefix('fd00:2::/64', { validSeconds: 60, preferredSeconds: 30 })],
  });
  const final = finalAdvertisement(buildAdvertisement(config, link, []), (one) => formatCidr(one) === 'fd00:2::/64');
  t.match(
    final.options.filter((option) => option.kind === 'prefix-information'),
    [
      { validSeconds: 86_400, preferredSeconds: 14_400 },
      { validSeconds: 60, preferredSeconds: 0 },
    ],
  );
  t.end();
});

t.test('packets: whatever is configured, none too large, nothing lost, nothing twice', (t) => {
  fc.assert(
    fc.property(
      fc.nat(120),
      fc.nat(200),
      fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 80 }),
      fc.nat(1214 - 15),
      fc.constantFrom(1280, 1400, 1500, 9000),
      (prefixes, servers, labels, portal, mtu) => {
        const config = raConfig({
          prefixes: Array.from({ length: prefixes }, (_, i) => prefix(`2001:db8:${(i + 1).toString(16)}::/64`)),
          rdnss: {
            servers: Array.from({ length: servers + 1 }, (_, i) => parseAddress(`fd00::${(i + 1).toString(16)}`)),
            lifetimeSeconds: 60,
            whileHealthy: false,
          },
          dnssl:
            labels.length === 0
              ? undefined
              : { domains: labels.map((length, i) => `${'x'.repeat(length)}.n${i}`), lifetimeSeconds: 60 },
          // The longest that the configuration takes, and half of the time none.
          captivePortal: portal % 2 === 0 ? '' : `https://a.test/${'p'.repeat(portal)}`,
        });
        const advertisement = buildAdvertisement(config, link, []);
        const packets = encodePackets(advertisement, mtu);
        for (const packet of packets) assert.ok(packet.length + 40 <= mtu);
        const parsed = packets.map((packet) => parseRouterAdvertisement(packet, meta));
        const isLinkLayer = (option: { kind: string }): boolean => option.kind === 'source-link-layer-address';
        for (const one of parsed) assert.equal(one.options.filter(isLinkLayer).length, 1);
        assert.deepEqual(
          parsed.flatMap((one) => one.options.filter((option) => !isLinkLayer(option))),
          advertisement.options.filter((option) => !isLinkLayer(option)),
        );
      },
    ),
    { seed: 6980, numRuns: 150 },
  );
  t.pass('all runs');
  t.end();
});
