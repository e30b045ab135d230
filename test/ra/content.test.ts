import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { address, Harness, option, ownLinkLocal, prefix, raConfig } from './support.ts';

t.test('deadlines: each advertisement has its own lifetimes, and time alone is no change', async (t) => {
  const harness = new Harness();
  const validUntil = harness.clock.wall() + 100_000;
  harness.network.setLink({ index: 7 });
  harness.network.setAddresses(7, address(ownLinkLocal));
  await harness.control.start([raConfig({ maxDelayMs: 0, prefixes: [prefix('fd00:6:6::/64', { validUntil })] })]);
  harness.clock.advance(40_000);
  harness.solicit('fe80::77');
  const valid = () => harness.take().map((one) => option(one, 'prefix-information')[0]!.validSeconds);
  t.strictSame(valid(), [100, 84, 68, 60]);
  harness.network.setAddresses(7, address(ownLinkLocal), address('192.0.2.1/24'));
  harness.clock.advance(10_000);
  t.strictSame(valid(), [], 'no burst');
  t.match(harness.control.status()[0]!.advertisement!.options[0], { valid: 50, preferred: 50 });
  await harness.control.stop({ final: true, graceMs: 0 });
  t.strictSame(valid(), [50]);
});

t.test('a NAT64 prefix that is learned is announced, and one that is no more is taken back', async (t) => {
  const harness = await Harness.advertising(raConfig({ pref64: { prefix: 'auto', lifetimeSeconds: 600 } }));
  harness.clock.advance(100_000);
  t.ok(harness.take().every((one) => option(one, 'pref64').length === 0));
  harness.control.setNat64([parseCidr('64:ff9b::/96')]);
  harness.clock.advance(0);
  t.match(option(harness.take()[0]!, 'pref64'), [{ prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 600 }]);
  harness.clock.advance(100_000);
  harness.take();
  harness.control.setNat64([parseCidr('64:ff9b::/96')]);
  harness.clock.advance(10_000);
  t.strictSame(harness.take(), [], 'the same again is no news');
  harness.control.setNat64([parseCidr('2001:db8::/96')]);
  harness.clock.advance(0);
  t.match(option(harness.take()[0]!, 'pref64'), [
    { prefix: parseCidr('2001:db8::/96'), lifetimeSeconds: 600 },
    { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 0 },
  ]);
});

t.test('DNS that cannot serve is told at once, and that it can again', async (t) => {
  const rdnss = { servers: [parseAddress('fd00:6:6::1')], lifetimeSeconds: 1800, whileHealthy: true };
  const harness = await Harness.advertising(raConfig({ rdnss }));
  harness.clock.advance(100_000);
  harness.take();
  const lifetimes = () => harness.take().map((one) => option(one, 'rdnss').map((each) => each.lifetimeSeconds));
  harness.control.setDnsServes(false);
  harness.clock.advance(32_000);
  t.strictSame(lifetimes(), [[0], [0], [0]]);
  harness.control.setDnsServes(false);
  harness.clock.advance(10_000);
  t.strictSame(lifetimes(), [], 'said already');
  harness.control.setDnsServes(true);
  harness.clock.advance(0);
  t.strictSame(lifetimes(), [[1800]]);
  harness.control.setDnsServes(false);
  harness.control.apply([raConfig({ rdnss }), raConfig({ interface: 'eth2', rdnss })]);
  harness.network.setLink({ index: 8, name: 'eth2' });
  harness.network.setAddresses(8, address('fe80::8'));
  harness.clock.advance(0);
  t.match(harness.take().find((one) => one.ifindex === 8)?.ra.options, [{}, { kind: 'rdnss', lifetimeSeconds: 0 }]);

  const fixed = await Harness.advertising();
  fixed.clock.advance(100_000);
  fixed.take();
  fixed.control.setDnsServes(false);
  fixed.clock.advance(10_000);
  t.strictSame(fixed.take(), [], 'where the configuration does not ask for it, nothing is said');
});

t.test('a large advertisement is split: 1280 is the floor, all is said, each has its header', async (t) => {
  const prefixes = Array.from({ length: 80 }, (_, i) => prefix(`2001:db8:${(i + 1).toString(16)}::/64`));
  const servers = Array.from({ length: 100 }, (_, i) => parseAddress(`fd00::${(i + 1).toString(16)}`));
  const domains = Array.from({ length: 60 }, (_, i) => `${'x'.repeat(50)}${i}.example`);
  const config = raConfig({
    prefixes,
    rdnss: { servers, lifetimeSeconds: 60, whileHealthy: false },
    dnssl: { domains, lifetimeSeconds: 60 },
    mtu: 1400,
  });
  for (const [linkMtu, largest] of [
    [1500, 1400],
    [1280, 1280],
    [9000, 1400],
    [1000, 1280],
  ] as const) {
    const harness = new Harness();
    harness.network.setLink({ index: 7, mtu: linkMtu });
    harness.network.setAddresses(7, address(ownLinkLocal));
    await harness.control.start([config]);
    harness.clock.advance(0);
    const sent = harness.take();
    t.ok(sent.length > 3, `${sent.length} packets on a link of ${linkMtu}`);
    t.ok(sent.every((one) => one.bytes.length + 40 <= largest));
    t.ok(sent.every((one) => one.ra.hopLimit === 64 && option(one, 'source-link-layer-address').length === 1));
    t.equal(sent.flatMap((one) => option(one, 'prefix-information')).length, 80);
    t.equal(sent.flatMap((one) => option(one, 'rdnss').flatMap((o) => o.servers)).length, 100);
    t.equal(sent.flatMap((one) => option(one, 'dnssl').flatMap((o) => o.domains)).length, 60);
  }
});
