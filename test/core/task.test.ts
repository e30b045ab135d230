import t from 'tap';
import { MemoryLogger } from '../../src/core/logger.ts';
import { Supervisor, type Task } from '../../src/core/task.ts';

function setUp() {
  const log = new MemoryLogger();
  const calls: string[] = [];
  const task = (name: string, fail: { start?: Error; stop?: Error } = {}): Task => ({
    name,
    async start() {
      calls.push(`start ${name}`);
      if (fail.start !== undefined) throw fail.start;
    },
    async stop() {
      calls.push(`stop ${name}`);
      if (fail.stop !== undefined) throw fail.stop;
    },
  });
  return { log, calls, task, supervisor: new Supervisor(log) };
}

t.test('a task that fails to start: those running are stopped, then the failure is passed on', async (t) => {
  const { supervisor, calls, task } = setUp();
  const failure = new Error('port taken');
  await supervisor.start(task('a'));
  await supervisor.start(task('b'));
  await t.rejects(supervisor.start(task('c', { start: failure })), failure);
  t.strictSame(calls, ['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a']);
  await supervisor.stop();
  t.equal(calls.length, 6, 'nothing is stopped twice');
});

t.test('tasks stop in the reverse order, also when one fails to', async (t) => {
  const { supervisor, calls, task, log } = setUp();
  const failure = new Error('disk full');
  await supervisor.start(task('a'));
  await supervisor.start(task('b', { stop: failure }));
  await supervisor.start(task('c'));
  await supervisor.stop();
  t.strictSame(calls.slice(3), ['stop c', 'stop b', 'stop a']);
  t.strictSame(log.lines, [
    { level: 'error', message: 'task did not stop cleanly', fields: { task: 'b', err: failure } },
  ]);
});

t.test('two stops at the same time both wait until all has stopped', async (t) => {
  const { supervisor, calls, task } = setUp();
  let finish = () => {};
  const slow = new Promise<void>((done) => {
    finish = done;
  });
  await supervisor.start({ ...task('slow'), stop: () => slow.then(() => void calls.push('stopped slow')) });
  const order: string[] = [];
  const both = [supervisor.stop().then(() => order.push('first')), supervisor.stop().then(() => order.push('second'))];
  await new Promise((done) => setImmediate(done));
  t.strictSame(order, [], 'neither is done while a task still stops');
  finish();
  await Promise.all(both);
  t.equal(calls.at(-1), 'stopped slow');
});

t.test('a stop during a start: the task that was starting is stopped too', async (t) => {
  const { supervisor, calls, task } = setUp();
  let finish = () => {};
  const slow = new Promise<void>((done) => {
    finish = done;
  });
  const starting = supervisor.start({ ...task('slow'), start: () => slow });
  const stopping = supervisor.stop();
  finish();
  await Promise.all([starting, stopping]);
  t.strictSame(calls, ['stop slow']);
});
