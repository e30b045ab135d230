/**
 * Solicitations in masses: in simulated time, and from the tools that people attack with, on a veth pair.
 *
 * V6EDGE_FLOOD_MS is how long each attack goes on, 1500 unless set; for a minute each:
 * V6EDGE_FLOOD_MS=60000 npx tap --timeout=600 test/ra/flood.test.ts
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { type Logger, nullLogger } from '../../src/core/logger.ts';
import { interfaceBurst, interfaceRepliesPerSecond, maxOtherRouters, sourceBurst } from '../../src/ra/constants.ts';
import { RaCounter } from '../../src/ra/counters.ts';
import { eventually, inNamespace } from '../linux/netns.ts';
import { attacksFrom, type Victim } from './attacks.ts';
import { liveControl } from './live.ts';
import { nodeLink } from './node-link.ts';
import { Harness, raConfig } from './support.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes in use once nothing is left that could be let go. */
function memory(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const simulatedSeconds = 20;
const attackMs = Number(process.env.V6EDGE_FLOOD_MS ?? 1_500);

if (inNamespace(t, import.meta.filename)) {
  t.test('1,000 a second from 200 sources, simulated', async (t) => {
    const harness = await Harness.advertising(raConfig({ interval: { minMs: 3_000, maxMs: 5_000 } }));
    harness.clock.advance(20_000);
    harness.take();
    for (let i = 0; i < simulatedSeconds * 1_000; i++) {
      harness.solicit(`fe80::1:${(i % 200).toString(16)}`);
      harness.clock.advance(1);
    }
    const sent = harness.take();
    const unicasts = new Map<string, number>();
    for (const { to } of sent) if (to !== 'ff02::1') unicasts.set(to, (unicasts.get(to) ?? 0) + 1);
    const all = [...unicasts.values()].reduce((a, b) => a + b);
    t.ok(all <= interfaceBurst + interfaceRepliesPerSecond * simulatedSeconds, `${all} replies`);
    t.ok(all > interfaceRepliesPerSecond * simulatedSeconds * 0.9, 'and the limit is used');
    t.equal(unicasts.size, 200, 'each source got one');
    const most = Math.max(...unicasts.values());
    t.ok(most <= sourceBurst + simulatedSeconds, `${most} for one source`);
    const multicasts = sent.filter(({ to }) => to === 'ff02::1').map(({ at }) => at);
    const gaps = multicasts.slice(1).map((at, i) => at - multicasts[i]!);
    t.ok(gaps.length >= simulatedSeconds / 5 - 1 && gaps.every((gap) => gap >= 3_000 && gap <= 5_000), gaps.join(' '));
    t.ok(harness.clock.pending <= 202, 'few timers');
  });

  t.test('floods of solicitations and advertisements: steady, within the limits, nobody forgotten', async (t) => {
    const peer = await nodeLink(t);
    // The tools want an address to begin with.
    await eventually(() => /inet6 fe80/.test(peer.ip('-6 addr show dev node0 -tentative')));
    // Of a flood's lines only errors are kept: this is about the engine's memory, not the test's.
    const errors: string[] = [];
    const log: Logger = { ...nullLogger, error: (_, message) => void errors.push(message), child: () => log };
    const { control, counters } = await liveControl(t, log);
    await control.start([raConfig({ interval: { minMs: 3_000, maxMs: 4_000 }, maxDelayMs: 0 })]);
    await eventually(() => control.ready);
    const invalid = (from: number): number[] => Array.from({ length: 6 }, (_, i) => counters.get(from + i));
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b);
    const came: Record<Victim, () => number> = {
      solicitations: () => counters.get(RaCounter.solicitations),
      advertisements: () => counters.get(RaCounter.otherAdvertisements) + sum(invalid(RaCounter.invalidAdvertisement)),
      'broken messages': () =>
        sum(invalid(RaCounter.invalidSolicitation)) + sum(invalid(RaCounter.invalidAdvertisement)),
    };
    const [{ ifindex }] = JSON.parse(peer.ip('-j link show dev node0'));
    const memoryBefore = memory();
    for (const { name, what, command } of attacksFrom('node0', ifindex)) {
      const [unicastsBefore, cameBefore] = [counters.get(RaCounter.sentUnicast), came[what]()];
      const started = performance.now();
      const child = peer.spawn(...command);
      // At least so long, and until it has begun.
      await new Promise((resolve) => setTimeout(resolve, attackMs));
      await eventually(() => came[what]() > cameBefore + 50);
      child.kill('SIGKILL');
      const seconds = (performance.now() - started) / 1_000;
      const unicasts = counters.get(RaCounter.sentUnicast) - unicastsBefore;
      t.comment(`${name}: ${came[what]() - cameBefore} in ${seconds.toFixed(1)} s, ${unicasts} replies`);
      t.ok(unicasts <= interfaceBurst + interfaceRepliesPerSecond * (seconds + 0.5), `${name}: ${unicasts} replies`);
      t.ok(control.status()[0]!.routers.length <= maxOtherRouters, `${name}: few routers are remembered`);
      t.match(control.status(), [{ state: 'advertising' }], name);
    }
    for (const from of [RaCounter.invalidSolicitation, RaCounter.invalidAdvertisement]) {
      t.ok(
        invalid(from).every((count) => count > 0),
        `each kind of broken message has its counter: ${invalid(from)}`,
      );
    }
    const growth = (memory() - memoryBefore) / 2 ** 20;
    t.comment(`memory grew by ${growth.toFixed(1)} MB`);
    t.ok(growth < 8, `memory grew by ${growth.toFixed(0)} MB`);
    const sent = control.status()[0]!.counters.sentMulticast;
    await eventually(() => control.status()[0]!.counters.sentMulticast > sent);
    t.strictSame(errors, []);
  });
}
