import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { settle, settleLater } from '../../src/edge/settle.ts';

/** Something that only a collection takes away: it has outlived the young generation. */
function garbage(): WeakRef<object> {
  return new WeakRef(Array.from({ length: 100_000 }, (_, i) => ({ i })));
}

t.test('what nothing refers to is collected at once', async (t) => {
  const left = garbage();
  // A WeakRef holds its target until the job that made it has ended (ECMAScript, KeepDuringJob).
  await new Promise(setImmediate);
  settle();
  t.equal(left.deref(), undefined);
});

t.test('once, after a moment', async (t) => {
  const clock = new FakeClock();
  const left = garbage();
  await new Promise(setImmediate);
  settleLater(clock);
  clock.advance(1_000);
  t.not(left.deref(), undefined);
  await new Promise(setImmediate);
  clock.advance(1_000);
  t.equal(left.deref(), undefined);
});

t.test('the collector is in nobody else’s hands afterwards', (t) => {
  settle();
  t.notOk('gc' in globalThis);
  t.end();
});

t.test('all threads at the same moment, over and over', async (t) => {
  const module = new URL('../../src/edge/settle.ts', import.meta.url).href;
  const script = `import(${JSON.stringify(module)}).then(({ settle }) => { for (let i = 0; i < 60; i++) settle(); });`;
  const threads = Array.from({ length: 6 }, () => new Worker(script, { eval: true, execArgv: [] }));
  // A collector that another thread takes away is an exception, and would end the daemon.
  const ends = await Promise.allSettled(threads.map((thread) => once(thread, 'exit')));
  t.strictSame(
    ends.map(({ status }) => status),
    threads.map(() => 'fulfilled'),
  );
});
