/** Members as the operator and the admin API change them. */
import t from 'tap';
import { config, listener, member, pool, setUp } from './stage.ts';

t.test("the operator's word", (t) => {
  const { control, clock, healthy, states, told, members, targets } = setUp();
  control.start(config([pool('web', [member('a')])]));
  clock.advance(100);
  t.equal(control.setMember('web', 'a', { state: 'drain' }).state, 'drain');
  t.strictSame(states(), { a: 'drain' });
  healthy.set('fd00::1', false);
  clock.advance(10_000);
  t.strictSame(states(), { a: 'down' }, 'a draining member that fails its checks is down');
  healthy.set('fd00::1', true);
  clock.advance(10_000);
  t.strictSame(states(), { a: 'drain' });
  control.setMember('web', 'a', { state: 'ready', weight: 7 });
  t.match(members()[0], { state: 'up', weight: 7 });
  control.setMember('web', 'a', { state: 'maint' });
  const count = targets.length;
  clock.advance(60_000);
  t.equal(targets.length, count, 'nothing is checked in maintenance');
  t.strictSame(states(), { a: 'maint' });
  control.setMember('web', 'a', { state: 'ready' });
  t.strictSame(states(), { a: 'down' }, 'what was known before is stale');
  clock.advance(10);
  t.strictSame(states(), { a: 'up' }, 'one check decides');
  t.strictSame(told(), [
    'info a member is up: connected',
    'info a member drains: set to drain by the operator',
    'warn a member is down: connection refused',
    'info a member drains: set to drain by the operator',
    'info a member is up: set to ready by the operator',
    'info a member is in maintenance: set to maint by the operator',
    'info a member is up: connected',
  ]);
  t.match(control.pools(), [
    {
      name: 'web',
      check: 'tcp',
      up: 1,
      members: [
        {
          name: 'a',
          weight: 7,
          configuredWeight: 100,
          full: { weight: 7, maxConnections: 0 },
          admin: 'ready',
          health: 'up',
          origin: 'config',
          inStateMs: 0,
          reason: 'connected',
          lastCheck: { ok: true, code: 'L4OK', reason: 'connected', durationMs: 10, at: clock.wall() },
        },
      ],
    },
  ]);
  t.end();
});

t.test('what the control refuses, and that nothing has changed then', (t) => {
  const { control, snapshots } = setUp({ memberSlots: { capacity: 2 }, listenerSlots: { capacity: 1 } });
  control.start(config([pool('web', [member('a')])]));
  const orders: [string, () => unknown][] = [
    ['V6_POOL_UNKNOWN', () => control.setMember('nope', 'a', {})],
    ['V6_POOL_UNKNOWN', () => control.addMember('nope', member('x'))],
    ['V6_POOL_UNKNOWN', () => control.removeMember('nope', 'a')],
    ['V6_POOL_UNKNOWN', () => control.setDiscovered('nope', [])],
    ['V6_MEMBER_UNKNOWN', () => control.setMember('web', 'nope', {})],
    ['V6_MEMBER_UNKNOWN', () => control.removeMember('web', 'nope')],
    ['V6_MEMBER_EXISTS', () => control.addMember('web', member('a'))],
    ['V6_MEMBER_INVALID', () => control.setMember('web', 'a', { state: 'off' as 'maint' })],
    ['V6_MEMBER_INVALID', () => control.setMember('web', 'a', { weight: -1 })],
    ['V6_MEMBER_INVALID', () => control.setMember('web', 'a', { weight: 257 })],
    ['V6_MEMBER_INVALID', () => control.setMember('web', 'a', { weight: 1.5 })],
    ['V6_MEMBER_INVALID', () => control.addMember('web', member('b', { address: 'node1.example' }))],
    ['V6_MEMBER_INVALID', () => control.addMember('web', member('b', { port: 0 }))],
    ['V6_MEMBER_INVALID', () => control.addMember('web', member('b c'))],
    ['V6_MEMBER_INVALID', () => control.setDiscovered('web', [member('b', { weight: Number.NaN })])],
    ['V6_PROXY_SLOTS', () => control.apply(config([pool('web', [member('a'), member('b'), member('c')])]))],
    ['V6_PROXY_SLOTS', () => control.apply(config([pool('web', [])], [listener('http'), listener('https')]))],
    ['V6_PROXY_SLOTS', () => control.setDiscovered('web', [member('b'), member('c')])],
  ];
  for (const [code, order] of orders) t.throws(order, { name: 'ProxyError', code }, code);
  t.equal(snapshots.length, 1);
  t.throws(() => control.start(config([])), { code: 'V6_ASSERT' });
  control.stop();
  t.end();
});

t.test('adding and removing: sessions end first, unless forced', (t) => {
  const busy = new Set<number>();
  const { control, clock, members, states, snapshots } = setUp({
    memberSlots: { capacity: 10, busy: (slot) => busy.has(slot) },
  });
  control.start(config([pool('web', [member('a')])]));
  t.match(control.addMember('web', member('b', { backup: true, maxConnections: 9 })), { origin: 'api', slot: 1 });
  clock.advance(10);
  t.match(members()[1], { name: 'b', slot: 1, state: 'up', backup: true, maxConnections: 9 });
  busy.add(1);
  control.removeMember('web', 'b');
  t.strictSame(states(), { a: 'up', b: 'drain' });
  t.match(control.pools()[0]!.members[1], { leaving: true, reason: 'is being removed' });
  clock.advance(5000);
  t.strictSame(states(), { a: 'up', b: 'drain' });
  const published = snapshots.length;
  t.throws(() => control.setMember('web', 'b', { state: 'ready' }), { code: 'V6_MEMBER_LEAVING' });
  t.equal(snapshots.length, published, 'nothing has changed');
  control.setMember('web', 'b', { state: 'drain' });
  busy.clear();
  clock.advance(1000);
  t.strictSame(states(), { a: 'up' }, 'gone when the last session has ended');
  busy.add(0);
  control.removeMember('web', 'a', { force: true });
  t.strictSame(states(), {});
  t.equal(clock.pending, 0);
  control.addMember('web', member('a', { port: 81 }));
  t.equal(members()[0]!.slot, 2, 'the slot that still counts sessions is not given out');
  busy.add(2);
  control.removeMember('web', 'a');
  t.match(
    control.addMember('web', member('a', { port: 82 })),
    { slot: 3, port: 82 },
    'the name of one that leaves is free',
  );
  t.strictSame(control.apply(config([pool('web', [])])), {
    added: [],
    removed: ['web/a'],
    overridden: ['web/a: added at run time, is gone'],
  });
  const count = snapshots.length;
  control.stop();
  clock.advance(60_000);
  t.equal(snapshots.length, count);
  t.end();
});

t.test('a member that is added again before it is gone is the same: its sessions count on', (t) => {
  const { control, clock, members } = setUp({ memberSlots: { capacity: 10, busy: () => true } });
  control.start(config([pool('web', [])]));
  control.addMember('web', member('a', { maxConnections: 5 }));
  clock.advance(10);
  control.setMember('web', 'a', { state: 'drain', weight: 3 });
  control.removeMember('web', 'a');
  const [leaving] = members();
  t.match(leaving, { state: 'drain' });
  t.match(control.addMember('web', member('a', { maxConnections: 7 })), {
    slot: leaving!.slot,
    state: 'up',
    reason: 'is wanted again',
    leaving: false,
    weight: 100,
    maxConnections: 7,
  });
  control.stop();
  t.end();
});

t.test("the operator's word on members that DNS names no more, and then again", (t) => {
  const busy = new Set<number>();
  const { control, clock, states, members } = setUp({
    memberSlots: { capacity: 2000, busy: (slot) => busy.has(slot) },
  });
  const discover = { kind: 'srv' as const, name: '_http._tcp.cluster.test', maxConnections: 0, slowStartMs: 0 };
  const named = ['1', '2', '3', '4'].map((name) => member(name, { address: `fd00::${name}` }));
  control.start(config([pool('web', [], { discover })]));
  control.setDiscovered('web', named);
  clock.advance(100);
  control.setMember('web', '1', { state: 'drain' });
  control.setMember('web', '2', { state: 'maint' });
  control.setMember('web', '3', { weight: 7 });
  control.setMember('web', '4', { state: 'drain' });
  const before = { 1: 'drain', 2: 'maint', 3: 'up', 4: 'drain' };
  t.strictSame(states(), before);
  for (const how of ['gone at once', 'while sessions end']) {
    if (how === 'while sessions end') for (const { slot } of members()) busy.add(slot);
    control.setDiscovered('web', []);
    t.equal(members().length, how === 'gone at once' ? 0 : 4, how);
    control.setDiscovered('web', named);
    clock.advance(100);
    t.strictSame(states(), before, how);
    t.equal(members()[2]!.weight, 7, how);
    t.match(
      control.pools()[0]!.members.map(({ reason }) => reason),
      ['set to drain by the operator', 'set to maint by the operator', /./, 'set to drain by the operator'],
      how,
    );
  }
  busy.clear();
  control.setMember('web', '1', { state: 'ready' });
  control.setDiscovered('web', []);
  control.setDiscovered('web', [named[0]!, member('2', { address: 'fd00::22' })]);
  clock.advance(100);
  t.strictSame(states(), { 1: 'up', 2: 'up' }, 'ready is ready, and another address another member');
  const many = Array.from({ length: 300 }, (_, i) => member(`n${i}`, { address: `fd00::1:${i}` }));
  control.setDiscovered('web', many);
  for (const { name } of many) control.setMember('web', name, { state: 'drain' });
  control.setDiscovered('web', []);
  control.setDiscovered('web', many);
  clock.advance(10_000);
  t.equal(members().filter(({ state }) => state === 'drain').length, 256, 'as many as are kept in mind');
  control.stop();
  t.end();
});

t.test('a member that drains already, and is removed then, says so', (t) => {
  const { control, clock, states } = setUp({ memberSlots: { capacity: 10, busy: () => true } });
  control.start(config([pool('web', [member('a'), member('b')])]));
  clock.advance(10);
  control.setMember('web', 'a', { state: 'drain' });
  t.match(control.pools()[0]!.members[0], { leaving: false, reason: 'set to drain by the operator' });
  control.removeMember('web', 'a');
  t.match(control.pools()[0]!.members[0], { leaving: true, state: 'drain', reason: 'is being removed' });
  t.strictSame(states(), { a: 'drain', b: 'up' });
  control.stop();
  t.end();
});

t.test('members that discovery finds and loses', (t) => {
  const busy = new Set<number>();
  const { control, clock, states, members } = setUp({ memberSlots: { capacity: 10, busy: (slot) => busy.has(slot) } });
  const discover = {
    discover: { kind: 'srv' as const, name: '_http._tcp.cluster.test', maxConnections: 0, slowStartMs: 0 },
  };
  control.start(config([pool('web', [member('fixed')], discover)]));
  control.setDiscovered('web', [
    member('n1', { address: 'fd00::a' }),
    member('n2', { address: 'fd00::b' }),
    member('fixed'),
  ]);
  clock.advance(10);
  t.strictSame(states(), { fixed: 'up', n1: 'up', n2: 'up' });
  busy.add(1);
  control.setDiscovered('web', [member('n2', { address: 'fd00::b', weight: 9 })]);
  t.strictSame(states(), { fixed: 'up', n1: 'drain', n2: 'up' }, 'who is no longer found drains');
  t.equal(members()[2]!.weight, 9);
  control.setDiscovered('web', [member('n1', { address: 'fd00::a' }), member('n2', { address: 'fd00::b' })]);
  t.strictSame(states(), { fixed: 'up', n1: 'up', n2: 'up' }, 'who is found again is back');
  control.apply(config([pool('web', [member('fixed')], discover)]));
  t.strictSame(states(), { fixed: 'up', n1: 'up', n2: 'up' }, 'a reload keeps them');
  control.setDiscovered('web', [member('n1', { address: 'fd00::c' }), member('n2', { address: 'fd00::b' })]);
  t.strictSame(states(), { fixed: 'up', n2: 'up', n1: 'down' }, 'who comes with another address is another');
  control.setDiscovered('web', []);
  busy.clear();
  clock.advance(1000);
  t.strictSame(states(), { fixed: 'up' });
  control.stop();
  t.end();
});

t.test('taken out, added again and taken out again, a member of the configuration is out', (t) => {
  let kept: string | undefined;
  const keep = {
    read: () => kept,
    write(text: string) {
      kept = text;
    },
  };
  const settings = config([pool('web', [member('a'), member('b', { address: 'fd00::2' })])]);
  const { control, states } = setUp({ keep });
  control.start(settings);
  control.removeMember('web', 'a');
  control.addMember('web', member('a'));
  control.removeMember('web', 'a');
  control.apply(settings);
  t.strictSame(Object.keys(states()), ['b'], 'after a reload');
  control.stop();
  const next = setUp({ keep });
  next.control.start(settings);
  t.strictSame(Object.keys(next.states()), ['b'], 'after a restart');
  next.control.stop();
  t.end();
});
