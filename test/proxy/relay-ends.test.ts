/** FINs: the bytes before them go on at once, and what they ask for is seen to when there is time. */
import t, { type Test } from 'tap';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLRDHUP } from '../../src/linux/reactor.ts';
import { Memory, peek, receive, send, shutdownWrite } from '../../src/linux/tcp.ts';
import { until } from './harness.ts';
import { bareRelays } from './relay-stage.ts';

const fin = EPOLLIN | EPOLLRDHUP;
const memory = Memory.make(64);
const word = Memory.of(Buffer.from('last words'));
const ended = async (fd: number) => {
  await until(() => peek(fd, memory.address, 1) === 0, 'the FIN to be with us');
};
const stageOf = (t: Test) => bareRelays(t, { sndbuf: 65536, rcvbuf: 65536 });

t.test('a FIN alone', async (t) => {
  const { io, client, upstream, toClient, toMember, ends } = await stageOf(t);
  shutdownWrite(toClient.theirs);
  await ended(toClient.ours);
  client.onEvents(fin);
  client.onEvents(fin);
  t.strictSame([client.eof, client.finished, ends], [true, false, []], 'is read, and waits');
  t.equal(peek(toMember.theirs, memory.address, 1) < 0, true, 'nobody was told');
  t.equal(io.runEnds(), false);
  t.strictSame([client.finished, ends], [true, ['half-closed']], 'is passed on when there is time, once');
  await ended(toMember.theirs);

  shutdownWrite(toMember.theirs);
  await ended(toMember.ours);
  upstream.onEvents(fin);
  t.strictSame(ends, ['half-closed']);
  t.equal(io.runEnds(), false);
  t.strictSame(ends, ['half-closed', 'finished'], 'the second ends the session');
});

t.test('a FIN behind bytes leaves with them', async (t) => {
  const { io, client, toClient, toMember, ends } = await stageOf(t);
  t.equal(send(toClient.theirs, word.address, 10), 10);
  shutdownWrite(toClient.theirs);
  await until(() => peek(toClient.ours, memory.address, 10) === 10, 'the bytes to be with us');
  client.onEvents(fin);
  t.strictSame([client.finished, ends], [true, ['half-closed']]);
  await until(() => peek(toMember.theirs, memory.address, 10) === 10, 'them at the member');
  t.equal(receive(toMember.theirs, memory.address, 64), 10);
  await ended(toMember.theirs);
  t.equal(io.runEnds(), false);
  t.strictSame(ends, ['half-closed']);
});

t.test('both ends are there: a reset that follows takes nothing back', async (t) => {
  const { io, client, upstream, toClient, toMember, ends, reset } = await stageOf(t);
  shutdownWrite(toClient.theirs);
  shutdownWrite(toMember.theirs);
  await ended(toClient.ours);
  await ended(toMember.ours);
  client.onEvents(fin);
  upstream.onEvents(fin);
  reset(toClient.theirs);
  client.onEvents(fin | EPOLLERR | EPOLLHUP);
  t.strictSame(ends, []);
  t.equal(io.runEnds(), false);
  t.strictSame(ends, ['half-closed', 'finished']);
});

t.test('a reset behind the only FIN breaks the session', async (t) => {
  const { io, client, toClient, ends, reset } = await stageOf(t);
  shutdownWrite(toClient.theirs);
  await ended(toClient.ours);
  client.onEvents(fin);
  reset(toClient.theirs);
  client.onEvents(fin | EPOLLERR | EPOLLHUP);
  t.strictSame(ends, ['broken']);
  // The session lets go of both.
  client.release();
  t.equal(io.runEnds(), false);
  t.strictSame(ends, ['broken'], 'nothing more is said of it');
});

t.test('many ends are seen to a few at a time', async (t) => {
  const stages: Awaited<ReturnType<typeof stageOf>>[] = [];
  for (let i = 0; i < 6; i++) stages.push(await stageOf(t));
  const { io } = stages[0]!;
  for (const { client, toClient } of stages) {
    shutdownWrite(toClient.theirs);
    await ended(toClient.ours);
    io.endLater(client);
  }
  const told = () => stages.filter(({ ends }) => ends.length > 0).length;
  t.equal(io.runEnds(), true);
  t.equal(told(), 4);
  t.equal(io.runEnds(), false);
  t.equal(told(), 6);
  t.equal(io.runEnds(), false, 'none is left');
});
