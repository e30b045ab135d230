/** Tells of the other routers on an interface: who came, who fell silent, and what contradicts us. */
import { type Address, formatAddress } from '../core/address.ts';
import type { Timer } from '../core/clock.ts';
import { routerCheckMs } from './constants.ts';
import type { RaContext } from './context.ts';
import { RaCounter, RaGauge } from './counters.ts';
import { type OtherRouter, OtherRouters } from './monitor.ts';
import type { RouterAdvertisement } from './wire/router-advertisement.ts';

export class RouterWatch {
  readonly #context: RaContext;
  readonly #interface: string;
  readonly #routers = new OtherRouters();
  #timer: Timer | undefined;

  constructor(context: RaContext, name: string) {
    this.#context = context;
    this.#interface = name;
  }

  /** Takes a valid advertisement of another router; `ours` is what we say ourselves, if anything. */
  hear(source: Address, advertisement: RouterAdvertisement, ours: RouterAdvertisement | undefined): void {
    const { clock, log, emit, counters } = this.#context;
    const before = this.#routers.size;
    const { isNew, newContradictions } = this.#routers.hear(source, advertisement, ours, clock.wall());
    counters.gaugeAdd(RaGauge.otherRouters, this.#routers.size - before);
    this.#arm();
    const router = formatAddress(source);
    // With a full table somebody invents routers: no line for each of those, they are only counted.
    const invented = isNew && this.#routers.size === before;
    if (isNew && !invented) {
      const { lifetimeSeconds } = advertisement;
      log.info({ router, lifetimeSeconds }, 'another router advertises here');
      emit({ kind: 'ra-router-seen', interface: this.#interface, router, lifetimeSeconds });
    }
    for (const one of newContradictions) {
      counters.add(RaCounter.contradictions);
      if (invented) continue;
      log.warn({ router, ...one }, `another router's ${one.what} differs from ours`);
      emit({ kind: 'ra-contradiction', interface: this.#interface, router, ...one });
    }
  }

  list(): readonly OtherRouter[] {
    return this.#routers.list();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#context.counters.gaugeAdd(RaGauge.otherRouters, -this.#routers.size);
    this.#routers.clear();
  }

  #arm(): void {
    if (this.#routers.size > 0) this.#timer ??= this.#context.clock.after(routerCheckMs, () => this.#check());
  }

  #check(): void {
    const { clock, log, emit, counters } = this.#context;
    this.#timer = undefined;
    for (const { source } of this.#routers.forgetSilent(clock.wall())) {
      const router = formatAddress(source);
      counters.gaugeAdd(RaGauge.otherRouters, -1);
      log.info({ router }, 'another router has fallen silent');
      emit({ kind: 'ra-router-gone', interface: this.#interface, router });
    }
    this.#arm();
  }
}
