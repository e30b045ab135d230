import net from 'node:net';
import t from 'tap';
import { parseCidr } from '../../src/core/address.ts';
import { FakeClock } from '../../src/core/clock.ts';
import { ListenerCounter, listenerCounterBase } from '../../src/proxy/counters.ts';
import { freePort, Harness, listener, outcome, pool, snapshot, until } from './harness.ts';

t.test('a flood of refused clients leaves a few lines a second, and one for all others', async (t) => {
  const clock = new FakeClock();
  const harness = new Harness(clock);
  t.teardown(() => harness.close());
  const [denying, empty] = [await freePort(), await freePort()];
  harness.engine.apply(
    snapshot(
      [
        listener(`127.0.0.1:${denying}`, { deny: [parseCidr('127.0.0.0/8')] }),
        listener(`127.0.0.1:${empty}`, { name: 'empty', slot: 1 }),
      ],
      [pool([])],
    ),
  );
  const more = () => harness.log.lines.filter(({ message }) => /more sessions were refused/.test(message));
  const come = async (port: number, count: number) => {
    for (let i = 0; i < count; i++) t.match(await outcome(net.connect(port, '127.0.0.1')), { code: 'ECONNRESET' });
  };
  await come(denying, 30);
  await until(() => harness.counters.get(listenerCounterBase(0) + ListenerCounter.denied) === 30, 'all to be counted');
  t.equal(harness.sessions.length, 10);
  t.equal(more().length, 0);
  clock.advance(1000);
  t.match(more(), [{ level: 'warn', fields: { listener: 'front', count: 20 } }]);

  await come(denying, 12);
  t.equal(harness.sessions.length, 20, 'the next second has lines of its own');
  await come(empty, 15);
  t.equal(harness.sessions.length, 35, 'whoever finds no member was not refused: each has its line');
  clock.advance(5000);
  t.match(more()[1], { fields: { count: 2 } });
  t.equal(clock.pending, 0);

  await come(denying, 11);
  harness.engine.close();
  t.match(more()[2], { fields: { count: 1 } }, 'what is left is told at the end');
});
