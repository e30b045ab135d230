/** `RaControl` as the daemon has it, on the interfaces of the namespace that the test runs in. */
import type { Test } from 'tap';
import { systemClock } from '../../src/core/clock.ts';
import { CounterStripe } from '../../src/core/counters.ts';
import type { Logger } from '../../src/core/logger.ts';
import { cryptoRandom } from '../../src/core/random.ts';
import { Icmp6Socket } from '../../src/linux/icmp6.ts';
import { NetworkMonitor } from '../../src/linux/netlink.ts';
import { Reactor } from '../../src/linux/reactor.ts';
import { kernelSysctl } from '../../src/linux/sysctl.ts';
import { RaControl } from '../../src/ra/control.ts';
import { raCounters, raGauges } from '../../src/ra/counters.ts';

/** It ends, silently, with the test `t`. */
export async function liveControl(t: Pick<Test, 'teardown'>, log: Logger) {
  const reactor = new Reactor();
  const network = new NetworkMonitor({ reactor, clock: systemClock, log });
  await network.start();
  const counters = CounterStripe.alone(raCounters.length, raGauges.length);
  const control = new RaControl({
    clock: systemClock,
    random: cryptoRandom,
    log,
    counters,
    network,
    sysctl: kernelSysctl,
    openSocket: (handler) => new Icmp6Socket([133, 134], handler),
    emit: () => {},
  });
  t.teardown(async () => {
    await control.stop({ final: false });
    network.close();
    reactor.close();
  });
  return { control, counters, network };
}
