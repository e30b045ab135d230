import t from 'tap';
import { AF_UNIX, SOCK_STREAM } from '../../src/linux/constants.ts';
import { check } from '../../src/linux/errors.ts';
import { closeFd, libcCall, orErrno } from '../../src/linux/libc.ts';
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, Reactor } from '../../src/linux/reactor.ts';
import { eventfd, flags, pair, pipe, Recorder, read, settle, write } from './reactor-stage.ts';

const socketpairCall = libcCall<(domain: number, type: number, protocol: number, pair: Uint8Array) => number>(
  'int socketpair(int domain, int type, int protocol, void *pair)',
);

const shutdownCall = libcCall<(fd: number, how: number) => number>('int shutdown(int fd, int how)');
const dup2Call = libcCall<(from: number, to: number) => number>('int dup2(int from, int to)');
const SHUT_WR = 1;

const socketpair = () => pair((fds) => socketpairCall(AF_UNIX, SOCK_STREAM | flags, 0, fds));

t.test('what cannot be watched', (t) => {
  const reactor = new Reactor();
  t.throws(() => reactor.add(9999, EPOLLIN, new Recorder()), { code: 'EBADF', syscall: 'epoll_ctl' });
  const fd = eventfd();
  t.throws(() => reactor.modify(fd, EPOLLIN), { code: 'ENOENT' });
  reactor.add(fd, EPOLLIN, new Recorder());
  t.throws(() => reactor.add(fd, EPOLLIN, new Recorder()), { code: 'EEXIST' });
  reactor.remove(fd);
  t.doesNotThrow(() => reactor.remove(fd), 'twice');
  reactor.close();
  reactor.close();
  closeFd(fd);
  t.end();
});

t.test('a failed add leaves whoever is watching in place', async (t) => {
  const reactor = new Reactor();
  const fd = eventfd();
  const first = new Recorder();
  reactor.add(fd, EPOLLIN, first);
  t.throws(() => reactor.add(fd, EPOLLIN, new Recorder()), { code: 'EEXIST' });
  write(fd, '\x01\0\0\0\0\0\0\0');
  t.equal(await first.next(), EPOLLIN);
  reactor.close();
  closeFd(fd);
});

t.test('events of pipes, socket pairs and eventfds arrive with their bits and descriptors', async (t) => {
  const reactor = new Reactor();
  const [out, into] = pipe();
  const [a, b] = socketpair();
  const counter = eventfd();
  const onPipe = new Recorder();
  const onSocket = new Recorder();
  const onCounter = new Recorder();
  // Many in one batch: each structure's offset counts.
  reactor.add(out, EPOLLIN | EPOLLET, onPipe);
  reactor.add(a, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, onSocket);
  reactor.add(counter, EPOLLIN | EPOLLET, onCounter);
  t.equal(await onSocket.next(), EPOLLOUT, 'an idle socket can be written');
  write(into, 'x');
  write(b, 'y');
  write(counter, '\x05\0\0\0\0\0\0\0');
  await settle(reactor);
  t.strictSame(
    [onPipe.events, onSocket.events, onCounter.events],
    [[EPOLLIN], [EPOLLOUT, EPOLLIN | EPOLLOUT], [EPOLLIN]],
  );
  shutdownCall(b, SHUT_WR);
  t.equal(await onSocket.next(), EPOLLIN | EPOLLOUT | EPOLLRDHUP, 'half-closed by the peer');
  closeFd(b);
  t.equal((await onSocket.next()) & EPOLLHUP, EPOLLHUP, 'closed by the peer');
  read(out);
  closeFd(into);
  t.equal(await onPipe.next(), EPOLLHUP, 'no writer is left');
  const [closedReader, writer] = pipe();
  const onWriter = new Recorder();
  reactor.add(writer, EPOLLOUT | EPOLLET, onWriter);
  await settle(reactor);
  closeFd(closedReader);
  t.equal((await onWriter.next()) & EPOLLERR, EPOLLERR, 'no reader is left');
  reactor.close();
  for (const fd of [out, a, counter, writer]) closeFd(fd);
});

t.test('edge-triggered tells once, level-triggered until it is read', async (t) => {
  const reactor = new Reactor();
  const [edge, edgeIn] = pipe();
  const [level, levelIn] = pipe();
  const onEdge = new Recorder();
  const onLevel = new Recorder(() => {
    if (onLevel.events.length === 3) read(level);
  });
  reactor.add(edge, EPOLLIN | EPOLLET, onEdge);
  reactor.add(level, EPOLLIN, onLevel);
  write(edgeIn, 'unread');
  write(levelIn, 'unread');
  for (let i = 0; i < 3; i++) await settle(reactor);
  t.equal(onEdge.events.length, 1);
  t.equal(onLevel.events.length, 3, 'read at the third');
  write(edgeIn, 'more');
  await settle(reactor);
  t.equal(onEdge.events.length, 2, 'new bytes are a new edge');
  reactor.close();
  for (const fd of [edge, edgeIn, level, levelIn]) closeFd(fd);
});

t.test('modify changes what is watched', async (t) => {
  const reactor = new Reactor();
  const [a, b] = socketpair();
  const recorder = new Recorder();
  reactor.add(a, EPOLLIN, recorder);
  await settle(reactor);
  t.strictSame(recorder.events, []);
  reactor.modify(a, EPOLLIN | EPOLLOUT | EPOLLET);
  t.equal(await recorder.next(), EPOLLOUT);
  reactor.modify(a, 0);
  write(b, 'x');
  await settle(reactor);
  t.equal(recorder.events.length, 1);
  reactor.close();
  closeFd(a);
  closeFd(b);
});

t.test('who is removed in a batch gets nothing more of it', async (t) => {
  const reactor = new Reactor();
  const [first, firstIn] = pipe();
  const [second, secondIn] = pipe();
  // Both are ready in one batch; whoever comes first takes the other out.
  const onFirst = new Recorder(() => reactor.remove(second));
  const onSecond = new Recorder(() => reactor.remove(first));
  reactor.add(first, EPOLLIN | EPOLLET, onFirst);
  reactor.add(second, EPOLLIN | EPOLLET, onSecond);
  write(firstIn, 'x');
  write(secondIn, 'x');
  await settle(reactor);
  t.equal(onFirst.events.length + onSecond.events.length, 1);
  reactor.close();
  for (const fd of [first, firstIn, second, secondIn]) closeFd(fd);
});

t.test('a descriptor closed and opened again in one batch does not get the events of its predecessor', async (t) => {
  const reactor = new Reactor();
  const [idle, idleIn] = socketpair();
  const old: [number, number][] = [socketpair(), socketpair()];
  const successor = new Recorder();
  const handled: number[] = [];
  for (const [i, [fd]] of old.entries()) {
    const other = old[1 - i]![0];
    reactor.add(
      fd,
      EPOLLIN | EPOLLET,
      new Recorder(() => {
        handled.push(i);
        // The other's event is in this batch. Its number is closed and comes to another socket, as accept would give it.
        reactor.forget(other);
        check(orErrno(dup2Call(idle, other)), 'dup2');
        reactor.add(other, EPOLLIN | EPOLLET, successor);
      }),
    );
  }
  for (const [, into] of old) write(into, 'x');
  await settle(reactor);
  t.equal(handled.length, 1);
  t.strictSame(successor.events, [], 'nothing was sent to the successor');
  write(idleIn, 'y');
  await settle(reactor);
  t.strictSame(successor.events, [EPOLLIN], 'what is sent to it arrives');
  reactor.close();
  for (const fd of [idle, idleIn, ...old.flat()]) closeFd(fd);
});

t.test('onBatchEnd runs after the handlers of a batch', async (t) => {
  const reactor = new Reactor();
  const log: string[] = [];
  reactor.onBatchEnd(() => log.push('end'));
  const fds = [eventfd(1), eventfd(1), eventfd(1)];
  const last = new Promise<void>((done) => reactor.onBatchEnd(done));
  for (const fd of fds) reactor.add(fd, EPOLLIN | EPOLLET, { onEvents: () => log.push('event') });
  await last;
  t.strictSame(log, ['event', 'event', 'event', 'end']);
  reactor.close();
  for (const fd of fds) closeFd(fd);
});

t.test('what can wait is done when no event does, and in each turn however many do', async (t) => {
  const reactor = new Reactor();
  const log: string[] = [];
  const once = eventfd(1);
  let pieces = 0;
  const done = new Promise<void>((resolve) => {
    reactor.onLeisure(() => {
      log.push('piece');
      if (++pieces === 3) resolve();
      return pieces < 3;
    });
  });
  reactor.onBatchEnd(() => log.push('end'));
  // Its second event comes of the first, and goes before what can wait.
  let more = 1;
  reactor.add(once, EPOLLIN | EPOLLET, {
    onEvents: () => {
      log.push('event');
      if (more-- > 0) write(once, '\x01\0\0\0\0\0\0\0');
    },
  });
  await done;
  t.strictSame(log, ['event', 'end', 'event', 'end', 'piece', 'piece', 'piece']);

  const always = eventfd(1);
  let events = 0;
  const turn = new Promise<number>((resolve) => {
    reactor.onLeisure(() => {
      resolve(events);
      return false;
    });
  });
  reactor.add(always, EPOLLIN, { onEvents: () => events++ }); // level-triggered and never read
  t.ok((await turn) > 0, 'among events that never end');
  reactor.close();
  for (const fd of [once, always]) closeFd(fd);
});

t.test('more than a batch holds is all handled', async (t) => {
  const reactor = new Reactor();
  const count = 1300;
  const fds = Array.from({ length: count }, () => eventfd(1));
  let seen = 0;
  let batches = 0;
  const all = new Promise<void>((done) => {
    reactor.onBatchEnd(() => {
      batches++;
      if (seen === count) done();
    });
  });
  for (const fd of fds) reactor.add(fd, EPOLLIN | EPOLLET, { onEvents: () => seen++ });
  await all;
  t.equal(batches, 3);
  reactor.close();
  for (const fd of fds) closeFd(fd);
});

t.test('other work of the thread gets its turn while descriptors are always ready', async (t) => {
  const reactor = new Reactor();
  const fd = eventfd(1);
  let events = 0;
  reactor.add(fd, EPOLLIN, { onEvents: () => events++ }); // level-triggered and never read
  await new Promise<void>((done) => {
    const look = () => (events > 0 ? done() : setTimeout(look, 1));
    setTimeout(look, 1);
  });
  t.pass('a timer ran among the events');
  reactor.close();
  closeFd(fd);
});

t.test('close from within a handler ends the batch', async (t) => {
  const reactor = new Reactor();
  const fds = [eventfd(1), eventfd(1), eventfd(1)];
  let events = 0;
  const ended: string[] = [];
  reactor.onBatchEnd(() => ended.push('end'));
  const first = new Promise<void>((done) => {
    for (const fd of fds) {
      reactor.add(fd, EPOLLIN, {
        onEvents: () => {
          events++;
          reactor.close();
          done();
        },
      });
    }
  });
  await first;
  await new Promise((done) => setImmediate(done));
  t.equal(events, 1, 'whoever closes owns the descriptors of the others: they hear nothing more');
  t.strictSame(ended, []);
  for (const fd of fds) closeFd(fd);
});

t.test('keepsAlive', async (t) => {
  // Not referenced, the reactor alone does not keep a process running: a child of ours ends by itself.
  const { spawnSync } = await import('node:child_process');
  const program = `import { Reactor } from ${JSON.stringify(new URL('../../src/linux/reactor.ts', import.meta.url).href)};
    new Reactor().keepsAlive = false;`;
  const child = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', program], { timeout: 20_000 });
  t.strictSame([child.status, child.signal], [0, null]);
});
