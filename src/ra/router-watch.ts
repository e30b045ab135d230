/** Tells of the other routers on an interface: who came, who fell silent, and what contradicts us. */
import { type Address, formatAddress } from '../core/address.ts';
import type { Timer } from '../core/clock.ts';
import { routerCheckMs } from './constants.ts';
import type { RaContext } from './context.ts';
import { RaCounter, RaGauge } from './counters.ts';
import { type Contradiction, type OtherRouter, OtherRouters, type Own } from './monitor.ts';
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
  hear(source: Address, advertisement: RouterAdvertisement, ours: Own | undefined): void {
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
    if (invented) counters.add(RaCounter.contradictions, newContradictions.length);
    else this.#tell(router, newContradictions);
  }

  /** We say something else from now on: others are compared with that, and not only when they speak again. */
  compare(ours: Own): void {
    for (const { router, newContradictions } of this.#routers.compare(ours, this.#context.clock.wall())) {
      this.#tell(formatAddress(router.source), newContradictions);
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

  #tell(router: string, contradictions: readonly Contradiction[]): void {
    const { log, emit, counters } = this.#context;
    for (const one of contradictions) {
      counters.add(RaCounter.contradictions);
      log.warn({ router, ...one }, `another router's ${one.what} differs from ours`);
      emit({ kind: 'ra-contradiction', interface: this.#interface, router, ...one });
    }
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
