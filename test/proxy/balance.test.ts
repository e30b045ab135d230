import t from 'tap';
import { SeededRandom } from '../../src/core/random.ts';
import { balances, type Candidate, hashBytes } from '../../src/proxy/balance.ts';

interface Fake extends Candidate {
  name: string;
  active: number;
}

function fakes(...weights: number[]): Fake[] {
  return weights.map((weight, i) => ({
    name: `m${i}`,
    weight,
    active: 0,
    credit: 0,
    hash: hashBytes(Buffer.from(`m${i}`)),
  }));
}
const random = new SeededRandom(3);
const context = (turn = 0, client = 0) => ({ random, client, turn });

t.test('roundrobin is smooth and goes by weight', async (t) => {
  const members = fakes(5, 1, 1);
  const picks = Array.from({ length: 7 }, () => balances.roundrobin(members, context()).name);
  // The order nginx documents for 5, 1, 1.
  t.same(picks, ['m0', 'm0', 'm1', 'm0', 'm2', 'm0', 'm0']);
});

t.test('leastconn levels by weight, and ties go round', async (t) => {
  const members = fakes(1, 1, 2);
  for (let turn = 0; turn < 400; turn++) balances.leastconn(members, context(turn)).active++;
  t.same(
    members.map((member) => member.active),
    [100, 100, 200],
  );
  const equal = fakes(1, 1, 1);
  t.same(
    [0, 1, 2, 3].map((turn) => balances.leastconn(equal, context(turn)).name),
    ['m0', 'm1', 'm2', 'm0'],
  );
});

t.test('random2 avoids the loaded and goes by weight', async (t) => {
  const members = fakes(1, 1, 1, 1);
  for (let i = 0; i < 4000; i++) balances.random2(members, context()).active++;
  for (const member of members) t.ok(Math.abs(member.active - 1000) < 20, `${member.name} ${member.active}`);
});

t.test('source keeps clients where they are when another member goes', async (t) => {
  const members = fakes(1, 1, 1, 1);
  const clients = Array.from({ length: 4000 }, (_, i) => hashBytes(Buffer.from([i & 0xff, i >> 8, 1, 2])));
  const before = clients.map((client) => balances.source(members, context(0, client)).name);
  for (const { name } of members) {
    const share = before.filter((picked) => picked === name).length;
    t.ok(share > 850 && share < 1150, `${name} has ${share} of 4000`);
  }
  const left = members.filter((member) => member.name !== 'm2');
  const after = clients.map((client) => balances.source(left, context(0, client)).name);
  t.ok(
    before.every((picked, i) => picked === 'm2' || picked === after[i]),
    'only the clients of m2 moved',
  );
});

t.test('first takes the first', async (t) => {
  const members = fakes(1, 9, 1);
  for (let i = 0; i < 5; i++) balances.first(members, context(i)).active++;
  t.same(
    members.map(({ active }) => active),
    [5, 0, 0],
  );
});

t.test('source goes by weight', async (t) => {
  const members = fakes(3, 1);
  const clients = Array.from({ length: 4000 }, (_, i) => hashBytes(Buffer.from([i & 0xff, i >> 8])));
  const share = clients.filter((client) => balances.source(members, context(0, client)).name === 'm0').length;
  t.ok(share > 2850 && share < 3150, `${share} of 4000`);
});
