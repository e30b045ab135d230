/**
 * One advertising interface (RFC 4861 §6.2).
 *
 * `look` asks the network what there is, and is called on every change of it. From that follows the state: `missing`,
 * `down`, `no-link-local` (there is none yet, or duplicate address detection has not ended), `duplicate-address`,
 * `tentative-address` (an address that is to be announced has not left DAD), else `advertising`. On entering
 * `advertising` the first advertisement leaves at that very moment. `ceasing` sends the final advertisements, `stopped`
 * is the end.
 */
import { type Address, equalAddress, formatAddress, isUnspecified } from '../core/address.ts';
import type { Timer } from '../core/clock.ts';
import { errnoName } from '../linux/errors.ts';
import type { Icmp6Sender } from '../linux/icmp6.ts';
import type { Link } from '../linux/netlink.ts';
import { encodePackets } from './advertisement.ts';
import { adviceFor } from './advice.ts';
import { asConfig } from './as-config.ts';
import type { RaInterfaceConfig } from './config.ts';
import {
  ALL_NODES,
  ALL_ROUTERS,
  MAX_FINAL_RTR_ADVERTISEMENTS,
  MIN_DELAY_BETWEEN_RAS_MS,
  retryMaxMs,
  retryMinMs,
} from './constants.ts';
import type { RaContext } from './context.ts';
import { RaCounter, RaGauge } from './counters.ts';
import { Farewell } from './farewell.ts';
import { KernelSettings } from './kernel-settings.ts';
import type { RaMemory } from './memory.ts';
import { Replies } from './replies.ts';
import { RouterWatch } from './router-watch.ts';
import { MulticastSchedule } from './schedule.ts';
import { lookAt, stateReasons } from './sight.ts';
import { type DnsState, Speech } from './speech.ts';
import {
  advertisementJson,
  optionJson,
  type RaInterfaceCounters,
  type RaInterfaceStatus,
  type RaState,
} from './status.ts';
import { type Outlet, Transmitter } from './transmitter.ts';
import type { RouterAdvertisement } from './wire/router-advertisement.ts';

export class RaInterface {
  readonly name: string;
  readonly #context: RaContext;
  readonly #socket: Icmp6Sender;
  readonly #schedule: MulticastSchedule;
  readonly #replies: Replies;
  readonly #routers: RouterWatch;
  readonly #speech: Speech;
  readonly #farewell = new Farewell();
  readonly #transmitter: Transmitter;
  readonly #kernel: KernelSettings;
  readonly #counters: RaInterfaceCounters = {
    sentMulticast: 0,
    sentUnicast: 0,
    sendFailures: 0,
    pastNeighbours: 0,
    solicitations: 0,
    invalid: 0,
    rateLimited: 0,
    notAClient: 0,
    otherAdvertisements: 0,
  };
  #config: RaInterfaceConfig;
  #state: RaState = 'missing';
  #told = false;
  #link: Link | undefined;
  #dns: DnsState = { dnsServes: true, nat64: [] };
  #source: Address | undefined;
  #joined: number | undefined;
  #joinError: string | undefined;
  #retryMs = retryMinMs;
  #lastSolicitation: { readonly at: number; readonly from: Address } | undefined;
  #ceased: (() => void) | undefined;
  #finalTimer: Timer | undefined;

  constructor(context: RaContext, socket: Icmp6Sender, memory: RaMemory, config: RaInterfaceConfig) {
    this.name = config.interface;
    this.#context = { ...context, log: context.log.child({ interface: config.interface }) };
    this.#socket = socket;
    this.#transmitter = new Transmitter(this.#context, socket, this.#counters);
    this.#speech = new Speech(this.#context, memory, config);
    this.#kernel = new KernelSettings(this.#context, memory, this.name);
    this.#replies = new Replies(context.clock, (to) => this.#reply(to));
    this.#routers = new RouterWatch(this.#context, this.name);
    this.#config = config;
    this.#schedule = new MulticastSchedule(context.clock, context.random, config.interval, () => this.#sendPeriodic());
  }

  /** Index of the interface, while there is one. */
  get ifindex(): number | undefined {
    return this.#link?.index;
  }

  get state(): RaState {
    return this.#state;
  }

  /** What of DNS advertisements follow; a change is told at once where the configuration wants it. */
  set dns(dns: DnsState) {
    if (this.#dns === dns) return;
    this.#dns = dns;
    this.look();
  }

  /** Looks at the network again and does what follows from it. */
  look(): void {
    if (this.#state === 'ceasing' || this.#state === 'stopped') return;
    const sight = lookAt(this.#context.network, this.#config, this.#source);
    if (this.#link?.index !== sight.link?.index) this.#pause();
    this.#link = sight.link;
    if (sight.state !== 'advertising') {
      this.#pause();
      this.#enter(sight.state);
      return;
    }
    const begins = this.#source === undefined || !equalAddress(this.#source, sight.source);
    this.#source = sight.source;
    const changed = this.#speech.build({ link: sight.link, addresses: sight.addresses, dns: this.#dns });
    if (begins) {
      this.#farewell.begin(sight.link.index, sight.source);
      this.#enter('advertising');
    }
    this.#join(sight.link.index);
    if (!begins && !changed) return;
    this.#routers.compare(this.#speech.own!);
    if (this.#sendsUnsolicited) this.#schedule.begin();
  }

  /** Takes a new configuration of the same interface; what it lacks is withdrawn. */
  configure(config: RaInterfaceConfig): void {
    const changed = JSON.stringify(config) !== JSON.stringify(this.#config);
    this.#config = config;
    this.#speech.config = config;
    this.#schedule.interval = config.interval;
    if (!this.#sendsUnsolicited) this.#schedule.stop();
    this.look();
    if (changed && this.#state === 'advertising' && this.#sendsUnsolicited) this.#schedule.begin();
  }

  /** Answers a valid solicitation (§6.2.6). What is only for the books comes after: a node waits. */
  solicited(source: Address): void {
    if (this.#state === 'advertising') this.#answer(source);
    this.#count('solicitations', RaCounter.solicitations);
    this.#lastSolicitation = { at: this.#context.clock.wall(), from: source };
  }

  /** Counts a message that the checks of §6.1 discarded. */
  invalid(counter: number): void {
    this.#count('invalid', counter);
  }

  /** Remembers a valid advertisement of another router, and tells once what contradicts ours. */
  heard(source: Address, advertisement: RouterAdvertisement): void {
    if (this.#source !== undefined && equalAddress(source, this.#source)) return;
    this.#count('otherAdvertisements', RaCounter.otherAdvertisements);
    this.#routers.hear(source, advertisement, this.#speech.own);
  }

  /**
   * Ends with final advertisements (§6.2.5) if we have advertised, the first at once.
   * @param deprecateAll also prefixes that are not marked so: this interface's configuration is gone
   * @param graceMs time that may be spent on more than one
   * @param meanwhile something that the caller waits for anyway: until then further ones cost no time
   */
  async cease(deprecateAll: boolean, graceMs: number, meanwhile?: Promise<unknown>): Promise<void> {
    this.#kernel.end();
    if (this.#state !== 'advertising') {
      this.stop();
      return;
    }
    const { clock } = this.#context;
    this.#speech.end(deprecateAll);
    this.#schedule.stop();
    this.#replies.cancel();
    this.#enter('ceasing');
    const least = Math.min(MAX_FINAL_RTR_ADVERTISEMENTS, 1 + Math.floor(graceMs / MIN_DELAY_BETWEEN_RAS_MS));
    let sent = 0;
    let busy = meanwhile !== undefined;
    await new Promise<void>((resolve) => {
      this.#ceased = resolve;
      void meanwhile?.then(() => {
        busy = false;
        if (sent >= least) this.stop();
      });
      const next = (): void => {
        this.#transmitUnsolicited();
        sent++;
        const enough = sent === MAX_FINAL_RTR_ADVERTISEMENTS || (sent >= least && !busy);
        if (enough || this.#state !== 'ceasing') this.stop();
        else this.#finalTimer = clock.after(MIN_DELAY_BETWEEN_RAS_MS, next);
      };
      next();
    });
  }

  /** Ends at once, silently. */
  stop(): void {
    if (this.#state === 'stopped') return;
    this.#pause();
    this.#finalTimer?.cancel();
    this.#routers.stop();
    this.#enter('stopped');
    this.#ceased?.();
  }

  status(): RaInterfaceStatus {
    const iso = (at: number): string => new Date(at).toISOString();
    const current = this.#speech.current();
    const { last, lastMulticastAt, lastError } = this.#transmitter;
    const asked = this.#lastSolicitation;
    return {
      interface: this.name,
      ifindex: this.#link?.index,
      state: this.#state,
      reason: stateReasons[this.#state],
      source: this.#source === undefined ? undefined : formatAddress(this.#source),
      lastSent: last && { at: iso(last.at), to: last.to },
      lastMulticast: lastMulticastAt === undefined ? undefined : iso(lastMulticastAt),
      nextMulticastInMs: this.#schedule.nextInMs,
      lastSolicitation: asked && { at: iso(asked.at), from: formatAddress(asked.from) },
      lastError,
      advertisement: current === undefined ? undefined : advertisementJson(current),
      asConfig: current === undefined ? undefined : asConfig(current),
      withdrawn: current === undefined ? [] : this.#speech.withdrawn().map(optionJson),
      counters: { ...this.#counters },
      routers: this.#routers.list().map((router) => ({
        source: formatAddress(router.source),
        firstSeen: iso(router.firstSeen),
        lastSeen: iso(router.lastSeen),
        advertisement: advertisementJson(router.advertisement),
        contradictions: router.contradictions,
      })),
    };
  }

  get #sendsUnsolicited(): boolean {
    return !this.#config.unicastOnly || this.#config.clients.length > 0;
  }

  #enter(state: RaState): void {
    if (this.#state === state && this.#told) return;
    const { log, emit, counters } = this.#context;
    if (this.#state === 'advertising') counters.gaugeAdd(RaGauge.advertising, -1);
    if (state === 'advertising') counters.gaugeAdd(RaGauge.advertising, 1);
    this.#state = state;
    this.#told = true;
    const reason = stateReasons[state];
    if (state === 'advertising') {
      log.info({ source: formatAddress(this.#source!) }, 'router advertisements go out');
      this.#kernel.begin(this.#config);
      for (const advice of adviceFor(this.#config, this.#link!)) log.warn({}, advice);
    } else if (state === 'stopped' || state === 'ceasing') log.info({ state }, reason);
    else log.warn({ state }, `no router advertisements: ${reason}`);
    emit({ kind: 'ra-state', interface: this.name, state, reason });
  }

  /** Stops sending until `look` finds everything in place again. */
  #pause(): void {
    this.#schedule.stop();
    this.#replies.cancel();
    if (this.#joined !== undefined) this.#socket.leave(ALL_ROUTERS, this.#joined);
    this.#joined = undefined;
    this.#source = undefined;
    this.#speech.clear();
  }

  /** Tried again with each change of the network and each multicast until it succeeds; told of once. */
  #join(ifindex: number): void {
    if (this.#joined === ifindex) return;
    const { log } = this.#context;
    const result = this.#socket.join(ALL_ROUTERS, ifindex);
    if (result < 0) {
      const error = errnoName(-result);
      if (this.#joinError !== error) log.warn({ error }, 'solicitations cannot be received: joining ff02::2 failed');
      this.#joinError = error;
    } else {
      if (this.#joinError !== undefined) log.info({}, 'solicitations can be received again');
      this.#joinError = undefined;
      this.#joined = ifindex;
    }
  }

  #answer(source: Address): void {
    const { clients, deny, maxDelayMs, unicastOnly } = this.#config;
    const isSource = (address: Address): boolean => equalAddress(address, source);
    if ((clients.length > 0 && !clients.some(isSource)) || (deny.length > 0 && deny.some(isSource))) {
      this.#count('notAClient', RaCounter.notAClient);
      return;
    }
    const delay = maxDelayMs === 0 ? 0 : this.#context.random.fraction() * maxDelayMs;
    if (isUnspecified(source)) {
      // Nothing to send a unicast to, and no multicast wanted here.
      if (unicastOnly) this.#count('notAClient', RaCounter.notAClient);
      else this.#schedule.within(delay);
      return;
    }
    const verdict = this.#replies.ask(source, delay);
    if (verdict !== 'reply') this.#count('rateLimited', RaCounter.rateLimited);
    if (verdict === 'multicast') this.#multicastWithin(delay);
  }

  #reply(source: Address): void {
    // A node that asks again is answered then; others are helped by a multicast, which goes on trying.
    if (!this.#transmit(source)) this.#multicastWithin(this.#retryMs);
  }

  /** A multicast helps those that get no reply of their own, where multicasts are sent at all. */
  #multicastWithin(delay: number): void {
    if (!this.#config.unicastOnly && this.#config.clients.length === 0) this.#schedule.within(delay);
  }

  #sendPeriodic(): void {
    this.#join(this.#link!.index);
    if (this.#transmitUnsolicited()) {
      this.#retryMs = retryMinMs;
      this.#schedule.sent();
      this.#sayFarewell();
    } else {
      this.#schedule.failed(this.#retryMs);
      this.#retryMs = Math.min(retryMaxMs, this.#retryMs * 2);
    }
  }

  /** After our own word, so that hosts have the new router before they lose the old one. */
  #sayFarewell(): void {
    const { index, mtu } = this.#link!;
    const last = this.#farewell.next();
    if (last !== undefined) {
      const packets = encodePackets(last.advertisement, mtu);
      const { clients } = this.#config;
      for (const to of clients.length > 0 ? clients : [ALL_NODES]) {
        this.#transmitter.sendForeign(packets, to, { ifindex: index, source: last.source });
      }
    }
    this.#farewell.spoke(index, this.#source!, this.#speech.advertisement!);
  }

  /** To all nodes, or to each client where only those are served. */
  #transmitUnsolicited(): boolean {
    const { clients, unicastOnly } = this.#config;
    if (clients.length === 0) return unicastOnly || this.#transmit(ALL_NODES);
    return clients.map((client) => this.#transmit(client)).some((sent) => sent);
  }

  #transmit(destination: Address): boolean {
    return this.#transmitter.send(this.#speech.packets(), destination, this.#outlet);
  }

  get #outlet(): Outlet {
    return { ifindex: this.#link!.index, source: this.#source! };
  }

  #count(own: keyof RaInterfaceCounters, shared: number): void {
    this.#counters[own]++;
    this.#context.counters.add(shared);
  }
}
