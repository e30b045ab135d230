/** What is said no more is taken back: after a reload, a restart, with another address (RFC 4861 §6.2.8). In simulated time. */
import { join } from 'node:path';
import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { StateFile } from '../../src/core/state-file.ts';
import { address, Harness, option, ownLinkLocal, prefix, raConfig } from './support.ts';

t.test('a reload withdraws what it lacks, with a burst; nothing changed means nothing sent', async (t) => {
  const harness = await Harness.advertising(
    raConfig({
      prefixes: [prefix('fd00:6:6::/64'), prefix('fd00:7:7::/64')],
      routes: [{ prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800, preference: 'medium', until: undefined }],
      pref64: { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800 },
    }),
  );
  harness.clock.advance(100_000);
  harness.take();
  harness.control.apply([
    raConfig({
      dnssl: undefined,
      rdnss: { servers: [parseAddress('fd00:6:6::2')], lifetimeSeconds: 60, whileHealthy: false },
    }),
  ]);
  harness.clock.advance(40_000);
  const sent = harness.take();
  t.equal(sent.length, 3);
  for (const [i, one] of sent.entries()) {
    t.match(option(one, 'prefix-information'), [
      { prefix: parseCidr('fd00:6:6::/64'), preferredSeconds: 14_400 },
      { prefix: parseCidr('fd00:7:7::/64'), preferredSeconds: 0, validSeconds: 7_200 - 16 * i },
    ]);
    t.match(option(one, 'route-information'), [{ lifetimeSeconds: 0 }]);
    t.match(option(one, 'pref64'), [{ lifetimeSeconds: 0 }]);
    t.match(option(one, 'dnssl'), [{ lifetimeSeconds: 0, domains: ['cluster.test'] }]);
    t.match(option(one, 'rdnss'), [
      { lifetimeSeconds: 60, servers: [parseAddress('fd00:6:6::2')] },
      { lifetimeSeconds: 0, servers: [parseAddress('fd00:6:6::1')] },
    ]);
  }
  harness.clock.advance(2 * 3600 * 1000 + 600_000);
  t.strictSame(
    option(harness.take().at(-1)!, 'prefix-information').map((one) => one.validSeconds),
    [86_400, 0],
    'two hours later no host has an address of it any more',
  );
  harness.clock.advance(24 * 3600 * 1000);
  t.equal(
    harness.take().at(-1)!.ra.options.length,
    3,
    'then only what is configured: prefix, RDNSS, link-layer address',
  );
  harness.clock.advance(10_000);
  harness.take();
  harness.control.apply([
    raConfig({
      dnssl: undefined,
      rdnss: { servers: [parseAddress('fd00:6:6::2')], lifetimeSeconds: 60, whileHealthy: false },
    }),
  ]);
  harness.clock.advance(3_000);
  t.strictSame(harness.take(), []);
});

t.test('a reload sets another interval, or ends multicasts, from that moment on', async (t) => {
  const harness = await Harness.advertising();
  harness.clock.advance(100_000);
  harness.take();
  harness.control.apply([raConfig({ interval: { minMs: 3_000, maxMs: 4_000 } })]);
  harness.clock.advance(60_000);
  t.ok(harness.take().length >= 15, 'at most 4 s apart, the first at once');
  harness.control.apply([raConfig({ unicastOnly: true })]);
  harness.clock.advance(2_000_000);
  t.strictSame(harness.take(), []);
});

t.test('a restart takes back what only the process before it said', async (t) => {
  const file = new StateFile(join(t.testdir({}), 'state/ra.json'));
  const before = await Harness.advertising(raConfig({ prefixes: [prefix('fd00:7:7::/64')] }), undefined, file);
  await before.control.stop({ final: false });
  const after = await Harness.advertising(raConfig(), undefined, file);
  t.match(option(after.take()[0]!, 'prefix-information'), [
    { prefix: parseCidr('fd00:6:6::/64'), preferredSeconds: 14_400 },
    { prefix: parseCidr('fd00:7:7::/64'), preferredSeconds: 0, validSeconds: 7_200 },
  ]);
  await after.control.stop({ final: true, graceMs: 0 });
  const third = await Harness.advertising(raConfig(), undefined, file);
  t.equal(option(third.take()[0]!, 'prefix-information').length, 2, 'and the one after it still does');
  await third.control.stop({ final: false });
});

t.test('another link-local address: the old one says that it is no router any more (§6.2.8)', async (t) => {
  const routes = [
    { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800, preference: 'high' as const, until: undefined },
  ];
  const harness = await Harness.advertising(raConfig({ defaultLifetimeSeconds: 1800, routes }));
  harness.clock.advance(40_000);
  harness.take();
  harness.network.setAddresses(7, address('fe80::2', { tentative: true }));
  harness.clock.advance(1_000);
  t.strictSame(harness.take(), [], 'nothing while the new one is in DAD');
  harness.network.setAddresses(7, address('fe80::2'));
  harness.clock.advance(33_000);
  const sent = harness.take();
  t.strictSame(
    sent.map((one) => [one.from, one.foreign, one.ra.lifetimeSeconds]),
    [1, 2, 3].flatMap(() => [
      ['fe80::2', false, 1800],
      [ownLinkLocal, true, 0],
    ]),
    'the new router first, then the end of the old one; three times',
  );
  t.match(sent[1]!.ra.options, [{ kind: 'route-information', lifetimeSeconds: 0 }]);
  t.equal(sent[1]!.ra.options.length, 1, 'what hosts do not know by our address is not taken back');
  harness.clock.advance(600_000);
  t.ok(harness.take().every((one) => one.from === 'fe80::2'));

  const modest = await Harness.advertising();
  modest.network.setAddresses(7, address('fe80::2'));
  modest.clock.advance(40_000);
  t.notOk(
    modest.take().some((one) => one.foreign),
    'who was no default router has nothing to say',
  );
});

t.test('an interface that a reload lacks ceases, its prefixes deprecated; it may come back meanwhile', async (t) => {
  const harness = await Harness.advertising();
  harness.clock.advance(100_000);
  harness.take();
  harness.control.apply([]);
  t.strictSame(harness.control.status(), []);
  harness.clock.advance(3_000);
  const sent = harness.take();
  t.equal(sent.length, 2);
  t.match(option(sent[0]!, 'prefix-information'), [{ preferredSeconds: 0 }]);
  t.match(option(sent[0]!, 'rdnss'), [{ lifetimeSeconds: 0 }]);
  harness.control.apply([raConfig()]);
  harness.clock.advance(32_000);
  t.ok(
    harness.take().every((one) => option(one, 'rdnss')[0]!.lifetimeSeconds === 1800),
    'no last words after that',
  );
});
