/** What checks make of members: up, down, why, and how soon. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { FakeClock, systemClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import type { CheckResult, CheckTarget } from '../../../src/proxy/check/result.ts';
import type { CheckConfig } from '../../../src/proxy/config.ts';
import { ProxyControl } from '../../../src/proxy/control.ts';
import type { ProxySnapshot } from '../../../src/proxy/snapshot.ts';
import { config, member, noCheck, pool, setUp, tcpCheck } from './stage.ts';

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

t.test('failed checks, times down and the time of it are counted', (t) => {
  const { control, clock, healthy } = setUp();
  healthy.set('fd00::2', false);
  control.start(config([pool('web', [member('a'), member('b', { address: 'fd00::2' })])]));
  clock.advance(100);
  const checks = (at: number) => control.pools()[0]!.members[at]!.checks;
  t.strictSame(checks(0), { failed: 0, wentDown: 0, downMs: 0 });
  t.match(checks(1), { failed: 1, wentDown: 0 }, 'it never was up');
  healthy.set('fd00::1', false);
  clock.advance(3 * 2200 + 20);
  t.match(checks(0), { failed: 3, wentDown: 1 });
  const before = checks(0).downMs;
  clock.advance(30_000);
  t.equal(checks(0).downMs, before + 30_000, 'the time it is down now counts');
  t.ok(checks(0).failed > 10, 'as do failures meanwhile');
  healthy.set('fd00::1', true);
  clock.advance(3 * 2200 + 20);
  const { downMs, failed } = checks(0);
  t.ok(downMs > 30_000 && downMs < 45_000, `${downMs}`);
  healthy.set('fd00::1', true);
  clock.advance(20_000);
  t.strictSame(checks(0), { failed, wentDown: 1, downMs }, 'no more of either');
  control.setMember('web', 'b', { state: 'maint' });
  const inMaintenance = checks(1).downMs;
  clock.advance(20_000);
  t.equal(checks(1).downMs, inMaintenance, 'maintenance is not counted');
  control.stop();
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
