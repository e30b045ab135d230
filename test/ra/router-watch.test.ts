import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { RaGauge } from '../../src/ra/counters.ts';
import { encodeRouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';
import { Harness, raConfig } from './support.ts';

const advertisement = (lifetimeSeconds: number): string =>
  Buffer.from(
    encodeRouterAdvertisement({
      hopLimit: 64,
      managed: false,
      other: false,
      homeAgent: false,
      preference: 'medium',
      lifetimeSeconds,
      reachableTimeMs: 0,
      retransTimerMs: 0,
      options: [{ kind: 'rdnss', lifetimeSeconds: 60, servers: [parseAddress('fd00:6:6::1')] }],
    }),
  ).toString('hex');

t.test('who is silent for long is forgotten, later when it said that it would serve for longer', async (t) => {
  const harness = await Harness.advertising(raConfig());
  harness.receive(advertisement(0), 'fe80::a');
  harness.receive(advertisement(9_000), 'fe80::b');
  const routers = (): string[] => harness.control.status()[0]!.routers.map((one) => one.source);
  harness.clock.advance(5_300_000);
  t.strictSame(routers(), ['fe80::a', 'fe80::b']);
  harness.receive(advertisement(0), 'fe80::a');
  harness.clock.advance(3_800_000);
  t.strictSame(routers(), ['fe80::a'], 'one spoke again, the other is over its 9000 s');
  t.match(harness.events.at(-1), { kind: 'ra-router-gone', router: 'fe80::b' });
  t.equal(harness.counters.gauge(RaGauge.otherRouters), 1);
  harness.clock.advance(2_000_000);
  t.strictSame(routers(), []);
  t.equal(harness.counters.gauge(RaGauge.otherRouters), 0);
  harness.receive(advertisement(0), 'fe80::a');
  t.equal(harness.events.filter((one) => one.kind === 'ra-router-seen').length, 3, 'and is new when it comes again');
  await harness.control.stop({ final: false });
  t.equal(harness.clock.pending, 0);
  t.equal(harness.counters.gauge(RaGauge.otherRouters), 0);
});
