import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { RaCounter, RaGauge } from '../../src/ra/counters.ts';
import { address, EINVAL, ENOMEM, Harness, option, ownLinkLocal, prefix, raConfig, type Sent } from './support.ts';

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
    [
      'down again',
      () => harness.network.setLink({ index: 8, up: false }),
      () => harness.network.setLink({ index: 8, up: true }),
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
    t.strictSame([...harness.socket.groups], [`ff02::2%${harness.network.link('eth1')!.index}`], `${name}: listens`);
    harness.solicit('fe80::77', harness.network.link('eth1')!.index);
    harness.clock.advance(500);
    t.match(harness.take(), [{ to: 'fe80::77' }], `${name}: answers`);
  }
  t.equal(harness.counters.gauge(RaGauge.advertising), 1);
});

t.test('another interface takes the name between two looks: a new start, and the old group is left', async (t) => {
  const harness = await Harness.advertising();
  harness.clock.advance(100_000);
  harness.take();
  harness.network.replaceLink(7, 8, address(ownLinkLocal), address('fd00:6:6::1'));
  harness.clock.advance(32_000);
  t.strictSame(
    harness.take().map(({ ifindex }) => ifindex),
    [8, 8, 8],
  );
  t.strictSame([...harness.socket.groups], ['ff02::2%8']);
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
  harness.clock.advance(30_000);
  harness.take();
  harness.socket.failWith = EINVAL;
  const failures = harness.counters.get(RaCounter.sendFailures);
  harness.control.apply([raConfig({ hopLimit: 32 })]);
  harness.clock.advance(250);
  t.equal(harness.counters.get(RaCounter.sendFailures), failures + 2, 'the next trouble is met as quickly');
});

t.test('a full neighbour table: all are told past it, and the log says so once a minute', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0, interval: { minMs: 3_000, maxMs: 4_000 } }));
  harness.clock.advance(100_000);
  harness.take();
  harness.socket.tableIsFull = true;
  const warnings = () => harness.log.lines.filter((line) => /neighbour table is full/.test(line.message)).length;
  harness.clock.advance(59_000);
  const { length } = harness.take();
  t.ok(length >= 14, 'as often as ever');
  t.equal(harness.counters.get(RaCounter.pastNeighbours), length);
  t.equal(harness.control.status()[0]!.counters.pastNeighbours, length);
  t.equal(harness.counters.get(RaCounter.sendFailures), 0);
  t.equal(warnings(), 1);
  harness.clock.advance(10_000);
  t.equal(warnings(), 2);
  harness.take();
  harness.solicit('fe80::77');
  t.strictSame(harness.take(), [], 'no room for a single node');
  harness.clock.advance(3_000);
  t.equal(harness.take()[0]!.to, 'ff02::1', 'which is told with all others');
  harness.socket.tableIsFull = false;
  const past = harness.counters.get(RaCounter.pastNeighbours);
  harness.clock.advance(120_000);
  t.equal(harness.counters.get(RaCounter.pastNeighbours), past);
  t.equal(warnings(), 2);
});

t.test('a reply that cannot be sent: all are told as soon as that is possible', async (t) => {
  const harness = await Harness.advertising(raConfig({ maxDelayMs: 0 }));
  harness.clock.advance(100_000);
  harness.take();
  harness.socket.failWith = EINVAL;
  harness.solicit('fe80::77');
  harness.socket.failWith = 0;
  t.strictSame(harness.take(), []);
  harness.clock.advance(250);
  t.match(harness.take(), [{ to: 'ff02::1' }]);
});

t.test('the group of all routers: a join that fails is told of once and tried again with each multicast', async (t) => {
  const harness = new Harness();
  harness.network.setLink({ index: 7 });
  harness.network.setAddresses(7, address(ownLinkLocal));
  harness.socket.joinFailsWith = ENOMEM;
  await harness.control.start([raConfig()]);
  harness.clock.advance(33_000);
  t.equal(harness.take().length, 3, 'nodes are told meanwhile');
  t.strictSame([...harness.socket.groups], []);
  harness.socket.joinFailsWith = 0;
  harness.clock.advance(600_000);
  t.strictSame([...harness.socket.groups], ['ff02::2%7']);
  const lines = harness.log.lines.map((line) => line.message).filter((message) => message.includes('solicitations'));
  t.match(lines, [/cannot be received/, /can be received again/]);
  t.equal(lines.length, 2);
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
