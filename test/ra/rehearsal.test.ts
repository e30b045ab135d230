import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { CounterStripe } from '../../src/core/counters.ts';
import { MemoryLogger } from '../../src/core/logger.ts';
import { SeededRandom } from '../../src/core/random.ts';
import type { RaInterfaceConfig } from '../../src/ra/config.ts';
import type { RaContext } from '../../src/ra/context.ts';
import { raCounters, raGauges } from '../../src/ra/counters.ts';
import { rehearseAnswers } from '../../src/ra/rehearsal.ts';
import { FakeNetwork, raConfig } from './support.ts';

/** What a rehearsal may not touch. */
function context(): { context: RaContext; log: MemoryLogger; counters: CounterStripe; touched: string[] } {
  const log = new MemoryLogger();
  const counters = CounterStripe.alone(raCounters.length, raGauges.length);
  const touched: string[] = [];
  return {
    log,
    counters,
    touched,
    context: {
      // Nothing else keeps the test alive.
      clock: {
        ...systemClock,
        after: (delayMs, run) => {
          const timer = setTimeout(run, delayMs);
          return { cancel: () => clearTimeout(timer) };
        },
      },
      random: new SeededRandom(1),
      log,
      counters,
      network: new FakeNetwork(),
      sysctl: {
        read: (path) => void touched.push(path),
        write: (path) => touched.push(path) > 0,
      },
      openSocket: () => {
        throw new Error('a rehearsal opens no socket');
      },
      emit: ({ kind }) => void touched.push(kind),
      solicited: (on) => void touched.push(on),
    },
  };
}

const configs: [name: string, config: RaInterfaceConfig, ended: number, least: number][] = [
  ['to whoever asks', raConfig({ maxDelayMs: 0 }), 3, 300],
  ['from a source of its own', raConfig({ maxDelayMs: 0, source: parseAddress('fe80::77') }), 3, 300],
  ['a single client', raConfig({ maxDelayMs: 0, clients: [parseAddress('fe80::99')], unicastOnly: true }), 3, 8],
  ['not once it is over', raConfig({ maxDelayMs: 0 }), 1, 0],
];

for (const [name, config, ended, least] of configs) {
  t.test(name, async (t) => {
    const { context: given, log, counters, touched } = context();
    let asked = 0;
    const answered = await rehearseAnswers(given, config, () => ++asked < ended);
    t.equal(asked, ended);
    t.ok(least === 0 ? answered === 0 : answered >= least, `${answered} answers`);
    t.strictSame(log.lines, []);
    t.strictSame(touched, [], 'settings, events and nodes are left alone');
    t.ok(
      raCounters.every((_, i) => counters.get(i) === 0),
      'and nothing is counted',
    );
  });
}

t.test('to the end: every one is answered', async (t) => {
  const answered = await rehearseAnswers(context().context, raConfig({ maxDelayMs: 0 }), () => true);
  t.equal(answered, 400 * 150);
});
