/**
 * The running daemon: three engines' control parts, the data threads, the admin API, wired together. What one engine needs
 * of another goes through here as plain data.
 *
 * Start: zones from the store, pools and their checks, data threads, advertisements. Stop is the reverse for whoever is
 * outside: no new sessions, sessions end within the grace time, last advertisements, store closed.
 */

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { parseCidr } from '../core/address.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { CounterStripe, CounterTable } from '../core/counters.ts';
import { errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { cryptoRandom, SeededRandom } from '../core/random.ts';
import { StateFile } from '../core/state-file.ts';
import { type DnsConfig, noDns } from '../dns/config.ts';
import { DnsControl } from '../dns/control.ts';
import { controlCounters } from '../dns/control-counters.ts';
import type { ZoneFiles } from '../dns/zone-seed.ts';
import { Icmp6Socket } from '../linux/icmp6.ts';
import { NetworkMonitor } from '../linux/netlink.ts';
import { Reactor } from '../linux/reactor.ts';
import { kernelSysctl } from '../linux/sysctl.ts';
import { ProxyControl } from '../proxy/control.ts';
import type { ProxyEvent } from '../proxy/engine.ts';
import type { ProxySnapshot } from '../proxy/snapshot.ts';
import type { RaContext } from '../ra/context.ts';
import { RaControl } from '../ra/control.ts';
import { raCounters, raGauges } from '../ra/counters.ts';
import { rehearseAnswers } from '../ra/rehearsal.ts';
import { ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION } from '../ra/wire/packet.ts';
import type { EdgeConfig } from './config/types.ts';
import { counterLayout } from './counter-layout.ts';
import type { Discovery } from './discovery/discovery.ts';
import { createDiscovery } from './discovery/engines.ts';
import { DnsHealth, dnsCanServe } from './dns-health.ts';
import { DnsSettingsMaker } from './dns-settings.ts';
import { NodeLedger, readNeighbourMacs } from './doctor/ledger.ts';
import { EventStream, zoneEvent } from './events.ts';
import { Hooks } from './hooks/hooks.ts';
import { createJoin } from './join/engines.ts';
import type { Join } from './join/join.ts';
import { nat64Prefixes } from './nat64.ts';
import { checkPorts, wantedPorts } from './ports.ts';
import type { ThreadReport } from './protocol.ts';
import { memberSessions, proxySlots } from './proxy-slots.ts';
import type { Sockets } from './sockets.ts';
import { Stories } from './stories.ts';
import { DataThreads } from './threads.ts';

/** How often what data threads say of themselves (sockets, upstreams) is asked for. */
const reportEveryMs = 1_000;
/**
 * Time for a second final advertisement, in case a host missed the first; they are 3 s apart (RFC 4861 §6.2.6). A third
 * goes out if sessions take that long to end.
 */
const finalAdvertisementsMs = 3_000;

/** How often the neighbour cache is read, so that a node that has stopped to answer is still known by its MAC. */
const neighboursEveryMs = 60_000;

/** Before a restart: time for the last sessions, while new clients wait for the daemon that follows. */
const handOverMs = 2_000;

export interface StopOptions {
  readonly graceMs: number;
  readonly final: boolean;
  readonly handOver: boolean;
}

export class Edge {
  readonly log: Logger;
  readonly clock: Clock = systemClock;
  readonly counters: CounterTable;
  readonly threads: DataThreads;
  readonly proxy: ProxyControl;
  readonly dns: DnsControl;
  readonly ra: RaControl;
  readonly discovery: Discovery;
  readonly join: Join;
  readonly events: EventStream;
  /** What follows from changes of zones. */
  readonly stories: Stories;
  readonly hooks: Hooks;
  /** What is heard of nodes, for the doctor. */
  readonly nodes: NodeLedger;
  readonly dnsSettings: DnsSettingsMaker;
  /** What the DNS and RA control parts count: they run in this thread only. */
  readonly dnsControlCounters: CounterStripe = CounterStripe.alone(controlCounters.length, 0);
  readonly raCounters: CounterStripe = CounterStripe.alone(raCounters.length, raGauges.length);
  readonly joinCounters: CounterStripe;
  readonly #reactor = new Reactor();
  readonly #network: NetworkMonitor;
  readonly threadCount: number;
  readonly #sockets: Sockets;
  #config: EdgeConfig;
  #proxySnapshot: ProxySnapshot | undefined;
  #reports: readonly ThreadReport[] = [];
  readonly #dnsHealth = new DnsHealth();
  #nat64: readonly string[] = [];
  #state: 'starting' | 'serving' | 'stopping' = 'starting';
  #reporting: ReturnType<Clock['after']> | undefined;
  #neighboursReadAt = Number.NEGATIVE_INFINITY;
  readonly #raContext: RaContext;
  #rehearsed = false;

  constructor(config: EdgeConfig, log: Logger, sockets: Sockets) {
    this.#config = config;
    this.#sockets = sockets;
    this.log = log;
    this.threadCount = config.workers === 'auto' ? availableParallelism() : config.workers;
    this.counters = new CounterTable(counterLayout(this.threadCount));
    this.dnsSettings = new DnsSettingsMaker(this.threadCount, this.counters, cryptoRandom.fill(new Uint8Array(16)));
    this.events = new EventStream(this.clock);
    this.nodes = new NodeLedger(this.clock);
    this.stories = new Stories({
      clock: this.clock,
      log: log.child({ module: 'edge' }),
      stream: this.events,
      sessionsOf: (pool, member) => {
        const members = this.#proxySnapshot?.pools.find(({ name }) => name === pool)?.members;
        const slot = members?.find(({ name }) => name === member)?.slot;
        return slot === undefined ? 0 : memberSessions(this.counters, slot);
      },
      advertisements: () => JSON.stringify(this.ra.status().map((one) => [one.state, one.advertisement])),
    });
    this.hooks = new Hooks({ clock: this.clock, log: log.child({ module: 'hooks' }), stream: this.events });
    this.hooks.apply(config.hooks);
    this.#network = new NetworkMonitor({
      reactor: this.#reactor,
      clock: this.clock,
      log: log.child({ module: 'netlink' }),
    });
    this.dns = new DnsControl({
      clock: this.clock,
      random: cryptoRandom,
      log: log.child({ module: 'dns' }),
      counters: this.dnsControlCounters,
      stateDir: config.stateDir,
      publish: (publication) => {
        this.discovery.zoneChanged(publication, this.stories.published(publication));
        this.threads.publish(publication);
      },
      taken: () => this.threads.taken(),
      announce: (publications) => this.threads.announce(publications),
      emit: (event) => this.stories.zoneEvent(zoneEvent(event)),
      saw: (sighting) => this.nodes.updated(sighting),
    });
    this.proxy = new ProxyControl({
      clock: this.clock,
      random: new SeededRandom(cryptoRandom.below(2 ** 32)),
      log: log.child({ module: 'proxy' }),
      publish: (snapshot) => this.#publishProxy(snapshot),
      keep: new StateFile(join(config.stateDir, 'proxy.json')),
      emit: (event) => this.stories.memberEvent(event),
      poolChanged: (event) => this.events.emit(event),
      ...proxySlots(this.counters),
    });
    this.#raContext = {
      clock: this.clock,
      random: cryptoRandom,
      log: log.child({ module: 'ra' }),
      counters: this.raCounters,
      network: this.#network,
      sysctl: kernelSysctl,
      stateFile: new StateFile(join(config.stateDir, 'ra.json')),
      openSocket: (handler) => new Icmp6Socket([ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT], handler),
      emit: (event) => this.events.emit(event),
      solicited: (on, source, mac) => this.nodes.solicited(on, source, mac),
    };
    this.ra = new RaControl(this.#raContext);
    this.discovery = createDiscovery({
      clock: this.clock,
      log: log.child({ module: 'discovery' }),
      dns: this.dns,
      known: (pool) => this.proxy.discovered(pool),
      setDiscovered: (members, change, cause) =>
        this.stories.discovered(change, cause, () => this.proxy.setDiscovered(change.pool, members)),
      upstreams: () => this.#config.dns?.forward?.upstreams ?? [],
      ca: () => this.#config.dns?.forward?.ca,
    });
    ({ join: this.join, counters: this.joinCounters } = createJoin({
      clock: this.clock,
      log: log.child({ module: 'join' }),
      stateDir: config.stateDir,
      dns: this.dns,
      dnsConfig: () => this.#config.dns,
      events: this.events,
    }));
    this.threads = new DataThreads({
      clock: this.clock,
      log: log.child({ module: 'threads' }),
      counters: this.counters,
      logSettings: config.log,
      initial: () => this.#initial(),
      handoff: (request, send) => this.dns.handle(request, send),
      sockets: (thread) => sockets.forThread(thread, { threads: this.threadCount, config: this.#config }),
      onProxyEvent: (event) => this.#onProxyEvent(event),
    });
  }

  get config(): EdgeConfig {
    return this.#config;
  }

  get state(): 'starting' | 'serving' | 'stopping' {
    return this.#state;
  }

  /** What data threads last said of themselves. */
  get reports(): readonly ThreadReport[] {
    return this.#reports;
  }

  get proxySnapshot(): ProxySnapshot | undefined {
    return this.#proxySnapshot;
  }

  /**
   * Starts everything; on failure what was started is stopped again.
   * @param files of zones, read with the configuration
   * @throws {PortError} another process has a port
   * @throws {StoreError} the zone store cannot be used
   * @throws {ValueError} a zone cannot be seeded
   * @throws {ThreadError} data threads cannot run
   * @throws {SystemError} router advertisements are not permitted
   */
  async start(files: ZoneFiles): Promise<void> {
    const { config } = this;
    try {
      // Before anything is touched.
      checkPorts(wantedPorts(config), this.#sockets.ports);
      this.join.prepare(config.join);
      if (config.dns !== undefined) await this.dns.start(config.dns, files);
      this.proxy.start(config.proxy);
      this.discovery.apply(config.proxy.pools);
      await this.threads.start();
      await this.#refreshReports();
      if (config.ra.length > 0) await this.#network.start();
      await this.ra.start(config.ra);
      await this.join.listen();
      this.#state = 'serving';
      this.#rehearse();
    } catch (error) {
      await this.stop({ graceMs: 0, final: false, handOver: false });
      throw error;
    }
  }

  /**
   * Takes over a changed configuration; names what it overrode. Settings that hold from the start on are logged.
   * @param files of zones, read with the configuration
   * @throws {PortError}, {StoreError}, {ValueError}, {ProxyError} or {SystemError}, and nothing has changed then
   */
  async reload(config: EdgeConfig, files: ZoneFiles): Promise<string[]> {
    const old = this.#config;
    checkPorts(wantedPorts(config), [...wantedPorts(old), ...this.#sockets.ports]);
    if (old.ra.length === 0 && config.ra.length > 0) await this.#network.start();
    const undo: (() => unknown)[] = [];
    let overridden: readonly string[];
    try {
      await this.#applyDns(old.dns, config.dns, files);
      undo.push(() => this.#applyDns(config.dns, old.dns, files));
      ({ overridden } = this.proxy.apply(config.proxy));
      undo.push(() => this.proxy.apply(old.proxy));
      undo.push(() => this.join.prepare(old.join));
      this.join.prepare(config.join);
      this.ra.apply(config.ra);
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    }
    this.#config = config;
    this.#rehearse();
    this.hooks.apply(config.hooks);
    this.discovery.apply(config.proxy.pools);
    await this.join.listen();
    this.threads.broadcast({ kind: 'dns', settings: this.dnsSettings.make(config.dns) });
    for (const key of ['workers', 'stateDir', 'log', 'admin'] as const) {
      if (isDeepStrictEqual(old[key], config[key])) continue;
      this.log.warn({ setting: key }, 'this setting takes effect with the next start');
    }
    await this.#refreshReports();
    return [...overridden];
  }

  /** Where nodes are to be answered at once, once. */
  #rehearse(): void {
    const config = this.config.ra.find(({ maxDelayMs }) => maxDelayMs === 0);
    if (config === undefined || this.#rehearsed) return;
    this.#rehearsed = true;
    void rehearseAnswers(this.#raContext, config, () => this.#state === 'serving');
  }

  /** Zones and keys; the store is open while there is DNS at all. */
  async #applyDns(old: DnsConfig | undefined, config: DnsConfig | undefined, files: ZoneFiles): Promise<void> {
    if (config === undefined && old === undefined) return;
    if (old === undefined) await this.dns.start(config!, files);
    else await this.dns.apply(config ?? noDns, files);
    if (config === undefined) await this.dns.stop();
  }

  /**
   * Ends in order.
   * @param options.final whether advertisements say farewell: not when another daemon follows at once
   * @param options.handOver whether listening sockets stay for that daemon. Clients are then accepted until the sessions of
   * this moment have ended; those who come later wait for it.
   */
  async stop(options: StopOptions): Promise<void> {
    this.#state = 'stopping';
    this.#reporting?.cancel();
    const lastMs = options.handOver ? Math.min(options.graceMs, handOverMs) : options.graceMs;
    await this.threads.settle(options.graceMs - lastMs);
    const { promise: meanwhile, resolve: sessionsEnded } = Promise.withResolvers<void>();
    const stopAdvertising = () =>
      this.#step('router advertisements', () =>
        this.ra.stop({ final: options.final, graceMs: finalAdvertisementsMs, meanwhile }),
      );
    // A real stop tells the nodes first, so that they turn elsewhere while sessions end; a restart serves them to the last.
    const farewell = options.final ? stopAdvertising() : undefined;
    this.discovery.stop();
    this.stories.stop();
    this.proxy.stop();
    await this.join.stop();
    await this.#step('data threads', () => this.threads.stop(lastMs, options.handOver));
    sessionsEnded();
    await (farewell ?? stopAdvertising());
    await this.#step('zone store', () => this.dns.stop());
    this.hooks.stop();
    this.#sockets.close();
    this.#network.close();
    this.#reactor.close();
  }

  async #step(what: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.log.error({ err: error }, `${what}: not stopped cleanly: ${errorMessage(error)}`);
    }
  }

  #initial(): ReturnType<ConstructorParameters<typeof DataThreads>[0]['initial']> {
    return [
      ...this.dns.snapshots().map((data) => ({ kind: 'zone' as const, data })),
      { kind: 'dns', settings: this.dnsSettings.make(this.#config.dns) },
      ...(this.#proxySnapshot === undefined ? [] : [{ kind: 'proxy' as const, snapshot: this.#proxySnapshot }]),
    ];
  }

  #publishProxy(snapshot: ProxySnapshot): void {
    this.#proxySnapshot = snapshot;
    this.threads.broadcast({ kind: 'proxy', snapshot });
  }

  #onProxyEvent(event: ProxyEvent): void {
    if (event.kind === 'connect-failed') this.proxy.reportConnectFailure(event.pool, event.member, event.code);
    if (event.kind === 'connect-short') this.proxy.reportConnectShortage(event.pool, event.member, event.code);
    if (event.kind === 'header-suspected') this.proxy.reportHeaderSuspicion(event.pool, event.member);
  }

  async #refreshReports(): Promise<void> {
    this.#reporting?.cancel();
    this.#reports = await this.threads.reports();
    if (this.#state === 'stopping') return;
    if (this.#config.dns !== undefined) {
      this.ra.setDnsServes(this.#dnsHealth.observe(dnsCanServe(this.#reports), this.clock.now()));
      this.#nat64 = nat64Prefixes(this.#reports, this.#nat64);
      this.ra.setNat64(this.#nat64.map(parseCidr));
    }
    this.#reporting?.cancel();
    this.#reporting = this.clock.after(reportEveryMs, () => void this.#refreshReports());
    if (this.#config.ra.length > 0 && this.clock.now() - this.#neighboursReadAt >= neighboursEveryMs) {
      this.#neighboursReadAt = this.clock.now();
      this.nodes.learn(readNeighbourMacs());
    }
  }
}
