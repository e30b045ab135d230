import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { maxWithdrawnItems } from '../../src/ra/constants.ts';
import { Told } from '../../src/ra/told.ts';
import type { NdOption } from '../../src/ra/wire/options.ts';
import { prefixOption } from './support.ts';

const hour = 3_600_000;
const start = Date.UTC(2026, 0, 1);
const pio = prefixOption;
const rdnss = (lifetimeSeconds: number, ...servers: string[]): NdOption => ({
  kind: 'rdnss',
  lifetimeSeconds,
  servers: servers.map(parseAddress),
});
const dnssl = (...domains: string[]): NdOption => ({ kind: 'dnssl', lifetimeSeconds: 60, domains });

t.test('single servers and names of an option, names in any case, nothing without lifetime', (t) => {
  const told = new Told();
  told.say([pio('fd00:6::/64'), rdnss(60, 'fd00::1', 'fd00::2'), dnssl('A.test', 'b.test')], start);
  t.strictSame(told.withdrawn(start), []);
  told.say([{ kind: 'mtu', mtu: 1400 }, rdnss(60, 'fd00::2'), dnssl('a.test')], start);
  t.match(told.withdrawn(start), [
    { kind: 'prefix-information', preferredSeconds: 0, validSeconds: 7_200 },
    { kind: 'rdnss', servers: [parseAddress('fd00::1')], lifetimeSeconds: 0 },
    { kind: 'dnssl', domains: ['b.test'], lifetimeSeconds: 0 },
  ]);
  t.equal(told.withdrawn(start).length, 3);
  t.end();
});

t.test('each for as long as hosts may hold it; a prefix fades within two hours', (t) => {
  const cases: [name: string, option: NdOption, forMs: number][] = [
    ['a server', rdnss(1800, 'fd00::1'), 1_800_000],
    ['a prefix of a day', pio('fd00:6::/64'), 24 * hour],
    ['a prefix of a minute', pio('fd00:6::/64', { validSeconds: 60, preferredSeconds: 60 }), 60_000],
    ['one without end', pio('fd00:6::/64', { validSeconds: Infinity }), 30 * 24 * hour],
    [
      'a route',
      { kind: 'route-information', prefix: parseCidr('64:ff9b::/96'), preference: 'low', lifetimeSeconds: 9 },
      9_000,
    ],
    ['a NAT64 prefix', { kind: 'pref64', prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 80 }, 80_000],
  ];
  for (const [name, option, forMs] of cases) {
    const told = new Told();
    told.say([option], start);
    told.say([], start + 1_000);
    t.equal(told.withdrawn(start + 1_000 + forMs - 1).length, 1, name);
    t.equal(told.withdrawn(start + 1_000 + forMs).length, 0, name);
  }
  const told = new Told();
  told.say([pio('fd00:6::/64')], start);
  told.say([], start);
  const valid = (at: number): unknown => told.withdrawn(at).map((one) => 'validSeconds' in one && one.validSeconds);
  t.strictSame(valid(start), [7_200]);
  t.strictSame(valid(start + hour), [3_600]);
  t.strictSame(valid(start + 3 * hour), [0]);
  t.end();
});

t.test('what comes back is not taken back; lifetime 0 is our own way to do so', (t) => {
  const told = new Told();
  t.ok(told.say([rdnss(60, 'fd00::1')], start));
  t.notOk(told.say([rdnss(60, 'fd00::1')], start), 'the same again is nothing new');
  told.say([], start);
  told.say([rdnss(60, 'fd00::1')], start);
  t.strictSame(told.withdrawn(start), []);
  told.say([rdnss(0, 'fd00::1')], start);
  t.strictSame(told.withdrawn(start), []);
  told.say([], start);
  t.equal(told.withdrawn(start).length, 1, 'gone from the configuration: some host may hold it still');
  const never = new Told();
  never.say([rdnss(0, 'fd00::1')], start);
  never.say([], start);
  t.strictSame(never.withdrawn(start), [], 'nobody ever held it');
  t.end();
});

t.test('memory is bounded: of many, the first give way', (t) => {
  const told = new Told();
  for (let i = 0; i < 1_000; i++) told.say([pio(`2001:db8:${i.toString(16)}::/64`)], start);
  t.equal(told.withdrawn(start).length, maxWithdrawnItems);
  t.match(told.withdrawn(start).at(-1), { prefix: parseCidr('2001:db8:3e6::/64') });
  t.end();
});

t.test('as JSON and back; a clock that was wrong does no harm', (t) => {
  const told = new Told();
  told.say([pio('fd00:6::/64'), rdnss(60, 'fd00::1')], start);
  told.say([rdnss(60, 'fd00::1')], start);
  const json = JSON.parse(JSON.stringify(told.toJson()));
  const again = Told.fromJson(json, start + 1);
  t.strictSame(again.toJson(), told.toJson());
  again.say([], start + 1);
  t.equal(again.withdrawn(start + 1).length, 2, 'what the process before said is taken back, too');
  t.equal(Told.fromJson(json, start + 25 * hour).withdrawn(start + 25 * hour).length, 0, 'run out meanwhile');
  const past = Told.fromJson(json, 0);
  t.match(past.withdrawn(0), [{ validSeconds: 7_200 }]);
  t.equal(past.withdrawn(30 * 24 * hour).length, 0, 'not for 56 years');
  t.throws(() => Told.fromJson({ said: ['0501000000000578'], withdrawn: [] }, start), /no option we withdraw/);
  t.throws(() => Told.fromJson({ said: ['x'], withdrawn: [] }, start));
  t.throws(() => Told.fromJson({ said: ['0304'], withdrawn: [] }, start));
  t.end();
});
