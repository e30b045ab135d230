/** The count of changes: who is behind takes in what was sent, and waits for what is about to be. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { CommitCount, CommitWatch } from '../../src/edge/commit-count.ts';

/** A thread's side, in this one: `sent` is what it would find among its messages. */
function watch(count: CommitCount, thread = 0, taken = count.published) {
  const sent: number[] = [];
  const drained: number[] = [];
  const one = new CommitWatch(count.buffer, thread, taken, () => {
    drained.push(sent.length);
    for (const number of sent.splice(0)) one.took(number);
  });
  return { one, sent, drained };
}

t.test('who is told of nothing new looks at nothing', (t) => {
  const count = new CommitCount(2);
  const { one, sent } = watch(count);
  t.notOk(one.isBehind);
  sent.push(count.publish());
  t.notOk(one.isBehind, 'nobody was told');
  count.announce();
  t.ok(one.isBehind);
  count.sent(0);
  one.catchUp();
  t.notOk(one.isBehind);
  t.end();
});

t.test('a thread that has taken in more than anybody was told of is not behind', (t) => {
  const count = new CommitCount(1);
  const { one } = watch(count);
  one.took(count.publish());
  t.notOk(one.isBehind);
  count.announce();
  t.notOk(one.isBehind);
  t.end();
});

t.test('what was announced and never published is forgotten', (t) => {
  const count = new CommitCount(1);
  const { one } = watch(count);
  count.announce(3);
  t.ok(one.isBehind);
  count.announce();
  t.notOk(one.isBehind);
  t.end();
});

t.test('a thread that starts later begins with what there was', (t) => {
  const count = new CommitCount(2);
  for (let i = 0; i < 5; i++) count.publish();
  count.announce();
  t.notOk(watch(count, 1).one.isBehind);
  t.ok(watch(count, 1, 4).one.isBehind);
  t.end();
});

t.test('the counts go round at 2^32', (t) => {
  const count = new CommitCount(1);
  const nearly = 2 ** 31 - 2;

  const words = new Int32Array(count.buffer);
  for (const start of [nearly, -2]) {
    const { one } = watch(count, 0, start);
    for (let i = 0; i < 5; i++) {
      const number = (start + i + 1) | 0;
      Atomics.store(words, 0, number);
      t.ok(one.isBehind, `${number}`);
      one.took(number);
      t.notOk(one.isBehind);
    }
  }
  t.end();
});

t.test('a message that does not come in time is not waited for any longer', (t) => {
  const count = new CommitCount(1);
  const { one, drained } = watch(count);
  count.announce(1);
  const from = performance.now();
  one.catchUp();
  t.ok(performance.now() - from >= 999);
  t.ok(one.isBehind, 'and is still missed');
  t.equal(drained.length, 1);
  t.end();
});

t.test('what is announced is waited for, in another thread', async (t) => {
  const count = new CommitCount(2);
  const program = `
    const { parentPort, workerData, receiveMessageOnPort } = require('node:worker_threads');
    import(workerData.module).then(({ CommitWatch }) => {
      const watch = new CommitWatch(workerData.buffer, 1, 0, () => {
        for (let got; (got = receiveMessageOnPort(parentPort)); ) watch.took(got.message);
      });
      // Referenced, but what comes is taken by hand.
      parentPort.on('message', () => undefined);
      parentPort.postMessage('ready');
      const look = () => {
        if (!watch.isBehind) return setImmediate(look);
        const from = performance.now();
        watch.catchUp();
        parentPort.postMessage({ behind: watch.isBehind, ms: performance.now() - from });
      };
      look();
    });`;
  const module = new URL('../../src/edge/commit-count.ts', import.meta.url).href;
  const worker = new Worker(program, { eval: true, workerData: { module, buffer: count.buffer } });
  t.teardown(() => worker.terminate());
  await once(worker, 'message');
  const answer = once(worker, 'message');
  count.announce(2);
  // The thread waits by now, or will in a moment: nothing was sent.
  await new Promise((resolve) => setTimeout(resolve, 20));
  worker.postMessage(count.publish());
  count.sent(1);
  worker.postMessage(count.publish());
  count.sent(1);
  const [{ behind, ms }] = (await answer) as [{ behind: boolean; ms: number }];
  t.equal(behind, false);
  t.ok(ms < 900, `after ${ms} ms`);
});
