import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { RaControl } from '../../src/ra/control.ts';
import { RaCounter, RaGauge, raCounters } from '../../src/ra/counters.ts';
import { encodeRouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';
import { address, EINVAL, gaps, Harness, ownLinkLocal, prefix, prefixOption, raConfig } from './support.ts';

t.test('bad messages are counted by reason and change nothing', async (t) => {
  const harness = await Harness.advertising();
  harness.take();
  const cases: { name: string; hex: string; from?: string; hopLimit?: number; fragmented?: true; counter: number }[] = [
    { name: 'hop limit', hex: '85 00 0000 00000000', hopLimit: 254, counter: RaCounter.invalidSolicitation },
    { name: 'no hop limit', hex: '85 00 0000 00000000', hopLimit: -1, counter: RaCounter.invalidSolicitation },
    { name: 'too short', hex: '85 00 0000 000000', counter: RaCounter.invalidSolicitation + 1 },
    { name: 'code', hex: '85 01 0000 00000000', counter: RaCounter.invalidSolicitation + 2 },
    {
      name: 'option of length zero',
      hex: '85 00 0000 00000000 0100 020000000001',
      counter: RaCounter.invalidSolicitation + 3,
    },
    {
      name: 'option cut off',
      hex: '85 00 0000 00000000 0102 020000000001',
      counter: RaCounter.invalidSolicitation + 3,
    },
    { name: 'a lone octet of an option', hex: '85 00 0000 00000000 01', counter: RaCounter.invalidSolicitation + 3 },
    {
      name: 'link-layer address from ::',
      hex: '85 00 0000 00000000 0101 020000000001',
      from: '::',
      counter: RaCounter.invalidSolicitation + 4,
    },
    { name: 'RA too short', hex: '86 00 0000 00000000', counter: RaCounter.invalidAdvertisement + 1 },
    {
      name: 'RA from a global source',
      hex: '86 00 0000 40 00 0000 00000000 00000000',
      from: '2001:db8::1',
      counter: RaCounter.invalidAdvertisement + 4,
    },
    {
      name: 'fragments',
      hex: '85 00 0000 00000000',
      fragmented: true,
      counter: RaCounter.invalidSolicitation + 5,
    },
    {
      name: 'RA in fragments',
      hex: '86 00 0000 40 00 0000 00000000 00000000',
      fragmented: true,
      counter: RaCounter.invalidAdvertisement + 5,
    },
    {
      name: 'RA with hop limit 64',
      hex: '86 00 0000 40 00 0000 00000000 00000000',
      hopLimit: 64,
      counter: RaCounter.invalidAdvertisement,
    },
  ];
  for (const { name, hex, from, counter, ...more } of cases) {
    const before = harness.counters.get(counter);
    harness.receive(hex, from ?? 'fe80::77', more);
    t.equal(harness.counters.get(counter), before + 1, name);
  }
  t.equal(harness.counters.get(RaCounter.solicitations), 0);
  t.equal(harness.control.status()[0]!.counters.invalid, cases.length);
  harness.clock.advance(2_000);
  t.strictSame(harness.take(), []);
  harness.receive('85 01 0000 00000000', 'fe80::77', { ifindex: 99 });
  t.equal(harness.control.status()[0]!.counters.invalid, cases.length, 'other interfaces are not ours');
});

t.test('other routers are remembered, compared, told of once, and bounded (§6.2.7)', async (t) => {
  const harness = await Harness.advertising(raConfig({ mtu: 1400 }));
  const rogue = (more: object = {}): string =>
    Buffer.from(
      encodeRouterAdvertisement({
        hopLimit: 32,
        managed: true,
        other: false,
        homeAgent: false,
        preference: 'high',
        lifetimeSeconds: 1800,
        reachableTimeMs: 5,
        retransTimerMs: 0,
        options: [
          { kind: 'mtu', mtu: 1500 },
          prefixOption('fd00:6:6::/64', { validSeconds: 60 }),
          prefixOption('2001:db8::/64'),
          { kind: 'rdnss', lifetimeSeconds: 60, servers: [parseAddress('fd00:6:6::bad')] },
        ],
        ...more,
      }),
    ).toString('hex');
  for (let i = 0; i < 3; i++) harness.receive(rogue(), 'fe80::bad');
  const expected = [
    'default router',
    'AdvCurHopLimit',
    'AdvManagedFlag',
    'AdvLinkMTU',
    'AdvValidLifetime fd00:6:6::/64',
    'RDNSS',
  ];
  const [router] = harness.control.status()[0]!.routers;
  t.match(router, { source: 'fe80::bad', advertisement: { lifetime: 1800 } });
  t.strictSame(
    router!.contradictions.map((one) => one.what),
    expected,
  );
  t.equal(harness.log.lines.filter((line) => line.level === 'warn').length, expected.length, 'once each');
  t.equal(harness.events.filter((event) => event.kind === 'ra-router-seen').length, 1);
  t.equal(harness.counters.get(RaCounter.otherAdvertisements), 3);
  harness.receive(rogue(), ownLinkLocal);
  t.equal(harness.control.status()[0]!.routers.length, 1, 'ourselves are no other');
  for (let i = 0; i < 1_000; i++) harness.receive(rogue(), `fe80::1:${i.toString(16)}`);
  t.equal(harness.control.status()[0]!.routers.length, 32);
  t.equal(harness.counters.gauge(RaGauge.otherRouters), 32);
  t.equal(harness.events.filter((event) => event.kind === 'ra-router-seen').length, 32, 'no flood of events');
  const told = harness.events.filter((event) => event.kind === 'ra-contradiction').length;
  t.equal(told, 32 * expected.length, 'nor of contradictions');
  t.equal(harness.counters.get(RaCounter.contradictions), 1_001 * expected.length, 'all are counted');
});

t.test('what another router says is compared again when we begin, and when we say something else', async (t) => {
  const harness = new Harness();
  harness.network.setLink({ index: 7 });
  await harness.control.start([raConfig({ hopLimit: 64 })]);
  const theirs = encodeRouterAdvertisement({
    hopLimit: 32,
    managed: false,
    other: false,
    homeAgent: false,
    preference: 'medium',
    lifetimeSeconds: 0,
    reachableTimeMs: 0,
    retransTimerMs: 0,
    options: [],
  });
  harness.receive(Buffer.from(theirs).toString('hex'), 'fe80::2');
  const contradictions = () => harness.control.status()[0]!.routers.map((one) => one.contradictions.length);
  const told = () => harness.events.filter((event) => event.kind === 'ra-contradiction').length;
  t.strictSame([contradictions(), told()], [[0], 0], 'we say nothing yet');
  harness.network.setAddresses(7, address(ownLinkLocal));
  t.strictSame([contradictions(), told()], [[1], 1]);
  harness.control.apply([raConfig({ hopLimit: 32 })]);
  t.strictSame([contradictions(), told()], [[0], 1], 'a reload ended it');
  harness.control.apply([raConfig({ hopLimit: 32, other: true })]);
  t.strictSame([contradictions(), told()], [[1], 2]);
  t.equal(harness.counters.get(RaCounter.contradictions), 2);
});

t.test('two edges whose prefix ends at a set time do not contradict each other', async (t) => {
  const validUntil = new Harness().clock.wall() + 3_600_000;
  const config = raConfig({ prefixes: [prefix('fd00:6:6::/64', { validUntil, preferredUntil: validUntil })] });
  const [a, b] = [await Harness.advertising(config), await Harness.advertising(config)];
  a.clock.advance(1_800_000);
  b.clock.advance(1_800_000);
  a.solicit('fe80::2');
  a.clock.advance(500);
  b.receive(Buffer.from(a.take().at(-1)!.bytes).toString('hex'), 'fe80::2');
  b.clock.advance(600_000);
  b.control.apply([{ ...config, captivePortal: 'https://portal.example' }]);
  t.match(b.control.status()[0]!.routers, [{ source: 'fe80::2' }]);
  t.strictSame(
    b.events.filter((event) => event.kind === 'ra-contradiction'),
    [],
  );
});

t.test(
  'kernel settings: accept_ra goes off, forwarding is mentioned for what it means; and what is hardly meant',
  async (t) => {
    const harness = new Harness();
    harness.network.setLink({ index: 7 });
    harness.network.setAddresses(7, address(ownLinkLocal));
    harness.sysctl.set('net/ipv6/conf/eth1/accept_ra', '1').set('net/ipv6/conf/eth1/forwarding', '0');
    await harness.control.start([raConfig({ defaultLifetimeSeconds: 1800, mtu: 9000 })]);
    t.equal(harness.sysctl.get('net/ipv6/conf/eth1/accept_ra'), '0');
    const warnings = harness.log.lines.filter((line) => line.level === 'warn').map((line) => line.message);
    t.match(warnings, [/accept_ra was on/, /forwarding is off: nodes are told/, /mtu 9000 is more/]);
    await harness.control.stop({ final: true, graceMs: 0 });
    t.equal(harness.sysctl.get('net/ipv6/conf/eth1/accept_ra'), '1', 'and comes back in the end');
  },
);

t.test('the status says what is advertised, as JSON', async (t) => {
  const harness = await Harness.advertising(
    raConfig({
      prefixes: [prefix('fd00:6:6::/64', { validSeconds: Infinity })],
      pref64: { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800 },
      captivePortal: 'https://portal.example/',
    }),
  );
  t.match(JSON.parse(JSON.stringify(harness.control.status())), [
    {
      interface: 'eth1',
      ifindex: 7,
      state: 'advertising',
      reason: '',
      source: ownLinkLocal,
      lastSent: { at: '2026-01-01T00:00:00.000Z', to: 'ff02::1' },
      lastMulticast: '2026-01-01T00:00:00.000Z',
      nextMulticastInMs: 16_000,
      advertisement: {
        hopLimit: 64,
        lifetime: 0,
        options: [
          { kind: 'prefix-information', prefix: 'fd00:6:6::/64', valid: 'infinity', preferred: 14_400 },
          { kind: 'rdnss', servers: ['fd00:6:6::1'], lifetime: 1800 },
          { kind: 'dnssl', domains: ['cluster.test'] },
          { kind: 'source-link-layer-address', address: '02:00:00:00:00:01' },
          { kind: 'pref64', prefix: '64:ff9b::/96' },
          { kind: 'captive-portal', uri: 'https://portal.example/' },
        ],
      },
      counters: { sentMulticast: 1, sentUnicast: 0 },
      routers: [],
    },
  ]);
});

t.test('random network changes and packets: the daemon stays, timers stay few, the 3 s rule holds', async (t) => {
  const random = new SeededRandom(20_261);
  const harness = await Harness.advertising(raConfig({ prefixes: [prefix('::/64')] }));
  const steps = [
    () => harness.network.setLink({ index: 7, up: random.below(3) > 0 }),
    () => harness.network.setLink({ index: 7, name: random.below(4) > 0 ? 'eth1' : 'x' }),
    () => harness.network.setAddresses(7, address(ownLinkLocal, { tentative: random.below(2) > 0 })),
    () => harness.network.setAddresses(7, address(ownLinkLocal), address(`2001:db8:${random.below(5)}::1`)),
    () => harness.network.removeLink(7),
    () => harness.network.setLink({ index: 7, mtu: 1280 + random.below(500) }),
    () => harness.solicit(random.below(2) > 0 ? '::' : `fe80::${random.below(50).toString(16)}`),
    () => harness.receive(Buffer.from(random.fill(new Uint8Array(random.below(60)))).toString('hex'), 'fe80::2'),
    () => {
      harness.socket.failWith = random.below(3) > 0 ? 0 : EINVAL;
    },
    () => harness.control.apply([raConfig({ hopLimit: random.below(256) })]),
  ];
  for (let i = 0; i < 3_000; i++) {
    steps[random.below(steps.length)]!();
    harness.clock.advance(random.below(2_000));
    if (harness.clock.pending > 60) t.fail(`${harness.clock.pending} timers`);
  }
  const multicasts = harness.take().filter((one) => one.to === 'ff02::1');
  t.ok(multicasts.length > 50);
  t.ok(
    gaps(multicasts).every((gap) => gap >= 3_000),
    'never closer than MIN_DELAY_BETWEEN_RAS',
  );
  await harness.control.stop({ final: false });
  t.equal(harness.clock.pending, 0);
});

t.test('a socket that is not allowed fails the start', async (t) => {
  const harness = new Harness();
  const control = new RaControl({
    clock: harness.clock,
    random: new SeededRandom(1),
    log: harness.log,
    counters: harness.counters,
    network: harness.network,
    sysctl: { read: () => undefined, write: () => false },
    openSocket: () => {
      throw new Error('EPERM');
    },
    emit: () => {},
  });
  await t.rejects(control.start([raConfig()]), /EPERM/);
  await control.start([]);
  t.ok(control.ready, 'nothing to advertise needs no socket');
});

t.test('metric names', (t) => {
  for (const { name, help } of raCounters) {
    t.match(name, /^v6edge_ra_[a-z_]+_total$/);
    t.ok(help.length > 10);
  }
  t.equal(raCounters.length, RaCounter.pastNeighbours + 1);
  t.end();
});
