/** Every rule of RFC 4861 §6.2 in simulated time. */
import { join } from 'node:path';
import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { StateFile } from '../../src/core/state-file.ts';
import { RaControl } from '../../src/ra/control.ts';
import { RaCounter, RaGauge, raCounters } from '../../src/ra/counters.ts';
import type { NdOption } from '../../src/ra/wire/options.ts';
import { encodeRouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';
import { address, fixedRandom, Harness, ownLinkLocal, prefix, prefixOption, raConfig, type Sent } from './support.ts';

const gaps = (sent: readonly Sent[]): number[] => sent.slice(1).map((one, i) => one.at - sent[i]!.at);
const option = <K extends NdOption['kind']>(sent: Sent, kind: K): Extract<NdOption, { kind: K }>[] =>
  sent.ra.options.filter((one) => one.kind === kind) as Extract<NdOption, { kind: K }>[];
const EINVAL = 22;

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

t.test('the first at once, three at most 16 s apart, then between Min and Max (§6.2.4)', async (t) => {
  const harness = await Harness.advertising();
  harness.clock.advance(4 * 3600 * 1000);
  const sent = harness.take();
  t.equal(sent[0]!.at, 1_000_000);
  t.strictSame(gaps(sent).slice(0, 2), [16_000, 16_000]);
  const later = gaps(sent).slice(2);
  t.ok(
    later.every((gap) => gap >= 200_000 && gap <= 600_000),
    'all between',
  );
  t.ok(new Set(later).size > later.length / 2, 'and random');
  t.ok(sent.every((one) => one.to === 'ff02::1' && one.from === ownLinkLocal && one.ifindex === 7));
  t.ok(harness.socket.groups.has('ff02::2%7'));
});

t.test('short intervals stay above MIN_DELAY_BETWEEN_RAS', async (t) => {
  const harness = await Harness.advertising(raConfig({ interval: { minMs: 1_000, maxMs: 4_000 } }));
  harness.clock.advance(200_000);
  t.ok(gaps(harness.take()).every((gap) => gap >= 3_000 && gap <= 4_000));
});

t.test('a solicitation is answered by unicast after 0..maxDelay (§6.2.6)', async (t) => {
  for (const fraction of [0, 0.5, 0.999]) {
    const harness = await Harness.advertising(raConfig(), fixedRandom(fraction));
    harness.take();
    harness.solicit('fe80::77');
    if (fraction > 0) {
      harness.clock.advance(fraction * 500 - 1);
      t.strictSame(harness.take(), [], 'not yet');
      harness.clock.advance(1);
    }
    t.match(harness.take(), [{ to: 'fe80::77', from: ownLinkLocal }]);
  }
});

t.test('maxDelay 0 answers within the call; a global source is answered too', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0 }));
  harness.take();
  harness.solicit('2001:db8::77');
  t.match(harness.take(), [{ to: '2001:db8::77' }]);
  t.match(harness.control.status()[0]!, {
    lastSolicitation: { from: '2001:db8::77' },
    lastSent: { to: '2001:db8::77' },
  });
});

t.test('solicitations of one source that wait are answered once', async (t) => {
  const harness = await Harness.advertising();
  harness.take();
  for (let i = 0; i < 3; i++) harness.solicit('fe80::77');
  harness.clock.advance(500);
  t.equal(harness.take().length, 1);
});

t.test('from ::, the answer is a multicast, 3 s after the one before at the earliest', async (t) => {
  const harness = await Harness.advertising(raConfig(), fixedRandom(0.5));
  harness.take();
  harness.clock.advance(1_000);
  for (let i = 0; i < 5; i++) harness.solicit('::');
  harness.clock.advance(2_249);
  t.strictSame(harness.take(), []);
  harness.clock.advance(1);
  const [answer] = harness.take();
  t.match(answer, { to: 'ff02::1', at: 1_003_250 });
  harness.clock.advance(10_000);
  harness.solicit('::');
  harness.clock.advance(250);
  const [second] = harness.take();
  t.equal(second!.at, 1_013_500, 'later, after the random delay alone');
  harness.clock.advance(15_999);
  t.strictSame(harness.take(), [], 'and the interval begins anew');
});

t.test('one source that floods gets a few, others their own', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0 }));
  harness.take();
  for (let i = 0; i < 2_000; i++) harness.solicit('fe80::bad');
  t.equal(harness.take().length, 4);
  t.equal(harness.counters.get(RaCounter.rateLimited), 1_996);
  harness.solicit('fe80::77');
  t.equal(harness.take().length, 1);
  harness.clock.advance(1_000);
  harness.solicit('fe80::bad');
  t.equal(harness.take().filter((one) => one.to === 'fe80::bad').length, 1, 'again after a second');
});

t.test('many sources: beyond the limit one multicast answers all', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0 }));
  harness.take();
  for (let i = 0; i < 5_000; i++) harness.solicit(`fe80::1:${i.toString(16)}`);
  t.equal(harness.take().length, 200);
  harness.clock.advance(3_000);
  t.match(harness.take(), [{ to: 'ff02::1' }]);
});

t.test('no start race: nothing before the link-local address has left DAD, then at that moment', async (t) => {
  const harness = new Harness();
  await harness.control.start([raConfig()]);
  const states: string[] = [];
  const step = (change: () => void): void => {
    change();
    harness.clock.advance(0);
    states.push(harness.control.status()[0]!.state);
  };
  step(() => {});
  step(() => harness.network.setLink({ index: 7, up: false }));
  step(() => harness.network.setLink({ index: 7, up: true }));
  step(() => harness.network.setAddresses(7, address(ownLinkLocal, { tentative: true })));
  harness.solicit('fe80::77');
  harness.clock.advance(60_000);
  t.strictSame(harness.take(), []);
  t.equal(harness.control.ready, false);
  step(() => harness.network.setAddresses(7, address(ownLinkLocal)));
  t.match(harness.take(), [{ to: 'ff02::1', at: harness.clock.now() }]);
  t.ok(harness.control.ready);
  t.strictSame(states, ['missing', 'down', 'no-link-local', 'no-link-local', 'advertising']);
  t.equal(harness.counters.gauge(RaGauge.advertising), 1);
  t.match(
    harness.events.map((event) => event.kind === 'ra-state' && event.state),
    ['missing', 'down', 'no-link-local', 'advertising'],
  );
});

t.test('a duplicate link-local address is named', async (t) => {
  const harness = await Harness.advertising();
  harness.network.setAddresses(7, address(ownLinkLocal, { tentative: true, dadFailed: true }));
  t.match(harness.control.status()[0]!, {
    state: 'duplicate-address',
    reason: /another node/,
    advertisement: undefined,
  });
});

t.test('down and up, gone and back, renamed away and back: it resumes, with a burst', async (t) => {
  const harness = await Harness.advertising();
  harness.clock.advance(100_000);
  harness.take();
  const changes: [name: string, away: () => void, back: () => void][] = [
    [
      'down',
      () => harness.network.setLink({ index: 7, up: false }),
      () => harness.network.setLink({ index: 7, up: true }),
    ],
    [
      'renamed',
      () => harness.network.setLink({ index: 7, name: 'x' }),
      () => harness.network.setLink({ index: 7, name: 'eth1' }),
    ],
    [
      'gone, back under another index',
      () => harness.network.removeLink(7),
      () => {
        harness.network.setLink({ index: 8 });
        harness.network.setAddresses(8, address('fe80::8'), address('fd00:6:6::1'));
      },
    ],
  ];
  for (const [name, away, back] of changes) {
    away();
    harness.clock.advance(1_000_000);
    t.strictSame(harness.take(), [], `${name}: quiet`);
    t.strictSame([...harness.socket.groups], []);
    back();
    harness.clock.advance(32_000);
    t.equal(harness.take().length, 3, `${name}: three within 32 s`);
  }
  t.strictSame([...harness.socket.groups], ['ff02::2%8']);
  t.equal(harness.counters.gauge(RaGauge.advertising), 1);
});

t.test('a failed send is tried again, heals, is counted and told once', async (t) => {
  const harness = new Harness();
  harness.network.setLink({ index: 7 });
  harness.network.setAddresses(7, address(ownLinkLocal));
  harness.socket.failWith = EINVAL;
  await harness.control.start([raConfig()]);
  harness.clock.advance(10_000);
  t.equal(harness.counters.get(RaCounter.sendFailures), 6, 'after 0, 250, 750, 1750, 3750, 7750 ms');
  t.match(harness.control.status()[0]!, { lastError: 'EINVAL', lastSent: undefined });
  t.equal(harness.log.lines.filter((line) => /could not be sent/.test(line.message)).length, 1);
  harness.socket.failWith = 0;
  harness.clock.advance(16_000);
  t.equal(harness.take().length, 1);
  t.match(harness.control.status()[0]!, { lastError: undefined, lastSent: { to: 'ff02::1' } });
});

t.test('a change of addresses is told at once: ::/64 and the own DNS server', async (t) => {
  const harness = await Harness.advertising(
    raConfig({ prefixes: [prefix('::/64')], rdnss: { servers: [], lifetimeSeconds: 1800, whileHealthy: false } }),
  );
  harness.clock.advance(10_000);
  harness.take();
  harness.network.setAddresses(
    7,
    address(ownLinkLocal),
    address('2001:db8:7::1'),
    address('2001:db8:7::2'),
    address('2001:db8:8::1', { deprecated: true }),
    address('2001:db8:9::1', { temporary: true }),
    address('2001:db8:a::1', { tentative: true }),
    address('2001:db8:b::1/128'),
  );
  harness.clock.advance(0);
  const [sent] = harness.take();
  const said = (one: Sent) =>
    option(one, 'prefix-information').map((p) => [p.prefix.base.bytes.slice(4, 6).join(), p.preferredSeconds]);
  t.strictSame(
    said(sent!),
    [
      ['0,7', 14_400],
      ['0,6', 0],
    ],
    'the new one, and the old one deprecated',
  );
  t.match(option(sent!, 'rdnss'), [
    { lifetimeSeconds: 1800, servers: [parseAddress('2001:db8:7::1')] },
    { lifetimeSeconds: 0, servers: [parseAddress('fd00:6:6::1')] },
  ]);
  harness.clock.advance(2 * 3600 * 1000);
  t.match(
    option(harness.take().at(-1)!, 'rdnss').map((one) => one.lifetimeSeconds),
    [1800],
    'a server is taken back for as long as its lifetime was',
  );
  harness.clock.advance(20 * 3600 * 1000);
  t.equal(said(harness.take().at(-1)!).length, 2, 'a prefix, too');
  harness.clock.advance(4 * 3600 * 1000);
  t.strictSame(said(harness.take().at(-1)!), [['0,7', 14_400]], 'then no more');
});

t.test('an address that is to be announced and is in DAD is waited for at the start', async (t) => {
  const harness = new Harness();
  harness.network.setLink({ index: 7 });
  harness.network.setAddresses(7, address(ownLinkLocal), address('fd00:6:6::1', { tentative: true }));
  await harness.control.start([raConfig({ prefixes: [prefix('::/64')] })]);
  harness.clock.advance(5_000);
  t.equal(harness.control.status()[0]!.state, 'tentative-address');
  harness.network.setAddresses(7, address(ownLinkLocal), address('fd00:6:6::1'));
  harness.clock.advance(0);
  t.equal(option(harness.take()[0]!, 'prefix-information').length, 1);
});

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

t.test('final advertisements on a real stop: three, 3 s apart, the first at once (§6.2.5)', async (t) => {
  const harness = await Harness.advertising(
    raConfig({
      defaultLifetimeSeconds: 1800,
      preference: 'high',
      prefixes: [prefix('fd00:6:6::/64'), prefix('fd00:7:7::/64', { deprecateOnStop: true })],
    }),
  );
  harness.clock.advance(1_000);
  harness.take();
  let stopped = false;
  const stopping = harness.control.stop({ final: true }).then(() => {
    stopped = true;
  });
  harness.solicit('fe80::77');
  harness.clock.advance(6_000);
  await stopping;
  t.ok(stopped && harness.socket.closed);
  const sent = harness.take();
  t.strictSame(gaps(sent), [3_000, 3_000]);
  t.equal(sent[0]!.at, 1_001_000);
  for (const one of sent) {
    t.match(one.ra, { lifetimeSeconds: 0, preference: 'medium' });
    t.match(option(one, 'prefix-information'), [
      { validSeconds: 86_400, preferredSeconds: 14_400 },
      { validSeconds: 7_200, preferredSeconds: 0 },
    ]);
    t.match(option(one, 'rdnss'), [{ lifetimeSeconds: 0 }]);
    t.match(option(one, 'dnssl'), [{ lifetimeSeconds: 0 }]);
  }
  t.equal(harness.clock.pending, 0, 'no timer is left');
  t.equal(harness.counters.gauge(RaGauge.advertising), 0);
});

t.test('a short grace sends what fits; a restart says nothing; both idempotent', async (t) => {
  const short = await Harness.advertising();
  short.take();
  await short.control.stop({ final: true, graceMs: 1_000 });
  t.equal(short.take().length, 1);
  const restart = await Harness.advertising();
  restart.take();
  await restart.control.stop({ final: false });
  await restart.control.stop({ final: true });
  t.strictSame(restart.take(), []);
  t.equal(restart.clock.pending, 0);
  const never = new Harness();
  await never.control.start([raConfig()]);
  await never.control.stop({ final: true });
  t.strictSame(never.take(), [], 'who never advertised has nothing to take back');
});

t.test('finals beyond the grace go out while something else is waited for anyway', async (t) => {
  const cases: [name: string, endsAt: number, sent: number, over: number][] = [
    ['nothing to wait for', 0, 2, 3_000],
    ['it ends before the second', 2_000, 2, 3_000],
    ['it ends between the second and the third', 4_000, 2, 4_000],
    ['it takes longer than all', 60_000, 3, 6_000],
  ];
  for (const [name, endsAt, sent, over] of cases) {
    const harness = await Harness.advertising();
    harness.take();
    const { promise: meanwhile, resolve } = Promise.withResolvers<void>();
    let stoppedAt = 0;
    const start = harness.clock.now();
    const stopping = harness.control.stop({ final: true, graceMs: 3_000, meanwhile }).then(() => {
      stoppedAt = harness.clock.now() - start;
    });
    for (let ms = 0; ms <= 7_000; ms += 1_000) {
      if (ms === endsAt) resolve();
      // What follows from it, before time goes on.
      await new Promise((next) => setImmediate(next));
      harness.clock.advance(1_000);
    }
    await stopping;
    t.equal(harness.take().length, sent, name);
    t.ok(stoppedAt >= over && stoppedAt <= over + 1_000, `${name}: ${stoppedAt} ms`);
    t.equal(harness.clock.pending, 0);
    resolve();
  }
});

t.test('clients alone get replies, and unsolicited ones by unicast', async (t) => {
  const harness = await Harness.advertising(
    raConfig({ maxDelayMs: 0, clients: [parseAddress('fe80::a'), parseAddress('fe80::b')] }),
  );
  t.strictSame(
    harness.take().map((one) => one.to),
    ['fe80::a', 'fe80::b'],
  );
  harness.solicit('fe80::c');
  harness.solicit('::');
  t.strictSame(harness.take(), []);
  t.equal(harness.counters.get(RaCounter.notAClient), 2);
  harness.solicit('fe80::a');
  t.match(harness.take(), [{ to: 'fe80::a' }]);
});

t.test('who is denied gets no reply, others do', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0, deny: [parseAddress('fe80::bad')] }));
  harness.take();
  harness.solicit('fe80::bad');
  t.strictSame(harness.take(), []);
  t.equal(harness.counters.get(RaCounter.notAClient), 1);
  harness.solicit('fe80::a');
  t.match(harness.take(), [{ to: 'fe80::a' }]);
});

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

t.test('unicastOnly sends no multicast, whatever happens', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0, unicastOnly: true }));
  harness.solicit('::');
  harness.network.setLink({ index: 7, mac: Buffer.from('020000000002', 'hex') });
  harness.clock.advance(10_000_000);
  t.strictSame(harness.take(), []);
  harness.solicit('fe80::77');
  t.match(harness.take(), [{ to: 'fe80::77' }]);
  await harness.control.stop({ final: true, graceMs: 0 });
  t.strictSame(harness.take(), []);
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

t.test('kernel settings: accept_ra goes off, forwarding is mentioned for what it means', async (t) => {
  const harness = new Harness();
  harness.network.setLink({ index: 7 });
  harness.network.setAddresses(7, address(ownLinkLocal));
  harness.sysctl.set('net/ipv6/conf/eth1/accept_ra', '1').set('net/ipv6/conf/eth1/forwarding', '0');
  await harness.control.start([raConfig({ defaultLifetimeSeconds: 1800 })]);
  t.equal(harness.sysctl.get('net/ipv6/conf/eth1/accept_ra'), '0');
  const warnings = harness.log.lines.filter((line) => line.level === 'warn').map((line) => line.message);
  t.match(warnings, [/accept_ra was on/, /forwarding is off: nodes are told/]);
  await harness.control.stop({ final: true, graceMs: 0 });
  t.equal(harness.sysctl.get('net/ipv6/conf/eth1/accept_ra'), '1', 'and comes back in the end');
});

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
  t.equal(raCounters.length, RaCounter.invalidAdvertisement + 6);
  t.end();
});
