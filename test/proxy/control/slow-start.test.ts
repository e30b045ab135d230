import t from 'tap';
import { config, member, noCheck, pool, setUp, tcpCheck } from './stage.ts';

t.test('a member that came back gets its weight and its places in ten steps', (t) => {
  const { control, clock, healthy, members, states } = setUp();
  control.start(config([pool('web', [member('a', { slowStartMs: 10_000, weight: 200, maxConnections: 30 })])]));
  clock.advance(10);
  const now = () => [members()[0]!.weight, members()[0]!.maxConnections];
  t.strictSame(now(), [200, 30], 'not at the first start: nobody else could carry the load');
  healthy.set('fd00::1', false);
  clock.advance(10_000);
  healthy.set('fd00::1', true);
  while (states().a === 'down') clock.advance(1);
  const steps = [now()];
  for (let i = 0; i < 10; i++) {
    clock.advance(1000);
    steps.push(now());
  }
  t.strictSame(
    steps,
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((i) => [Math.max(2, 20 * i), Math.max(1, 3 * i)]),
  );
  t.end();
});

t.test('a small weight grows as a large one does', (t) => {
  const { control, clock, members } = setUp();
  const settings = { slowStartMs: 10_000, weight: 1 };
  control.start(config([pool('web', [member('a', settings), member('b', { ...settings, weight: 0 })])]));
  clock.advance(10);
  for (const name of ['a', 'b']) {
    control.setMember('web', name, { state: 'maint' });
    control.setMember('web', name, { state: 'ready' });
  }
  clock.advance(10);
  const weights = () => members().map(({ weight }) => weight);
  t.strictSame(weights(), [0.01, 0]);
  clock.advance(3000);
  t.strictSame(weights(), [0.3, 0]);
  t.match(control.pools()[0]!.members[0], { weight: 0.3, full: { weight: 1, maxConnections: 0 } }, 'as people see it');
  control.apply(config([pool('web', [member('a', { weight: 1 }), member('b', { ...settings, weight: 0 })])]));
  t.strictSame(weights(), [1, 0], 'a reload that ends it counts at once');
  clock.advance(7000);
  t.strictSame(weights(), [1, 0]);
  t.end();
});

t.test('a member that is new in a pool that serves, however it came', (t) => {
  const { control, clock, members } = setUp();
  const slow = (name: string) => member(name, { address: `fd00::${name}`, slowStartMs: 10_000 });
  const discover = { kind: 'srv' as const, name: '_http._tcp.cluster.test', maxConnections: 0, slowStartMs: 10_000 };
  const weights = () => Object.fromEntries(members().map(({ name, weight }) => [name, weight]));
  for (const check of [tcpCheck, noCheck]) {
    const { control, clock, members } = setUp();
    control.start(config([pool('web', [slow('1'), slow('2')], { check })]));
    clock.advance(100);
    t.strictSame(
      members().map(({ weight }) => weight),
      [100, 100],
      `${check.type}: not with the process`,
    );
    control.stop();
  }
  control.start(config([pool('web', [], { discover })]));
  control.setDiscovered('web', [slow('1'), slow('2')]);
  clock.advance(100);
  t.strictSame(weights(), { 1: 100, 2: 100 }, 'not the first of a pool: nobody else could carry the load');
  control.setDiscovered('web', [slow('1'), slow('2'), slow('3')]);
  clock.advance(10);
  t.strictSame(weights(), { 1: 100, 2: 100, 3: 1 }, 'named by DNS');
  control.addMember('web', slow('4'));
  clock.advance(10);
  t.equal(weights()[4], 1, 'added by API');
  control.apply(config([pool('web', [slow('5')], { discover })]));
  clock.advance(10);
  t.equal(weights()[5], 1, 'added to the configuration');
  clock.advance(11_000);
  t.strictSame(weights(), { 1: 100, 2: 100, 3: 100, 5: 100 });
  control.stop();
  t.end();
});

t.test('no limit of sessions is none all the time', (t) => {
  const { control, clock, members } = setUp();
  control.start(config([pool('web', [member('a', { slowStartMs: 10_000 })])]));
  clock.advance(10);
  control.setMember('web', 'a', { state: 'maint' });
  control.setMember('web', 'a', { state: 'ready' });
  clock.advance(10);
  t.match(members()[0], { state: 'up', weight: 1, maxConnections: 0 });
  t.end();
});
