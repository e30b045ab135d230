import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { Tickets } from '../../src/edge/tickets.ts';

function setup(threads: string[]) {
  const clock = new FakeClock();
  const tickets = new Tickets<string>(clock);
  const asked: [thread: string, ticket: number][] = [];
  const open = (limitMs = 1000) => tickets.open(threads, limitMs, (...question) => asked.push(question));
  return { clock, tickets, asked, open };
}

t.test('nobody to ask', async (t) => {
  const { clock, open } = setup([]);
  t.strictSame(await open(), []);
  t.equal(clock.pending, 0);
});

t.test('answers come in any order, and each thread has one', async (t) => {
  const { clock, tickets, asked, open } = setup(['a', 'b']);
  const [first, second] = [open(), open()];
  t.strictSame(asked, [
    ['a', 0],
    ['b', 0],
    ['a', 1],
    ['b', 1],
  ]);
  tickets.settle(1, 'b', 'b1');
  tickets.settle(0, 'b', 'b0');
  tickets.settle(0, 'b', 'once more');
  tickets.settle(0, 'stranger', 'who was not asked');
  tickets.settle(7, 'a', 'to no question');
  tickets.settle(0, 'a', 'a0');
  tickets.settle(1, 'a', undefined);
  t.strictSame(await first, ['b0', 'a0']);
  t.strictSame(await second, ['b1'], 'one had nothing to say');
  t.equal(clock.pending, 0);
});

t.test('one that is late is left out', async (t) => {
  const { clock, tickets, open } = setup(['a', 'b']);
  const answers = open(500);
  tickets.settle(0, 'a', 1);
  clock.advance(500);
  t.strictSame(await answers, [1]);
  tickets.settle(0, 'b', 2);
  t.strictSame(await answers, [1]);
});

t.test('one that ends has answered all', async (t) => {
  const { tickets, open } = setup(['a', 'b']);
  const [first, second] = [open(), open()];
  tickets.settle(0, 'b', 1);
  tickets.ended('a');
  t.strictSame(await first, [1]);
  tickets.ended('b');
  t.strictSame(await second, []);
});
