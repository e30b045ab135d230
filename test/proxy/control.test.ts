import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { FakeClock, systemClock } from '../../src/core/clock.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { SeededRandom } from '../../src/core/random.ts';
import type { CheckResult, CheckTarget } from '../../src/proxy/check/result.ts';
import type { CheckConfig, ListenerConfig, MemberConfig, PoolConfig, ProxyConfig } from '../../src/proxy/config.ts';
import {
  type MemberEvent,
  type MemberWarning,
  ProxyControl,
  type ProxyControlContext,
} from '../../src/proxy/control.ts';
import type { MemberSnapshot, ProxySnapshot } from '../../src/proxy/snapshot.ts';

const noCheck: CheckConfig = {
  type: 'none',
  intervalMs: 2000,
  fastIntervalMs: 2000,
  downIntervalMs: 2000,
  timeoutMs: 1000,
  rise: 2,
  fall: 3,
  method: 'GET',
  path: '/',
  host: undefined,
  expect: [200],
  steps: [],
  sni: undefined,
  verify: 'none',
  caFile: undefined,
  ca: undefined,
  address: undefined,
  port: undefined,
  sendProxy: undefined,
};
const tcpCheck: CheckConfig = { ...noCheck, type: 'tcp' };

function member(name: string, more: Partial<MemberConfig> = {}): MemberConfig {
  const base = { address: 'fd00::1', port: 80, weight: 100, maxConnections: 0, backup: false, slowStartMs: 0 };
  return { name, ...base, ...more };
}

function pool(name: string, members: MemberConfig[], more: Partial<PoolConfig> = {}): PoolConfig {
  return {
    name,
    proxyProtocol: 'none',
    proxyV2Options: [],
    proxyV2Tlvs: [],
    proxyV2Align: 0,
    balance: 'leastconn',
    check: tcpCheck,
    onMarkedDown: 'close',
    keepaliveMs: 30_000,
    userTimeoutMs: 120_000,
    maxAgeMs: 0,
    retries: 3,
    queue: { timeoutMs: 5000, length: 1000 },
    discover: undefined,
    timeouts: undefined,
    ...more,
    members,
  };
}

function listener(name: string, poolName = 'web'): ListenerConfig {
  const rate = { perSource: 0, windowMs: 10_000 };
  const base = {
    bind: [],
    routes: [],
    whenEmpty: 'reset' as const,
    acceptProxy: false,
    trusted: [],
    allow: [],
    deny: [],
  };
  return {
    name,
    pool: poolName,
    ...base,
    rate,
    maxPerSource: 0,
    onLimit: 'reject',
    backlog: 128,
    maxConnections: 0,
    log: true,
    logStart: false,
    logSilent: true,
  };
}

function config(pools: PoolConfig[], listeners: ListenerConfig[] = [listener('http')]): ProxyConfig {
  const timeouts = {
    attemptDelayMs: 250,
    connectMs: 3000,
    idleMs: 3.6e6,
    tunnelMs: 3.6e6,
    clientFinMs: 30_000,
    serverFinMs: 30_000,
    proxyHeaderMs: 3000,
    clientHelloMs: 3000,
    hardStopAfterMs: 0,
  };
  return { timeouts, maxConnections: 20_000, listeners, pools };
}

/** A control whose checks end as `healthy` says, 10 ms after they start; keyed by address. */
function setUp(more: Partial<ProxyControlContext> = {}) {
  const clock = new FakeClock();
  const log = new MemoryLogger();
  const snapshots: ProxySnapshot[] = [];
  const events: (MemberEvent | MemberWarning)[] = [];
  const removed: string[] = [];
  const healthy = new Map<string, boolean>();
  const targets: CheckTarget[] = [];
  const control = new ProxyControl({
    clock,
    log,
    random: new SeededRandom(1),
    publish: (snapshot) => snapshots.push(structuredClone(snapshot)),
    emit: (event) => {
      if (event.kind !== 'member-removed') events.push(event);
      else removed.push(`${event.pool}/${event.member}`);
    },
    probe: (target, _clock, done) => {
      targets.push(target);
      const ok = healthy.get(target.address) ?? true;
      const result: CheckResult = ok
        ? { ok, code: 'L4OK', reason: 'connected', durationMs: 10 }
        : { ok, code: 'L4CON', reason: 'connection refused', durationMs: 10 };
      const timer = clock.after(10, () => done(result));
      return { cancel: () => timer.cancel() };
    },
    ...more,
  });
  const last = () => snapshots.at(-1)!;
  const members = (name = 'web') => last().pools.find((p) => p.name === name)!.members;
  const states = (name = 'web') => Object.fromEntries(members(name).map((m: MemberSnapshot) => [m.name, m.state]));
  const told = () =>
    log.lines
      .filter((line) => line.level !== 'debug')
      .map((line) => `${line.level} ${line.fields.member} ${line.message}: ${line.fields.reason}`);
  return { clock, log, snapshots, events, removed, healthy, targets, control, last, members, states, told };
}

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

t.test('fall failures take a member down, rise successes bring it back; each told once', (t) => {
  const { control, clock, healthy, states, told } = setUp();
  control.start(config([pool('web', [member('a')])]));
  clock.advance(100);
  healthy.set('fd00::1', false);
  clock.advance(2 * 2200 + 20);
  t.strictSame(states(), { a: 'up' }, 'two failures are not three');
  clock.advance(2200);
  t.strictSame(states(), { a: 'down' });
  clock.advance(30_000);
  healthy.set('fd00::1', true);
  clock.advance(3 * 2200 + 20);
  t.strictSame(states(), { a: 'up' });
  t.strictSame(told(), [
    'info a member is up: connected',
    'warn a member is down: connection refused',
    'info a member is up: connected',
  ]);
  t.end();
});

t.test('why a member is down follows its checks', (t) => {
  let reason = 'connection refused';
  let inconclusive = false;
  const { control, clock, told } = setUp({
    probe: (_target, probeClock, done) => {
      const result: CheckResult = {
        ok: false,
        code: 'L4CON',
        reason,
        durationMs: 1,
        ...(inconclusive ? { inconclusive } : {}),
      };
      const timer = probeClock.after(10, () => done(result));
      return { cancel: () => timer.cancel() };
    },
  });
  control.start(config([pool('web', [member('a')])]));
  const shown = () => control.pools()[0]!.members[0]!;
  clock.advance(3000);
  t.match(shown(), { state: 'down', reason: 'connection refused' });
  const { since } = shown();
  reason = 'no TLS handshake within 1000 ms';
  clock.advance(3000);
  t.match(shown(), { reason, since }, 'what mends it is not what took it down');
  [reason, inconclusive] = ['no descriptors', true];
  clock.advance(3000);
  t.match(shown(), { reason: 'no TLS handshake within 1000 ms' }, 'a check that says nothing says nothing here');
  control.setMember('web', 'a', { state: 'maint' });
  t.match(shown(), { state: 'maint', reason: 'set to maint by the operator' });
  t.equal(told().filter((line) => line.includes('is down')).length, 1, 'told once');
  control.stop();
  t.end();
});

t.test('live failures bring the checks forward: a dead member is down within a fraction of fall × interval', (t) => {
  const { control, clock, healthy, states } = setUp();
  control.start(config([pool('web', [member('a')])]));
  clock.advance(1000);
  healthy.set('fd00::1', false);
  for (let i = 0; i < 60; i++) {
    control.reportConnectFailure('web', 'a', 'ECONNREFUSED');
    clock.advance(10);
  }
  t.strictSame(states(), { a: 'down' }, 'after 600 ms, not 6 s');
  control.reportConnectFailure('web', 'nobody', 'ECONNREFUSED');
  control.reportConnectFailure('nowhere', 'a', 'ECONNREFUSED');
  t.end();
});

t.test('checks that say nothing change nothing, however many', (t) => {
  let result: Partial<CheckResult> = { ok: true, code: 'L4OK' };
  const made = { reason: 'as told', durationMs: 1 };
  const clock = new FakeClock();
  const { control, states, events } = setUp({
    clock,
    probe: (_target, _clock, done) => {
      const timer = clock.after(1, () => done({ ...made, ...result } as CheckResult));
      return { cancel: () => timer.cancel() };
    },
  });
  result = { ok: false, code: 'SOCKERR', inconclusive: true };
  control.start(config([pool('web', [member('a')])]));
  clock.advance(60_000);
  t.strictSame([states(), events], [{ a: 'down' }, []], 'it is still to be found out');
  result = { ok: true, code: 'L4OK' };
  clock.advance(3_000);
  t.strictSame(states(), { a: 'up' });
  result = { ok: false, code: 'SOCKERR', inconclusive: true };
  clock.advance(60_000);
  t.strictSame(states(), { a: 'up' });
  t.match(control.pools()[0]!.members[0]!.lastCheck, { code: 'SOCKERR', inconclusive: true }, 'though it is told');
  result = { ok: false, code: 'L4CON' };
  clock.advance(10_000);
  t.strictSame(states(), { a: 'down' });
  control.stop();
  t.end();
});

t.test('one failure of traffic does not take a healthy member down', (t) => {
  const { control, clock, states, events } = setUp();
  control.start(config([pool('web', [member('a')])]));
  clock.advance(1000);
  for (let i = 0; i < 100; i++) {
    control.reportConnectFailure('web', 'a', 'ETIMEDOUT');
    clock.advance(10);
  }
  t.strictSame(states(), { a: 'up' });
  t.equal(events.length, 1);
  t.end();
});

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

t.test('a changed check takes effect at once and does not take the member down', (t) => {
  const { control, clock, targets, states } = setUp();
  control.start(config([pool('web', [member('a')])]));
  clock.advance(100);
  const https: CheckConfig = { ...tcpCheck, type: 'https', port: 6443, path: '/readyz', host: 'api.test' };
  control.apply(config([pool('web', [member('a')], { check: https })]));
  t.strictSame(states(), { a: 'up' });
  t.match(targets.at(-1), { type: 'https', port: 6443, path: '/readyz', host: 'api.test' });
  const count = targets.length;
  control.apply(config([pool('web', [member('a')], { check: { ...https } })]));
  t.equal(targets.length, count, 'the same check goes on as it was');
  control.apply(config([pool('web', [member('a')], { check: noCheck })]));
  t.strictSame(states(), { a: 'up' });
  t.equal(clock.pending, 0);
  t.end();
});

t.test('the PROXY header of a check: as traffic has it, unless the check has a port of its own', (t) => {
  const { control, targets } = setUp();
  control.start(
    config([
      pool('v2', [member('a')], { proxyProtocol: 'v2' }),
      pool('own', [member('a')], { proxyProtocol: 'v2', check: { ...tcpCheck, port: 10254 } }),
      pool('elsewhere', [member('a')], { proxyProtocol: 'v2', check: { ...tcpCheck, address: 'fd00::99' } }),
      pool('told to', [member('a')], { proxyProtocol: 'v1', check: { ...tcpCheck, port: 10254, sendProxy: true } }),
      pool('told not to', [member('a')], { proxyProtocol: 'v2', check: { ...tcpCheck, sendProxy: false } }),
    ]),
  );
  t.match(targets, [
    { proxyProtocol: 'v2', port: 80, address: 'fd00::1' },
    { proxyProtocol: 'none', port: 10254, address: 'fd00::1' },
    { proxyProtocol: 'none', port: 80, address: 'fd00::99' },
    { proxyProtocol: 'v1', port: 10254 },
    { proxyProtocol: 'none', port: 80 },
  ]);
  control.stop();
  t.end();
});

t.test('checks are faster while the state changes, and slower while it is down', (t) => {
  const { control, clock, healthy, states, targets } = setUp();
  const check = { ...tcpCheck, intervalMs: 10_000, fastIntervalMs: 1000, downIntervalMs: 30_000, rise: 3, fall: 3 };
  control.start(config([pool('web', [member('a')], { check })]));
  /** Checks until `holds`, and the seconds they took. */
  const until = (holds: () => boolean) => {
    const [count, begun] = [targets.length, clock.now()];
    while (!holds() && clock.now() - begun < 100_000) clock.advance(10);
    return [targets.length - count, Math.round((clock.now() - begun) / 1000)];
  };
  t.strictSame(
    until(() => states().a === 'up'),
    [0, 0],
    'the first decides',
  );
  healthy.set('fd00::1', false);
  const [count, seconds] = until(() => states().a === 'down');
  t.equal(count, 3);
  t.ok(seconds! >= 10 && seconds! <= 14, `an interval and two fast ones: ${seconds} s`);
  const before = targets.length;
  clock.advance(25_000);
  t.equal(targets.length, before, 'slow while it is down');
  healthy.set('fd00::1', true);
  const [, back] = until(() => states().a === 'up');
  t.ok(back! <= 11, `the rest of a slow interval and two fast ones: ${back} s`);
  control.stop();
  t.end();
});

t.test('a member that refuses the PROXY header is told of in plain words, once', (t) => {
  let refuses = true;
  const words = 'answers the PROXY header with a TLS alert: it cannot read PROXY protocol';
  const targets: CheckTarget[] = [];
  const { control, clock, events, told } = setUp({
    probe: (target, probeClock, done) => {
      targets.push(target);
      const bad = refuses && target.proxyProtocol !== 'none';
      const ok = { ok: true, code: 'L4OK', reason: 'connected', durationMs: 1 } as const;
      const result: CheckResult = bad ? { ...ok, ok: false, code: 'L6RSP', reason: words, refusesHeader: true } : ok;
      const timer = probeClock.after(10, () => done(result));
      return { cancel: () => timer.cancel() };
    },
  });
  const pools = [
    pool('checked', [member('a')], { proxyProtocol: 'v2' }),
    pool('unchecked', [member('b')], { proxyProtocol: 'v2', check: noCheck }),
    pool('elsewhere', [member('c')], { proxyProtocol: 'v2', check: { ...tcpCheck, port: 10254 } }),
    pool('plain', [member('d')]),
  ];
  control.start(config(pools));
  clock.advance(20_000);
  t.strictSame(
    told().filter((line) => line.startsWith('warn')),
    [`warn a member refuses the PROXY header: ${words}`, `warn a member is down: ${words}`],
  );
  t.match(
    events.filter(({ kind }) => kind === 'member-warning'),
    [{ pool: 'checked', member: 'a', reason: words }],
  );

  const asked = targets.length;
  for (const [name, one] of [
    ['unchecked', 'b'],
    ['elsewhere', 'c'],
    ['plain', 'd'],
    ['none', 'x'],
  ] as const) {
    for (let i = 0; i < 100; i++) control.reportHeaderSuspicion(name, one);
  }
  t.equal(targets.length - asked, 2, 'each is asked once, however much traffic suspects it');
  t.match(targets.slice(asked), [
    { type: 'tcp', port: 80, proxyProtocol: 'v2' },
    { type: 'tcp', port: 80, proxyProtocol: 'v2' },
  ]);
  clock.advance(10);
  const warnings = () => control.pools().flatMap(({ members }) => members.map(({ warning }) => warning));
  t.strictSame(warnings(), [words, words, words, undefined]);
  t.equal(events.filter(({ kind }) => kind === 'member-warning').length, 3);
  refuses = false;
  clock.advance(10_000);
  control.reportHeaderSuspicion('unchecked', 'b');
  clock.advance(10);
  control.apply(config(pools.map((each) => (each.name === 'elsewhere' ? { ...each, proxyProtocol: 'none' } : each))));
  t.strictSame(warnings(), [undefined, undefined, undefined, undefined], 'set right');
  control.stop();
  t.equal(clock.pending, 0);
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

t.test('members that discovery finds and loses', (t) => {
  const busy = new Set<number>();
  const { control, clock, states, members } = setUp({ memberSlots: { capacity: 10, busy: (slot) => busy.has(slot) } });
  const discover = { discover: { kind: 'srv' as const, name: '_http._tcp.cluster.test' } };
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

t.test('slow start: a member that came back gets its weight and its places in ten steps', (t) => {
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
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((i) => [Math.max(1, 20 * i), Math.max(1, 3 * i)]),
  );
  t.end();
});

t.test('slow start: no limit of sessions is none all the time', (t) => {
  const { control, clock, members } = setUp();
  control.start(config([pool('web', [member('a', { slowStartMs: 10_000 })])]));
  clock.advance(10);
  control.setMember('web', 'a', { state: 'maint' });
  control.setMember('web', 'a', { state: 'ready' });
  clock.advance(10);
  t.match(members()[0], { state: 'up', weight: 1, maxConnections: 0 });
  t.end();
});

t.test('real servers: one that listens, one that refuses, and one that comes back', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  await once(server.listen(0, '::1'), 'listening');
  const { port } = server.address() as AddressInfo;
  // The clock's timers keep no process alive; this does while the other is closed.
  const awake = createServer();
  await once(awake.listen(0, '::1'), 'listening');
  t.teardown(() => awake.close());
  const snapshots: ProxySnapshot[] = [];
  const waiting: (() => void)[] = [];
  const control = new ProxyControl({
    clock: systemClock,
    random: new SeededRandom(1),
    log: new MemoryLogger(),
    publish: (snapshot) => snapshots.push(snapshot),
    emit: () => {
      for (const done of waiting.splice(0)) done();
    },
  });
  const event = () => new Promise<void>((done) => waiting.push(done));
  const check = { ...tcpCheck, intervalMs: 40, rise: 1, fall: 2 };
  const first = event();
  control.start(config([pool('web', [member('a', { address: '::1', port })], { check })]));
  await first;
  t.equal(snapshots.at(-1)!.pools[0]!.members[0]!.state, 'up');
  const down = event();
  server.close();
  await down;
  t.match(control.pools()[0]!.members[0], {
    state: 'down',
    lastCheck: { code: 'L4CON', reason: 'connection refused' },
  });
  const up = event();
  await once(server.listen(port, '::1'), 'listening');
  await up;
  t.equal(snapshots.at(-1)!.pools[0]!.members[0]!.state, 'up');
  control.stop();
  server.close();
});
