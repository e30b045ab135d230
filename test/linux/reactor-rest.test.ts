import t from 'tap';
import { closeFd } from '../../src/linux/libc.ts';
import { EPOLLET, EPOLLIN, Reactor } from '../../src/linux/reactor.ts';
import { eventfd, pipe, Recorder, read, settle, write } from './reactor-stage.ts';

t.test('a descriptor that rests', async (t) => {
  const reactor = new Reactor();
  const [out, into] = pipe();
  const log: string[] = [];
  let rests = 0;
  const over = new Promise<void>((done) => {
    reactor.add(out, EPOLLIN, {
      onEvents: (events) => {
        log.push(`events ${events}`);
        if (rests++ < 2) return reactor.rest(out);
        read(out);
        done();
      },
    });
  });
  // Unread and level-triggered: it would be told at once and again and again.
  write(into, 'unread');
  await over;
  t.strictSame(log, [`events ${EPOLLIN}`, 'events 0', 'events 0'], 'is called when its rest is over, and rests again');
  await settle(reactor);
  t.equal(log.length, 3, 'hears nothing when nothing comes');
  rests = 2;
  write(into, 'more');
  await settle(reactor);
  t.strictSame(log.slice(3), [`events ${EPOLLIN}`], 'hears what comes when it has rested enough');
  reactor.close();
  for (const fd of [out, into]) closeFd(fd);
});

t.test('while one rests others are heard, and timers run', async (t) => {
  const reactor = new Reactor();
  const counter = eventfd(1);
  const [out, into] = pipe();
  const onPipe = new Recorder(() => read(out));
  let rests = 0;
  reactor.add(counter, EPOLLIN, {
    onEvents: () => {
      rests++;
      reactor.rest(counter); // for ever
    },
  });
  reactor.add(out, EPOLLIN, onPipe);
  await new Promise((done) => setTimeout(done, 1));
  while (rests < 20) await new Promise((done) => setImmediate(done));
  write(into, 'x');
  t.equal(await onPipe.next(), EPOLLIN);
  reactor.close();
  for (const fd of [counter, out, into]) closeFd(fd);
});

t.test('what can wait is done before a rest', async (t) => {
  const reactor = new Reactor();
  const counter = eventfd(1);
  const log: string[] = [];
  let todo = 0;
  const twice = new Promise<void>((done) => {
    reactor.onLeisure(() => {
      if (todo > 0) log.push('done');
      todo = 0;
      return false;
    });
    reactor.add(counter, EPOLLIN, {
      onEvents: () => {
        log.push('event');
        todo++;
        if (log.length < 4) return reactor.rest(counter);
        reactor.remove(counter);
        done();
      },
    });
  });
  await twice;
  t.strictSame(log, ['event', 'done', 'event', 'done', 'event', 'done']);
  reactor.close();
  closeFd(counter);
});

t.test('who is taken out while it rests hears nothing more', async (t) => {
  const reactor = new Reactor();
  const fds = [eventfd(1), eventfd(1)];
  const calls: number[] = [];
  for (const [i, fd] of fds.entries()) {
    const other = fds[1 - i]!;
    reactor.add(fd, EPOLLIN, {
      onEvents: (events) => {
        calls.push(events);
        // Both rest; the first that is called again takes the other out, and itself.
        if (events !== 0) return reactor.rest(fd);
        reactor.remove(other);
        reactor.remove(fd);
      },
    });
  }
  for (let i = 0; i < 3; i++) await settle(reactor);
  t.strictSame(calls, [EPOLLIN, EPOLLIN, 0]);
  const successor = new Recorder();
  reactor.add(fds[0]!, EPOLLIN | EPOLLET, successor);
  await settle(reactor);
  t.strictSame(successor.events, [EPOLLIN], 'a successor is awake');
  reactor.close();
  for (const fd of fds) closeFd(fd);
});

t.test('close from within a handler whose rest is over', async (t) => {
  const reactor = new Reactor();
  const fds = [eventfd(1), eventfd(1)];
  let calls = 0;
  await new Promise<void>((done) => {
    for (const fd of fds) {
      reactor.add(fd, EPOLLIN, {
        onEvents: (events) => {
          calls++;
          if (events !== 0) return reactor.rest(fd);
          reactor.close();
          done();
        },
      });
    }
  });
  await new Promise((done) => setImmediate(done));
  t.equal(calls, 3);
  for (const fd of fds) closeFd(fd);
});
