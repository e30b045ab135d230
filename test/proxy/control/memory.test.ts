import t from 'tap';
import { FakeClock } from '../../../src/core/clock.ts';
import { MemoryLogger } from '../../../src/core/logger.ts';
import { SeededRandom } from '../../../src/core/random.ts';
import type { MemberConfig, PoolConfig, ProxyConfig } from '../../../src/proxy/config.ts';
import { parseSaved, type SavedMember } from '../../../src/proxy/control/memory.ts';
import { type MemberEvent, type MemberWarning, ProxyControl } from '../../../src/proxy/control.ts';

const member = (name: string, more: Partial<MemberConfig> = {}): MemberConfig => ({
  name,
  address: `fd00::${name}`,
  port: 80,
  weight: 100,
  maxConnections: 0,
  backup: false,
  slowStartMs: 0,
  ...more,
});

function config(members: readonly MemberConfig[], more: Partial<PoolConfig> = {}): ProxyConfig {
  const intervals = { intervalMs: 2000, fastIntervalMs: 2000, downIntervalMs: 2000 };
  const check = { type: 'tcp', ...intervals, timeoutMs: 1000, rise: 2, fall: 3, port: undefined };
  const pool = {
    name: 'web',
    balance: 'leastconn',
    proxyProtocol: 'none',
    check,
    discover: undefined,
    members,
    ...more,
  };
  return { timeouts: {}, maxConnections: 10, listeners: [], pools: [pool] } as unknown as ProxyConfig;
}

/** What stays when a process ends: a file, as text, that may fail. */
class File {
  text: string | undefined;
  writes = 0;
  broken = false;

  read(): string | undefined {
    if (this.broken) throw new Error('EIO');
    return this.text;
  }

  write(text: string): void {
    if (this.broken) throw new Error('EROFS');
    this.text = text;
    this.writes++;
  }
}

const clock = new FakeClock();

/** A process; its checks take 10 ms, and those of addresses in `dead` fail. */
function start(
  file: File | undefined,
  settings: ProxyConfig,
  dead: readonly string[] = [],
  busy: readonly number[] = [],
) {
  const log = new MemoryLogger();
  const events: (MemberEvent | MemberWarning)[] = [];
  const control = new ProxyControl({
    clock,
    log,
    random: new SeededRandom(1),
    publish: () => undefined,
    emit: (event) => {
      if (event.kind !== 'member-removed') events.push(event);
    },
    memberSlots: { capacity: 20, busy: (slot) => busy.includes(slot) },
    probe: (target, _, done) => {
      const ok = !dead.includes(target.address);
      const timer = clock.after(10, () =>
        done(
          ok
            ? { ok, code: 'L4OK', reason: 'connected', durationMs: 1 }
            : { ok, code: 'L4CON', reason: 'refused', durationMs: 1 },
        ),
      );
      return { cancel: () => timer.cancel() };
    },
    ...(file && { keep: file }),
  });
  control.start(settings);
  const states = () => Object.fromEntries(control.pools()[0]!.members.map((m) => [m.name, `${m.state} ${m.weight}`]));
  return { control, log, events, states };
}

t.test('states, orders and last checks survive; nobody is down for want of a check', (t) => {
  const file = new File();
  const settings = config(['1', '2', '3', '4', '5'].map((name) => member(name)));
  const first = start(file, settings, ['fd00::5']);
  clock.advance(100);
  first.control.setMember('web', '2', { state: 'drain' });
  first.control.setMember('web', '3', { state: 'maint' });
  first.control.setMember('web', '4', { weight: 7 });
  const before = first.states();
  t.strictSame(before, { 1: 'up 100', 2: 'drain 100', 3: 'maint 100', 4: 'up 7', 5: 'down 100' });
  const since = first.control.pools()[0]!.members[0]!.since;
  first.control.stop();
  t.equal(clock.pending, 0);
  clock.advance(60_000);

  const second = start(file, settings, ['fd00::1']);
  t.strictSame(second.states(), before, 'before the first check has ended');
  t.match(second.control.pools()[0]!.members[0], { since, reason: 'connected', lastCheck: { ok: true } });
  t.match(second.control.pools()[0]!.members[4], { reason: 'refused', lastCheck: { code: 'L4CON' } });
  clock.advance(10);
  t.strictSame(second.states(), { ...before, 5: 'up 100' }, 'who was down is up with its first good check');
  t.match(second.events, [{ member: '5', from: 'down', to: 'up' }], 'and only that is news');
  clock.advance(6_500);
  t.equal(second.states()[1], 'down 100', 'who was up is taken down as ever');
  t.equal(second.control.setMember('web', '2', { state: 'ready' }).state, 'up');
  second.control.stop();

  const third = start(file, config([member('1', { port: 81 }), member('4', { weight: 50 })]));
  t.strictSame(third.states(), { 1: 'down 100', 4: 'up 50' }, 'another server, another weight: as configured');
  third.control.stop();
  t.end();
});

t.test(
  'after a restart, who was up is checked some time within the interval; traffic that fails does not wait for it',
  (t) => {
    const file = new File();
    const settings = config(Array.from({ length: 19 }, (_, i) => member(String(i))));
    const first = start(file, settings);
    clock.advance(1_000);
    t.ok(Object.values(first.states()).every((state) => state === 'up 100'));
    first.control.stop();
    const second = start(file, settings);
    const checked = () => second.control.pools()[0]!.members.filter(({ lastCheck }) => lastCheck!.at >= begin).length;
    const begin = clock.wall();
    second.control.reportConnectFailure('web', '7', 'ECONNREFUSED');
    clock.advance(20);
    t.ok(second.control.pools()[0]!.members[7]!.lastCheck!.at >= begin, 'the one that traffic could not reach');
    clock.advance(480);
    t.ok(checked() > 1 && checked() < 12, `${checked()} after a quarter of the interval`);
    clock.advance(1_510);
    t.equal(checked(), 19);
    second.control.stop();
    t.end();
  },
);

t.test('a slow start goes on where the earlier process left it', (t) => {
  const file = new File();
  const settings = config([member('1', { slowStartMs: 20_000, maxConnections: 50 }), member('2')]);
  const first = start(file, settings);
  clock.advance(100);
  first.control.setMember('web', '1', { state: 'maint' });
  first.control.setMember('web', '1', { state: 'ready' });
  clock.advance(10);
  clock.advance(7_000);
  t.equal(first.states()[1], 'up 35');
  first.control.stop();
  clock.advance(60_000);
  const second = start(file, settings);
  const steps = [second.states()[1]];
  for (let i = 0; i < 7; i++) {
    clock.advance(2_000);
    steps.push(second.states()[1]);
  }
  t.strictSame(steps, ['up 35', 'up 45', 'up 55', 'up 65', 'up 75', 'up 85', 'up 95', 'up 100']);
  t.equal(second.control.pools()[0]!.members[0]!.maxConnections, 50);
  second.control.stop();
  const third = start(file, settings);
  t.equal(third.states()[1], 'up 100', 'what is over is over');
  third.control.stop();
  t.end();
});

t.test('members added and removed by API stay so, over reload and restart', (t) => {
  const file = new File();
  const settings = config([member('1'), member('2')]);
  const first = start(file, settings);
  clock.advance(10);
  const writes = file.writes;
  first.control.addMember('web', member('9', { weight: 3 }));
  first.control.removeMember('web', '1');
  t.equal(file.writes, writes + 2, 'on disk when the call returns');
  clock.advance(10);
  t.strictSame(first.control.apply(settings), { added: [], removed: [], overridden: [] });
  t.strictSame(first.states(), { 2: 'up 100', 9: 'up 3' });
  first.control.stop();

  const second = start(file, settings);
  t.strictSame(second.states(), { 2: 'up 100', 9: 'up 3' });
  t.equal(second.control.pools()[0]!.members[1]!.origin, 'api');
  t.strictSame(second.control.apply(config([member('1', { port: 81 }), member('9', { port: 81 })])).overridden, [
    'web/1: removed at run time, is back',
    'web/9: added at run time, is gone',
  ]);
  second.control.removeMember('web', '1');
  second.control.addMember('web', member('1', { port: 81 }));
  second.control.stop();
  const third = start(file, config([member('1', { port: 81 })]));
  t.equal(third.control.pools()[0]!.members[0]!.origin, 'config', 'who is added again is back for good');
  third.control.stop();
  t.end();
});

t.test("an address of the operator's for a member of the configuration: removed and added under its name", (t) => {
  const file = new File();
  const settings = config([member('1'), member('2')]);
  for (const busy of [[], [0]]) {
    file.text = undefined;
    const first = start(file, settings, [], busy);
    clock.advance(10);
    first.control.removeMember('web', '1');
    first.control.addMember('web', member('1', { port: 81, weight: 3 }));
    clock.advance(10);
    const ports = ({ control }: typeof first) => control.pools()[0]!.members.map(({ name, port }) => [name, port]);
    t.strictSame(first.control.apply(settings), { added: [], removed: [], overridden: [] });
    t.strictSame(first.states(), { 1: 'up 3', 2: 'up 100' });
    first.control.stop();

    const second = start(file, settings);
    t.strictSame(second.states(), { 2: 'up 100', 1: 'up 3' }, 'and over a restart');
    t.strictSame(second.control.apply(config([member('1', { port: 82 })])), {
      added: ['web/1'],
      removed: ['web/2', 'web/1'],
      overridden: ['web/1: removed at run time, is back', 'web/1: added at run time, is gone'],
    });
    t.strictSame(ports(second), [['1', 82]], 'the configuration says something new of it');
    second.control.stop();
  }
  t.end();
});

t.test('a reload tells of settings that it takes from a member added by API', (t) => {
  const { control } = start(new File(), config([member('1')]));
  control.addMember('web', member('2', { address: 'fd00::2', maxConnections: 5 }));
  t.strictSame(control.apply(config([member('1'), member('2', { address: 'fd00::2' })])).overridden, [
    'web/2: added at run time with other settings, is as configured',
  ]);
  t.equal(control.pools()[0]!.members[1]!.maxConnections, 0);
  t.strictSame(control.apply(config([member('1'), member('2', { address: 'fd00::2', weight: 5 })])).overridden, []);
  control.addMember('web', member('3', { address: 'fd00::3' }));
  t.strictSame(
    control.apply(config(['1', '2', '3'].map((name) => member(name, { address: `fd00::${name}` })))).overridden,
    [],
    'the same settings are no news',
  );
  control.stop();
  t.end();
});

t.test('taken out again after it was given another address, a member is out', (t) => {
  const file = new File();
  const settings = config([member('1'), member('2')]);
  const { control, states } = start(file, settings);
  clock.advance(10);
  control.removeMember('web', '1');
  control.addMember('web', member('1', { port: 81 }));
  control.removeMember('web', '1');
  control.apply(settings);
  t.strictSame(states(), { 2: 'up 100' });
  t.strictSame(control.pools()[0]!.removed, [{ name: '1', address: 'fd00::1', port: 80 }], 'and is told of');
  control.addMember('web', member('1'));
  control.apply(settings);
  clock.advance(10);
  t.strictSame(states(), { 1: 'up 100', 2: 'up 100' }, 'with the address that the configuration has it is back');
  t.equal(control.pools()[0]!.members[0]!.origin, 'config');
  t.strictSame(control.pools()[0]!.removed, []);
  control.stop();
  t.end();
});

t.test('a member that drains because it was removed goes on to do so over a reload', (t) => {
  const settings = config([member('1'), member('2')]);
  const { control, states } = start(new File(), settings, [], [0]);
  clock.advance(10);
  control.removeMember('web', '1');
  t.strictSame(states(), { 1: 'drain 100', 2: 'up 100' });
  t.strictSame(control.apply(settings).removed, []);
  t.strictSame(states(), { 2: 'up 100', 1: 'drain 100' });
  control.stop();
  t.end();
});

t.test('without a place to keep it, a reload ends what the API changed, and says so', (t) => {
  const file = new File();
  file.broken = true;
  for (const keep of [undefined, file]) {
    const settings = config([member('1')]);
    const { control, log } = start(keep, settings);
    clock.advance(2_000);
    control.addMember('web', member('9'));
    control.removeMember('web', '1', { force: true });
    t.strictSame(control.apply(settings).overridden, [
      'web/1: removed at run time, is back',
      'web/9: added at run time, is gone',
    ]);
    const warnings = log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
    t.strictSame(
      warnings,
      keep === undefined ? [] : ['states of members from before cannot be read', 'states of members cannot be kept'],
      'each is said once',
    );
    control.stop();
  }
  t.end();
});

t.test('discovered members are there before DNS has answered', (t) => {
  const file = new File();
  const settings = config([], { discover: { kind: 'srv', name: 's.test', maxConnections: 0, slowStartMs: 0 } });
  const first = start(file, settings);
  first.control.setDiscovered('web', [member('1'), member('2')]);
  clock.advance(10);
  first.control.stop();
  const second = start(file, settings);
  t.strictSame(second.states(), { 1: 'up 100', 2: 'up 100' });
  t.strictSame(second.control.discovered('web'), [member('1'), member('2')]);
  second.control.setDiscovered('web', [member('2')]);
  t.strictSame(second.states(), { 2: 'up 100' });
  second.control.stop();
  t.strictSame(start(file, config([])).states(), {}, 'not in a pool that follows no name');
  const third = start(file, settings);
  third.control.setDiscovered('web', [member('1')]);
  third.control.setMember('web', '1', { state: 'drain' });
  third.control.setDiscovered('web', []);
  third.control.stop();
  const fourth = start(file, settings);
  t.strictSame(fourth.states(), {}, 'who is named no more is not there');
  fourth.control.setDiscovered('web', [member('1')]);
  clock.advance(10);
  t.strictSame(fourth.states(), { 1: 'drain 100' }, 'and what the operator said of it holds if it is named again');
  fourth.control.stop();
  t.end();
});

t.test('changes of state are written, not each for itself', (t) => {
  const file = new File();
  const { control } = start(file, config([member('1'), member('2')]));
  clock.advance(999);
  t.equal(file.writes, 0);
  clock.advance(1);
  t.equal(file.writes, 1);
  clock.advance(60_000);
  t.equal(file.writes, 1, 'good checks are no change');
  control.stop();
  t.end();
});

t.test('a file that is not ours to read', (t) => {
  const good: SavedMember = {
    pool: 'web',
    config: member('1'),
    origin: 'api',
    admin: 'ready',
    adminWeight: undefined,
    orderReason: '',
    up: true,
    since: 1,
    reason: '',
    lastCheck: undefined,
  };
  const read = (value: unknown) => parseSaved(JSON.stringify(value));
  t.throws(() => parseSaved('{'), SyntaxError);
  for (const value of [null, 5, [], {}, { version: 2, members: [good] }, { version: 1, members: 5, removed: 'x' }]) {
    t.strictSame(read(value), { members: [], removed: [], absent: [] }, JSON.stringify(value));
  }
  const bad = [
    null,
    5,
    {},
    { ...good, pool: 1 },
    { ...good, admin: 'off' },
    { ...good, origin: 'dns' },
    { ...good, up: 'yes' },
    { ...good, config: undefined },
    { ...good, config: member('1', { address: 'x' }) },
    { ...good, config: member('1', { port: 0 }) },
    { ...good, config: { ...member('1'), backup: 1 } },
    { ...good, config: { ...member('1'), slowStartMs: -1 } },
    { ...good, slowStartElapsedMs: -1 },
    { ...good, slowStartElapsedMs: '5' },
  ];
  t.equal(read({ version: 1, members: [...bad, good] }).members.length, 1);
  t.equal(read({ version: 1, absent: [...bad, good] }).absent.length, 1);
  const removed = { pool: 'web', name: '1', address: 'fd00::1', port: 80 };
  t.strictSame(read({ version: 1, removed: [null, { ...removed, port: '80' }, removed] }).removed, [removed]);
  const { control, log } = start(Object.assign(new File(), { text: 'garbage' }), config([member('1')]));
  t.match(log.lines, [{ level: 'warn', message: 'states of members from before cannot be read' }]);
  control.stop();
  t.end();
});
