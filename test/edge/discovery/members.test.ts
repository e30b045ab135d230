import t from 'tap';
import { discoveredMembers, maxDiscovered, type ServicePoint } from '../../../src/edge/discovery/members.ts';

const pool = { members: [], discover: undefined };

function point(host: string | undefined, address: string, more: Partial<ServicePoint> = {}): ServicePoint {
  return { host, address, port: 80, priority: 0, weight: 0, ...more };
}

/** Name, place, weight, and which tier of backup if it is one. */
function shown(points: readonly ServicePoint[], names = new Map<string, string>(), from = pool): unknown[] {
  return discoveredMembers(from, points, names).map(({ name, address, port, weight, backup, tier }) => [
    name,
    `${address} ${port}`,
    weight,
    backup && tier,
  ]);
}

t.test('priority makes tiers of backups, weight is weight', (t) => {
  t.strictSame(shown([]), []);
  t.strictSame(
    shown([
      point('b.test', 'fd00::2', { priority: 20, weight: 10 }),
      point('a.test', 'fd00::1', { priority: 10, weight: 60 }),
      point('c.test', 'fd00::3', { priority: 10, weight: 0 }),
      point('d.test', 'fd00::4', { priority: 30, weight: 1 }),
      point('e.test', 'fd00::5', { priority: 20, weight: 30 }),
    ]),
    [
      ['a.test', 'fd00::1 80', 60, false],
      ['c.test', 'fd00::3 80', 1, false],
      ['b.test', 'fd00::2 80', 10, 1],
      ['e.test', 'fd00::5 80', 30, 1],
      ['d.test', 'fd00::4 80', 1, 2],
    ],
  );
  t.strictSame(shown([point('a.test', 'fd00::1')]), [['a.test', 'fd00::1 80', 100, false]], 'all zero: no difference');
  t.strictSame(
    shown([point('a.test', 'fd00::1', { weight: 65535 }), point('b.test', 'fd00::2', { weight: 32768 })]).map(
      (row) => (row as unknown[])[2],
    ),
    [256, 128],
    'beyond what a member can have they are brought into proportion',
  );
  t.end();
});

t.test('names: of the target or the address, one each, and the same at the next look', (t) => {
  const names = new Map<string, string>();
  const both = [point('w.test', 'fd00::2'), point('w.test', 'fd00::1'), point(undefined, 'fd00::3')];
  t.strictSame(
    shown(both, names).map((row) => (row as unknown[])[0]),
    ['w.test', 'w.test-2', 'fd00--3'],
  );
  t.strictSame(
    shown([point('w.test', 'fd00::2')], names),
    [['w.test-2', 'fd00::2 80', 100, false]],
    'it keeps its name',
  );
  t.equal(names.size, 1, 'those gone are forgotten');
  t.strictSame(shown([point(undefined, '192.0.2.1')]), [['192.0.2.1', '192.0.2.1 80', 100, false]]);
  t.end();
});

t.test('static members come first: their places and names are theirs', (t) => {
  const member = { port: 80, weight: 100, maxConnections: 0, backup: false, slowStartMs: 0 };
  const from = { ...pool, members: [{ ...member, name: 'w.test', address: 'fd00:0::1' }] };
  t.strictSame(discoveredMembers(from, [point('w.test', 'fd00::1')], new Map()), []);
  t.equal(discoveredMembers(from, [point('w.test', 'fd00::2')], new Map())[0]?.name, 'w.test-2');
  const names = new Map<string, string>();
  discoveredMembers(pool, [point('w.test', 'fd00::2')], names);
  t.equal(
    discoveredMembers(from, [point('w.test', 'fd00::2')], names)[0]?.name,
    'w.test-2',
    'also one that came later than what was found',
  );
  t.end();
});

t.test('a name with thousands of records does not fill the pool', (t) => {
  const many = Array.from({ length: 1000 }, (_, i) => point('w.test', `fd00::${i.toString(16)}`));
  t.equal(discoveredMembers(pool, [...many, ...many], new Map()).length, maxDiscovered);
  t.end();
});
