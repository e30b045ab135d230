/** What an interface says: built when something changes, ready to be sent, and remembered for as long as hosts may hold it. */
import { type Cidr, equalAddress } from '../core/address.ts';
import type { InterfaceAddress, Link } from '../linux/netlink.ts';
import {
  buildAdvertisement,
  type Circumstances,
  encodePackets,
  finalAdvertisement,
  hasDeadlines,
  isEachPrefix,
} from './advertisement.ts';
import type { PrefixConfig, RaInterfaceConfig } from './config.ts';
import type { RaContext } from './context.ts';
import type { RaMemory } from './memory.ts';
import type { Own } from './monitor.ts';
import type { NdOption } from './wire/options.ts';
import type { RouterAdvertisement } from './wire/router-advertisement.ts';

/** What of DNS advertisements follow. */
export type DnsState = Omit<Circumstances, 'wall'>;

/** What the configuration is applied to. */
interface Surroundings {
  readonly link: Link;
  readonly addresses: readonly InterfaceAddress[];
  readonly dns: DnsState;
}

export class Speech {
  readonly #context: RaContext;
  readonly #memory: RaMemory;
  readonly #remembered: ReturnType<RaMemory['of']>;
  #config: RaInterfaceConfig;
  #hasDeadlines: boolean;
  #surroundings: Surroundings | undefined;
  /** What we say; beside it goes what is to be taken back. */
  #advertisement: RouterAdvertisement | undefined;
  #encoded: readonly Uint8Array[] = [];
  #final = false;

  constructor(context: RaContext, memory: RaMemory, config: RaInterfaceConfig) {
    this.#context = context;
    this.#memory = memory;
    this.#remembered = memory.of(config.interface);
    this.#config = config;
    this.#hasDeadlines = hasDeadlines(config);
  }

  set config(config: RaInterfaceConfig) {
    this.#config = config;
    this.#hasDeadlines = hasDeadlines(config);
  }

  /** What was built last, without regard to the time. */
  get advertisement(): RouterAdvertisement | undefined {
    return this.#advertisement;
  }

  /** What other routers' words are compared with. */
  get own(): Own | undefined {
    const advertisement = this.current();
    return advertisement && { advertisement, countsDown: this.#hasDeadlines };
  }

  /** Builds anew; returns whether what we say has changed. What vanished is withdrawn. */
  build(surroundings: Surroundings): boolean {
    const { link, addresses, dns } = surroundings;
    const advertisement = buildAdvertisement(this.#config, link, addresses, dns);
    this.#surroundings = surroundings;
    this.#advertisement = advertisement;
    if (this.#remembered.told.say(advertisement.options, this.#context.clock.wall())) this.#memory.changed();
    const before = this.#encoded;
    this.#encoded = encodePackets(advertisement, link.mtu);
    return (
      before.length !== this.#encoded.length ||
      before.some((packet, i) => Buffer.compare(packet, this.#encoded[i]!) !== 0)
    );
  }

  /** From now on the last word: lifetimes 0, and prefixes deprecated that are marked so, or all of them. */
  end(deprecateAll: boolean): void {
    const { prefixes } = this.#config;
    // An entry of its own says it, else that of `::/64`.
    const entryOf = ({ base, length }: Cidr): PrefixConfig | undefined =>
      prefixes.find(({ prefix }) => equalAddress(prefix.base, base) && prefix.length === length) ??
      prefixes.find(({ prefix }) => isEachPrefix(prefix));
    this.#advertisement = finalAdvertisement(
      this.current()!,
      (prefix) => deprecateAll || entryOf(prefix)?.deprecateOnStop === true,
    );
    this.#final = true;
  }

  /** There is nothing to say until it is built again. */
  clear(): void {
    this.#advertisement = undefined;
    this.#encoded = [];
  }

  /** What is being taken back at this moment. */
  withdrawn(): readonly NdOption[] {
    return this.#remembered.told.withdrawn(this.#context.clock.wall());
  }

  /** What goes out at this moment; something was built. */
  packets(): readonly Uint8Array[] {
    const withdrawn = this.withdrawn();
    // The usual case, for which nodes should not wait.
    if (withdrawn.length === 0 && !this.#final && !this.#hasDeadlines) return this.#encoded;
    const own = this.current()!;
    return encodePackets({ ...own, options: [...own.options, ...withdrawn] }, this.#surroundings!.link.mtu);
  }

  /** What we say at this moment: lifetimes that end at a set time are shorter each time. */
  current(): RouterAdvertisement | undefined {
    if (this.#advertisement === undefined || this.#final || !this.#hasDeadlines) return this.#advertisement;
    const { link, addresses, dns } = this.#surroundings!;
    return buildAdvertisement(this.#config, link, addresses, { wall: this.#context.clock.wall(), ...dns });
  }
}
