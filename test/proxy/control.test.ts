import t from 'tap';
import { config, listener, member, noCheck, pool, setUp } from './control/stage.ts';

t.test('the first snapshot is there at once; one check decides about each member', (t) => {
  const { control, clock, snapshots, healthy, states, told, events, last } = setUp();
  healthy.set('fd00::2', false);
  control.start(config([pool('web', [member('a'), member('b', { address: 'fd00::2' })])]));
  t.equal(snapshots.length, 1);
  t.strictSame(states(), { a: 'down', b: 'down' }, 'nobody is known to be up yet');
  t.equal(last().pools[0]!.pending, true);
  clock.advance(10);
  t.equal(last().pools[0]!.pending, false);
  t.strictSame(states(), { a: 'up', b: 'down' });
  t.strictSame(told(), ['info a member is up: connected', 'warn b member is down: connection refused']);
  t.strictSame(
    events.map((event) => event.kind === 'member' && [event.pool, event.member, event.from, event.to, event.reason]),
    [
      ['web', 'a', 'unknown', 'up', 'connected'],
      ['web', 'b', 'unknown', 'down', 'connection refused'],
    ],
  );
  t.strictSame(
    snapshots.map(({ version }) => version),
    snapshots.map((_, i) => i + 1),
    'versions increase by one',
  );
  t.equal(last().listeners[0]!.slot, 0);
  clock.advance(60_000);
  t.equal(events.length, 2, 'more of the same says nothing');
  control.stop();
  t.equal(clock.pending, 0, 'no timer is left');
  t.end();
});

t.test(
  'a hundred members at the start, and a hundred more by a reload: checked one by one, each pool has its first at once',
  (t) => {
    const { control, clock, targets, states, healthy } = setUp();
    const crowd = (from: number) =>
      Array.from({ length: 100 }, (_, i) => member(`m${from + i}`, { address: `fd00::${from + i}` }));
    healthy.set('fd00::1000', false);
    control.start(config([pool('web', crowd(1000)), pool('api', [member('a', { address: 'fd00::a' })])]));
    const atOnce = targets.map(({ address }) => address);
    t.ok(atOnce.length < 10 && atOnce.includes('fd00::1000') && atOnce.includes('fd00::a'), atOnce.join(' '));
    const most = (ms: number) => {
      let worst = 0;
      for (let at = 0; at < ms; at += 10) {
        const before = targets.length;
        clock.advance(10);
        worst = Math.max(worst, targets.length - before);
      }
      return worst;
    };
    t.ok(most(1300) <= 3, 'in 10 ms');
    t.equal(Object.values(states()).filter((state) => state === 'up').length, 99, 'all known');
    const before = targets.length;
    control.apply(config([pool('web', [...crowd(1000), ...crowd(2000)])]));
    t.ok(targets.length - before < 10);
    clock.advance(1300);
    t.equal(Object.values(states()).filter((state) => state === 'up').length, 199);
    control.stop();
    t.equal(clock.pending, 0);
    t.end();
  },
);

t.test('without a check members are up in the first snapshot', (t) => {
  const { control, clock, snapshots, states, targets } = setUp();
  control.start(config([pool('web', [member('a'), member('b')], { check: noCheck })]));
  t.strictSame(states(), { a: 'up', b: 'up' });
  t.equal(snapshots.length, 1, 'one snapshot, not one a member');
  clock.advance(60_000);
  t.strictSame(targets, []);
  control.reportConnectFailure('web', 'a', 'ECONNREFUSED');
  clock.advance(0);
  t.strictSame(states(), { a: 'up', b: 'up' }, 'who has no check is not taken down by traffic');
  t.end();
});

t.test('reload: who stays keeps slot, state and results; who changed address is another', (t) => {
  const { control, clock, last, members, states, events } = setUp();
  const before = config(
    [pool('web', [member('a'), member('b'), member('c')]), pool('old', [member('x')])],
    [listener('http'), listener('https')],
  );
  control.start(before);
  clock.advance(100);
  control.setMember('web', 'a', { state: 'drain', weight: 5 });
  control.setMember('web', 'b', { weight: 6 });
  const told = events.length;
  const change = control.apply(
    config(
      [
        pool('web', [member('d'), member('b', { weight: 50 }), member('a'), member('c', { port: 81 })], {
          balance: 'source',
        }),
        pool('new', []),
      ],
      [listener('https'), listener('third')],
    ),
  );
  t.strictSame(change, {
    added: ['web/d', 'web/c', 'third'],
    removed: ['old/x', 'web/c', 'http'],
    overridden: ['web/b: weight 6 is 50 again'],
  });
  t.strictSame(
    members().map((m) => [m.name, m.slot, m.state, m.weight]),
    [
      ['d', 4, 'down', 100],
      ['b', 1, 'up', 50],
      ['a', 0, 'drain', 5],
      ['c', 5, 'down', 100],
    ],
    'in the order of the configuration',
  );
  t.strictSame(
    last().pools.map((p) => [p.name, p.balance]),
    [
      ['web', 'source'],
      ['new', 'leastconn'],
    ],
  );
  t.strictSame(
    last().listeners.map((l) => [l.name, l.slot]),
    [
      ['https', 1],
      ['third', 2],
    ],
  );
  t.equal(events.length, told, 'nobody changed state by it');
  clock.advance(10);
  t.strictSame(states(), { d: 'up', b: 'up', a: 'drain', c: 'up' });
  t.ok(control.pools()[0]!.members.every((m) => m.lastCheck?.ok));
  control.stop();
  t.equal(clock.pending, 0, 'checks of those gone have ended');
  t.end();
});
