/** Router advertisements on the control thread: the interfaces, the socket they share, and what comes in on it. */
import { type Cidr, formatCidr } from '../core/address.ts';
import { errorCode, WireError } from '../core/errors.ts';
import type { Icmp6Packet, Icmp6Sender } from '../linux/icmp6.ts';
import type { RaInterfaceConfig } from './config.ts';
import { MAX_FINAL_RTR_ADVERTISEMENTS, MIN_DELAY_BETWEEN_RAS_MS } from './constants.ts';
import type { RaContext } from './context.ts';
import { invalidReasons, RaCounter } from './counters.ts';
import { RaInterface } from './interface.ts';
import { RaMemory } from './memory.ts';
import type { DnsState } from './speech.ts';
import type { RaInterfaceStatus } from './status.ts';
import { ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION } from './wire/packet.ts';
import { parseRouterAdvertisement } from './wire/router-advertisement.ts';
import { checkRouterSolicitation, sourceLinkLayerAddress } from './wire/router-solicitation.ts';

/** How long all final advertisements take. */
const fullGraceMs = (MAX_FINAL_RTR_ADVERTISEMENTS - 1) * MIN_DELAY_BETWEEN_RAS_MS;

export class RaControl {
  readonly #context: RaContext;
  readonly #memory: RaMemory;
  readonly #interfaces = new Map<string, RaInterface>();
  /** The same, for packets. */
  #listening: readonly RaInterface[] = [];
  /** Interfaces whose configuration went away and that say so still. */
  readonly #ceasing = new Set<RaInterface>();
  #dns: DnsState = { dnsServes: true, nat64: [] };
  #socket: Icmp6Sender | undefined;
  #unlisten: (() => void) | undefined;

  constructor(context: RaContext) {
    this.#context = context;
    this.#memory = new RaMemory(context);
  }

  /**
   * Begins on all interfaces; those that are not ready begin by themselves when they are.
   * @throws {SystemError} EPERM when the raw socket is not allowed
   */
  async start(configs: readonly RaInterfaceConfig[]): Promise<void> {
    this.#unlisten = this.#context.network.onChange(() => {
      for (const one of this.#interfaces.values()) one.look();
    });
    try {
      this.apply(configs);
    } catch (error) {
      await this.stop({ final: false });
      throw error;
    }
  }

  /**
   * Takes a new configuration. What it lacks is advertised with lifetime 0 a few times; interfaces that it lacks cease.
   * @throws {SystemError} when the raw socket is needed for the first time and not allowed
   */
  apply(configs: readonly RaInterfaceConfig[]): void {
    const names = new Set(configs.map((config) => config.interface));
    for (const [name, one] of this.#interfaces) {
      if (names.has(name)) continue;
      this.#interfaces.delete(name);
      this.#ceasing.add(one);
      void one.cease(true, fullGraceMs).then(() => this.#ceasing.delete(one));
    }
    for (const config of configs) {
      const existing = this.#interfaces.get(config.interface);
      if (existing !== undefined) {
        existing.configure(config);
        continue;
      }
      // It came back while its last words were being said.
      for (const one of this.#ceasing) if (one.name === config.interface) one.stop();
      const added = new RaInterface(this.#context, this.#openSocket(), this.#memory, config);
      this.#interfaces.set(config.interface, added);
      added.dns = this.#dns;
      added.look();
    }
    this.#listening = [...this.#interfaces.values()];
  }

  /** Whether DNS here can serve: `rdnss.whileHealthy` follows it. */
  setDnsServes(dnsServes: boolean): void {
    if (this.#dns.dnsServes === dnsServes) return;
    const { log } = this.#context;
    if (dnsServes) log.info({}, 'DNS here can serve again: advertised where `rdnss.whileHealthy` is set');
    else log.warn({}, 'DNS here cannot serve: taken back where `rdnss.whileHealthy` is set');
    this.#setDns({ ...this.#dns, dnsServes });
  }

  /** The NAT64 prefixes that DNS here knows of: `pref64.prefix: auto` stands for them. */
  setNat64(nat64: readonly Cidr[]): void {
    if (nat64.map(formatCidr).join() === this.#dns.nat64.map(formatCidr).join()) return;
    this.#setDns({ ...this.#dns, nat64 });
  }

  /** Whether every interface advertises. */
  get ready(): boolean {
    return [...this.#interfaces.values()].every((one) => one.state === 'advertising');
  }

  status(): RaInterfaceStatus[] {
    return [...this.#interfaces.values()].map((one) => one.status());
  }

  /**
   * Ends. `final`: this host ceases to be a router, and says so up to three times, 3 s apart as RFC 4861 §6.2.6 demands of
   * multicasts, as many of them as `graceMs` leaves time for (the first leaves at once), more while the caller waits for
   * `meanwhile` anyway. A restart says nothing. Idempotent.
   */
  async stop(options: { final: boolean; graceMs?: number; meanwhile?: Promise<unknown> }): Promise<void> {
    this.#unlisten?.();
    this.#unlisten = undefined;
    const all = [...this.#interfaces.values()];
    if (options.final) {
      await Promise.all(all.map((one) => one.cease(false, options.graceMs ?? fullGraceMs, options.meanwhile)));
    }
    for (const one of [...all, ...this.#ceasing]) one.stop();
    this.#interfaces.clear();
    this.#listening = [];
    this.#ceasing.clear();
    this.#memory.close();
    this.#socket?.close();
    this.#socket = undefined;
  }

  #setDns(dns: DnsState): void {
    this.#dns = dns;
    for (const one of this.#interfaces.values()) one.dns = dns;
  }

  #openSocket(): Icmp6Sender {
    this.#socket ??= this.#context.openSocket((packet) => this.#receive(packet));
    return this.#socket;
  }

  #receive(packet: Icmp6Packet): void {
    const on = this.#interfaceOf(packet.ifindex);
    if (on === undefined) return;
    const type = packet.bytes[0];
    try {
      if (type === ROUTER_SOLICITATION) {
        checkRouterSolicitation(packet.bytes, packet);
        on.solicited(packet.source);
        this.#context.solicited?.(on.name, packet.source, sourceLinkLayerAddress(packet.bytes));
      } else if (type === ROUTER_ADVERTISEMENT) {
        on.heard(packet.source, parseRouterAdvertisement(packet.bytes, packet));
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const base = type === ROUTER_SOLICITATION ? RaCounter.invalidSolicitation : RaCounter.invalidAdvertisement;
      on.invalid(base + invalidReasons[errorCode(error)!]!);
      this.#context.log.debug({ interface: on.name, reason: error.message }, 'a message was discarded');
    }
  }

  #interfaceOf(ifindex: number): RaInterface | undefined {
    const all = this.#listening;
    for (let i = 0; i < all.length; i++) if (all[i]!.ifindex === ifindex) return all[i];
    return undefined;
  }
}
