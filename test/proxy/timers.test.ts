import t from 'tap';
import { FakeClock } from '../../src/core/clock.ts';
import { SeededRandom } from '../../src/core/random.ts';
import { Timed, TimerWheel } from '../../src/proxy/timers.ts';

class Probe extends Timed {
  readonly fired: number[] = [];
  run: (now: number) => void = () => {};
  onTimer(now: number): void {
    this.fired.push(now);
    this.run(now);
  }
}

t.test('a deadline comes within a tick, never early, and once', async (t) => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock, 50);
  const random = new SeededRandom(7);
  const probes = Array.from({ length: 500 }, () => ({ probe: new Probe(), at: clock.now() + random.below(200_000) }));
  for (const { probe, at } of probes) wheel.set(probe, at);
  t.equal(wheel.size, 500);
  clock.advance(200_200);
  t.equal(wheel.size, 0);
  const late = probes.filter(
    ({ probe, at }) => probe.fired.length !== 1 || probe.fired[0]! < at || probe.fired[0]! > at + 101,
  );
  t.same(late, []);
  t.equal(clock.pending, 0, 'no tick while no deadline is set');
});

t.test('deadlines move, go away, and set one another', async (t) => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock, 50);
  const [moved, cleared, again, victim] = [new Probe(), new Probe(), new Probe(), new Probe()];
  const start = clock.now();
  wheel.set(moved, start + 100);
  wheel.set(moved, start + 1000);
  wheel.set(cleared, start + 100);
  wheel.clear(cleared);
  wheel.clear(cleared);
  again.run = () => again.fired.length < 3 && wheel.set(again, clock.now() + 10);
  wheel.set(again, start + 100);
  clock.advance(500);
  t.equal(moved.fired.length, 0);
  t.equal(again.fired.length, 3);
  clock.advance(600);
  t.equal(moved.fired.length, 1);
  t.equal(cleared.fired.length, 0);

  const killer = new Probe();
  killer.run = () => wheel.set(victim, clock.now() + 500);
  wheel.set(victim, clock.now() + 100);
  wheel.set(killer, clock.now() + 100);
  clock.advance(300);
  t.ok(victim.fired.length <= 1, 'both were due: either order will do, once');
  clock.advance(1000);
  t.ok(victim.fired.length >= 1);
  t.equal(wheel.size, 0);
});

t.test('a thread that slept through turns of the wheel misses nothing', async (t) => {
  let now = 0;
  let tick = () => {};
  const after = (_ms: number, run: () => void) => {
    tick = run;
    return { cancel() {} };
  };
  const clock = { now: () => now, wall: () => now, after };
  const wheel = new TimerWheel(clock, 50);
  const probes = [60, 30_000, 80_000, 1e7].map((at) => {
    const probe = new Probe();
    wheel.set(probe, at);
    return probe;
  });
  now = 200_000;
  tick();
  t.same(
    probes.map((probe) => probe.fired.length),
    [1, 1, 1, 0],
  );
  wheel.close();
  t.equal(wheel.size, 0);
});
