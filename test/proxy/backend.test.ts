import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { CounterStripe } from '../../src/core/counters.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { Backend, type Member, type NoMember } from '../../src/proxy/backend.ts';
import { proxyCounters, proxyGauges } from '../../src/proxy/counters.ts';
import { newQueueTable, Queues } from '../../src/proxy/queue.ts';
import type { MemberSnapshot, PoolSnapshot } from '../../src/proxy/snapshot.ts';
import { spanOfAddress } from '../../src/proxy/span.ts';
import { member, pool } from './harness.ts';

const client = spanOfAddress(parseAddress('192.0.2.1'), 1234);

function backend(members: MemberSnapshot[], more: Partial<PoolSnapshot> = {}): Backend {
  const counters = CounterStripe.alone(proxyCounters, proxyGauges);
  const queues = new Queues(newQueueTable(1), 0);
  return new Backend(pool(members, more), { counters, queues, random: new SeededRandom(1) }, () => {
    looks++;
    return now;
  });
}
let now = 0;
/** How often the time was asked for, which is for members that are silent. */
let looks = 0;
const name = (taken: Member | NoMember) => (typeof taken === 'string' ? taken : taken.name);

t.test('who is taken', async (t) => {
  const cases: { name: string; members: MemberSnapshot[]; tried?: string[]; expect: string }[] = [
    { name: 'nobody there', members: [], expect: 'down' },
    {
      name: 'all down',
      members: [member('m1', 1, { state: 'down' }), member('m2', 1, { state: 'maint' })],
      expect: 'down',
    },
    { name: 'weight 0 gets nothing', members: [member('m1', 1, { weight: 0 })], expect: 'down' },
    { name: 'the one that is up', members: [member('m1', 1, { state: 'drain' }), member('m2', 1)], expect: 'm2' },
    { name: 'not one that was tried', members: [member('m1', 1), member('m2', 1)], tried: ['m1'], expect: 'm2' },
    { name: 'all tried', members: [member('m1', 1)], tried: ['m1'], expect: 'tried' },
    {
      name: 'no backup while others are up',
      members: [member('m1', 1, { backup: true }), member('m2', 1)],
      expect: 'm2',
    },
    { name: 'a backup when no other is up', members: [member('m1', 1, { backup: true })], expect: 'm1' },
    {
      name: 'a backup when every other failed',
      members: [member('m1', 1), member('m2', 1, { backup: true })],
      tried: ['m1'],
      expect: 'm2',
    },
    {
      name: 'backups of the lowest tier',
      members: [member('m1', 1, { backup: true, tier: 2 }), member('m2', 1, { backup: true, tier: 1 })],
      expect: 'm2',
    },
    {
      name: 'the next tier when nobody of those before is up',
      members: [
        member('m1', 1, { state: 'down' }),
        member('m2', 1, { backup: true, tier: 1, state: 'maint' }),
        member('m3', 1, { backup: true, tier: 5 }),
      ],
      expect: 'm3',
    },
    {
      name: 'the next tier when everybody of those before failed',
      members: [member('m1', 1), member('m2', 1, { backup: true }), member('m3', 1, { backup: true, tier: 2 })],
      tried: ['m1', 'm2'],
      expect: 'm3',
    },
    { name: 'all tried, backup too', members: [member('m1', 1, { backup: true })], tried: ['m1'], expect: 'tried' },
  ];
  for (const { name: title, members, tried, expect } of cases) {
    const subject = backend(members);
    const triedMembers = subject.members.filter((each) => tried?.includes(each.name));
    t.equal(name(subject.take(client, triedMembers)), expect, title);
  }
});

t.test('limits are kept, and a place given back goes to who waits longest', async (t) => {
  const subject = backend([member('m1', 1, { maxConnections: 1 }), member('m2', 1, { maxConnections: 1 })], {
    queue: { timeoutMs: 1, length: 2 },
  });
  const first = subject.take(client, []) as Member;
  const second = subject.take(client, []) as Member;
  t.not(first.name, second.name);
  t.equal(subject.take(client, []), 'full');
  const order: string[] = [];
  const waiting = ['a', 'b', 'c'].map((id) => ({ proceed: () => order.push(id) }));
  t.same(
    waiting.map((each) => subject.enqueue(each)),
    [true, true, false],
    'the queue is bounded',
  );
  t.equal(subject.mustQueue(waiting[2]!), true, 'newcomers stand behind');
  t.equal(subject.mustQueue(waiting[0]!), false);
  subject.vacate(first);
  subject.dequeue(waiting[0]!);
  subject.vacate(second);
  t.same(order, ['a', 'b']);
  t.equal(first.active + second.active, 0);
});

t.test('a crowd that waits for members which fail at once is served in turn, however large', async (t) => {
  const subject = backend([member('m1', 1, { maxConnections: 1 })], { queue: { timeoutMs: 1, length: 1_000_000 } });
  const held = subject.take(client, []) as Member;
  const served: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    const session = {
      proceed() {
        const taken = subject.take(client, []);
        if (typeof taken === 'string') return;
        subject.dequeue(session);
        served.push(i);
        subject.vacate(taken);
      },
    };
    subject.enqueue(session);
  }
  subject.vacate(held);
  t.equal(subject.waiting, 0);
  t.ok(served.every((who, turn) => who === turn));
  t.equal(served.length, 20_000);
  t.equal(held.active, 0);
});

t.test('members stay themselves over a change of configuration', async (t) => {
  const subject = backend([member('m1', 1), member('m2', 1), member('m3', 1)]);
  const [one, two, three] = subject.members;
  const { wentDown } = subject.apply(
    pool([member('m1', 1, { weight: 5 }), member('m2', 2), member('m3', 1, { state: 'down' })]),
  );
  t.equal(subject.members[0], one);
  t.equal(one!.weight, 5);
  t.not(subject.members[1], two, 'another port is another member');
  t.same(wentDown, [three]);
  t.same(subject.apply(pool([member('m3', 1, { state: 'down' })])).wentDown, [], 'it was down before');
});

t.test('source sends a client to the same member, whatever its port', async (t) => {
  const subject = backend([member('m1', 1), member('m2', 1), member('m3', 1)], { balance: 'source' });
  const names = new Set<string>();
  for (let port = 1; port < 50; port++)
    names.add(
      name(
        subject.take(
          spanOfAddress(client.bytes.length === 4 ? parseAddress('192.0.2.9') : parseAddress('::1'), port),
          [],
        ),
      ),
    );
  t.equal(names.size, 1);
});

t.test('members that leave connects unanswered', async (t) => {
  const pool = backend([member('m1', 1), member('m2', 1), member('m3', 1, { backup: true })]);
  const [m1, m2] = pool.members as [Member, Member];
  const takes = (count: number, tried: Member[] = []) =>
    Array.from({ length: count }, () => name(pool.take(client, tried))).sort();
  pool.suspect(m1, now);
  t.strictSame(takes(4), ['m2', 'm2', 'm2', 'm2'], 'others are taken');
  t.strictSame(takes(2, [m2]), ['m3', 'm3'], 'a backup as well');
  t.strictSame(takes(1, [m2, pool.members[2]!]), ['m1'], 'it is, when no other is left');
  now += 1000;
  t.strictSame(takes(4), ['m1', 'm2', 'm2', 'm2'], 'after a second one tries it');
  now += 999;
  t.strictSame(takes(4), ['m2', 'm2', 'm2', 'm2'], 'the others wait how that goes');
  now += 1;
  t.strictSame(takes(4), ['m1', 'm2', 'm2', 'm2'], 'one more');
  pool.hear(m1);
  t.strictSame(takes(4), ['m1', 'm1', 'm2', 'm2'], 'it has answered');
  pool.suspect(m1, now);
  pool.suspect(m2, now);
  t.strictSame(takes(2), ['m3', 'm3'], 'all are silent');
  pool.apply({ ...pool.settings, members: [member('m1', 1, { state: 'down' }), member('m2', 1)] });
  pool.apply({ ...pool.settings, members: [member('m1', 1), member('m2', 1)] });
  t.strictSame(takes(2), ['m1', 'm1'], 'checks that bring it up speak for it');
  looks = 0;
  const changing = backend([member('m1', 1), member('m2', 1)]);
  const gone = changing.members[0]!;
  changing.suspect(gone, now);
  changing.apply({ ...changing.settings, members: [member('m2', 1)] });
  changing.suspect(gone, now);
  changing.take(client, []);
  t.equal(looks, 0, 'one that is gone is not thought of any more');
  const full = backend([member('m1', 1), member('m2', 1, { maxConnections: 1 })]);
  full.suspect(full.members[0]!, now);
  t.strictSame(
    [name(full.take(client, [])), name(full.take(client, []))],
    ['m2', 'full'],
    'a place elsewhere is waited for',
  );
});
