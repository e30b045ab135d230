import t from 'tap';
import { formatCidr } from '../../src/core/address.ts';
import { RaGauge } from '../../src/ra/counters.ts';
import { gaps, Harness, option, prefix, raConfig } from './support.ts';

t.test('final advertisements on a real stop: three, 3 s apart, the first at once (§6.2.5)', async (t) => {
  const harness = await Harness.advertising(
    raConfig({
      defaultLifetimeSeconds: 1800,
      preference: 'high',
      prefixes: [prefix('fd00:6:6::/64'), prefix('fd00:7:7::/64', { deprecateOnStop: true })],
    }),
  );
  harness.clock.advance(1_000);
  harness.take();
  harness.solicit('fe80::77');
  let stopped = false;
  const stopping = harness.control.stop({ final: true }).then(() => {
    stopped = true;
  });
  harness.solicit('fe80::78');
  harness.clock.advance(6_000);
  await stopping;
  t.ok(stopped && harness.socket.closed);
  const sent = harness.take();
  t.ok(
    sent.every(({ to }) => to === 'ff02::1'),
    'nobody is answered any more, not even who waited',
  );
  t.strictSame(gaps(sent), [3_000, 3_000]);
  t.equal(sent[0]!.at, 1_001_000);
  for (const one of sent) {
    t.match(one.ra, { lifetimeSeconds: 0, preference: 'medium' });
    t.match(option(one, 'prefix-information'), [
      { validSeconds: 86_400, preferredSeconds: 14_400 },
      { validSeconds: 7_200, preferredSeconds: 0 },
    ]);
    t.match(option(one, 'rdnss'), [{ lifetimeSeconds: 0 }]);
    t.match(option(one, 'dnssl'), [{ lifetimeSeconds: 0 }]);
  }
  t.equal(harness.clock.pending, 0, 'no timer is left');
  t.equal(harness.counters.gauge(RaGauge.advertising), 0);
});

t.test('`::/64` deprecated on a stop: each prefix that it stands for, and no other', async (t) => {
  const prefixes = [prefix('fd00:7:7::/64'), prefix('::/64', { deprecateOnStop: true, ignore: [] })];
  const harness = await Harness.advertising(raConfig({ prefixes }));
  harness.take();
  await harness.control.stop({ final: true, graceMs: 0 });
  const [sent] = harness.take();
  t.strictSame(
    option(sent!, 'prefix-information').map((one) => [formatCidr(one.prefix), one.preferredSeconds]),
    [
      ['fd00:7:7::/64', 14_400],
      ['fd00:6:6::/64', 0],
    ],
  );
});

t.test('a short grace sends what fits; a restart says nothing; both idempotent', async (t) => {
  const short = await Harness.advertising();
  short.take();
  await short.control.stop({ final: true, graceMs: 1_000 });
  t.equal(short.take().length, 1);
  const restart = await Harness.advertising();
  restart.take();
  await restart.control.stop({ final: false });
  await restart.control.stop({ final: true });
  t.strictSame(restart.take(), []);
  t.equal(restart.clock.pending, 0);
  const never = new Harness();
  await never.control.start([raConfig()]);
  await never.control.stop({ final: true });
  t.strictSame(never.take(), [], 'who never advertised has nothing to take back');
});

t.test('finals beyond the grace go out while something else is waited for anyway', async (t) => {
  const cases: [name: string, endsAt: number, sent: number, over: number][] = [
    ['nothing to wait for', 0, 2, 3_000],
    ['it ends before the second', 2_000, 2, 3_000],
    ['it ends between the second and the third', 4_000, 2, 4_000],
    ['it takes longer than all', 60_000, 3, 6_000],
  ];
  for (const [name, endsAt, sent, over] of cases) {
    const harness = await Harness.advertising();
    harness.take();
    const { promise: meanwhile, resolve } = Promise.withResolvers<void>();
    let stoppedAt = 0;
    const start = harness.clock.now();
    const stopping = harness.control.stop({ final: true, graceMs: 3_000, meanwhile }).then(() => {
      stoppedAt = harness.clock.now() - start;
    });
    for (let ms = 0; ms <= 7_000; ms += 1_000) {
      if (ms === endsAt) resolve();
      // What follows from it, before time goes on.
      await new Promise((next) => setImmediate(next));
      harness.clock.advance(1_000);
    }
    await stopping;
    t.equal(harness.take().length, sent, name);
    t.ok(stoppedAt >= over && stoppedAt <= over + 1_000, `${name}: ${stoppedAt} ms`);
    t.equal(harness.clock.pending, 0);
    resolve();
  }
});
