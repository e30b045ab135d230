/** The DNS server of a data thread: listeners, zones, cache and forwarder, put together by the settings it is given. */
import type { InetEndpoint } from '../core/address.ts';
import type { Clock } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import { assert } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Random } from '../core/random.ts';
import type { Lender } from '../linux/lent-fd.ts';
import type { Reactor } from '../linux/reactor.ts';
import { type CacheStatus, WireCache } from './cache.ts';
import { ClientFilter } from './client-filter.ts';
import { ClientLedger, type ClientSighting } from './client-ledger.ts';
import type { ForwardConfig } from './config.ts';
import { CookieJar } from './cookies.ts';
import { Dns64, type Dns64Status } from './dns64/dns64.ts';
import { type ForwarderContext, QUEUED } from './forwarder/context.ts';
import { Forwarder } from './forwarder/forwarder.ts';
import type { UpstreamStatus } from './forwarder/upstream.ts';
import { Hairpin } from './hairpin.ts';
import { Identity } from './identity.ts';
import { KeptSockets } from './kept-sockets.ts';
import { ipv4onlyZones, localZones } from './local-zones.ts';
import { OwnCookies } from './own-cookies.ts';
import { PlainListeners } from './plain-listeners.ts';
import { QueryLog } from './query-log.ts';
import { RebindGuard } from './rebind.ts';
import { Responder } from './responder.ts';
import type { CommitWatch, ResponderContext } from './responder-context.ts';
import { OTHER_ZONES } from './slot-counters.ts';
import type { DnsSettings, Handoff, ZoneData, ZoneDelta } from './snapshot.ts';
import type { DnsSocketKeeper, KeptTransport } from './socket-keeper.ts';
import { TcpShared } from './tcp-server.ts';
import { TlsListeners } from './tls-listeners.ts';
import type { ServerContext } from './udp-server.ts';
import { lowerName, type NameKey, nameFromText, nameKey } from './wire/name.ts';
import { Zone, ZoneTable } from './zone.ts';

/** Memory for answers from our zones where nothing is forwarded. */
const ZONE_CACHE_BYTES = 4 * 1024 * 1024;

/** What the engine needs from its thread. */
export interface DnsEngineContext {
  readonly reactor: Reactor;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** A window of `dnsCounterCount` counters and `dnsGauges`. */
  readonly counters: CounterStripe;
  readonly handoff: Handoff;
  /** As in `ServerContext`. */
  readonly lender?: Lender;
  /** As in `ResponderContext`. */
  readonly commits?: CommitWatch;
  /** Unless given, sockets end with the process. */
  readonly keepers?: Readonly<Record<KeptTransport, DnsSocketKeeper>>;
}

/** One address and transport it should listen on. */
export interface ListenStatus {
  readonly endpoint: InetEndpoint;
  readonly transport: 'udp' | 'tcp' | 'tls';
  /** Where it listens, with the port the kernel chose if 0 was asked for; undefined when it does not. */
  readonly bound: InetEndpoint | undefined;
  /** Why it does not. */
  readonly error: string | undefined;
}

export class DnsEngine {
  readonly #context: DnsEngineContext;
  readonly #zones = new ZoneTable();
  readonly #filter: ClientFilter;
  readonly #ledger: ClientLedger;
  readonly #responder: Responder;
  readonly #shared: ResponderContext;
  readonly #server: ServerContext;
  readonly #plain: PlainListeners;
  readonly #tcp = new TcpShared();
  readonly #tls: TlsListeners;
  readonly #dns64: Dns64;
  readonly #rebind = new RebindGuard();
  readonly #hairpin = new Hairpin();
  /** Keys of the zones we were given, and of those that are ours by nature (RFC 6303). */
  readonly #given = new Set<NameKey>();
  #local = new Map<NameKey, Zone>();
  #forward: ForwardConfig | undefined;
  #slots: ReadonlyMap<NameKey, number> = new Map();
  #resolutionText = '';
  #version = 1;
  readonly #sockets: KeptSockets;
  #closed = false;

  constructor(context: DnsEngineContext) {
    this.#context = context;
    const { reactor, clock, random, log, counters, handoff } = context;
    this.#ledger = new ClientLedger(clock);
    this.#filter = new ClientFilter(random, this.#ledger);
    this.#shared = {
      clock,
      log,
      counters,
      handoff,
      commits: context.commits,
      filter: this.#filter,
      zones: this.#zones,
      givenZone: (key) => (this.#given.has(key) ? this.#zones.get(key) : undefined),
      hairpin: this.#hairpin,
      identity: new Identity(),
      queryLog: new QueryLog(log, random),
      reverseOf: (question) => this.#dns64.plan(question, 0)?.first.subarray(0, -4),
      zonePeers: [],
      openTransfers: new Map(),
      cookies: new CookieJar(random.fill(new Uint8Array(16))),
      ownCookies: new OwnCookies(random.fill(new Uint8Array(16)), random),
      cache: new WireCache(ZONE_CACHE_BYTES, random),
      forwarder: undefined,
    };
    this.#responder = new Responder(this.#shared);
    this.#dns64 = new Dns64({
      clock,
      log,
      ask: (question, answered) => {
        const waiter = { forwarded: answered };
        return this.#shared.forwarder?.resolve(question, 0, 0, waiter, true) === QUEUED;
      },
      changed: () => {
        this.#shared.cache.flush();
        this.#applyLocalZones(this.#forward);
      },
    });
    this.#server = {
      reactor,
      clock,
      counters,
      filter: this.#filter,
      responder: this.#responder,
      lender: context.lender,
    };
    this.#sockets = new KeptSockets(context.keepers);
    this.#plain = new PlainListeners(this.#server, this.#tcp, this.#sockets, log);
    this.#tls = new TlsListeners(this.#server, this.#tcp, this.#sockets, log);
  }

  /**
   * Makes the settings true: what stays the same (listeners, cache, upstreams and what is known of them) goes on.
   * `forward.cache.sizeBytes` is this thread's share.
   */
  apply(settings: DnsSettings): void {
    assert(!this.#closed, 'apply after close');
    this.#shared.zonePeers = settings.zonePeers ?? [];
    this.#shared.openTransfers = byKey(settings.openTransfers ?? {});
    this.#filter.apply(settings.allow, settings.rateLimit, settings.clientLimit);
    this.#shared.queryLog.apply(settings.queryLog);
    this.#shared.identity.apply(settings.identity);
    this.#shared.cookies = new CookieJar(settings.cookieSecret);
    this.#shared.ownCookies = new OwnCookies(settings.cookieSecret, this.#context.random);
    this.#hairpin.apply(settings.hairpin);
    this.#rebind.apply(settings.forward?.rebind ?? { protect: false, allow: [] });
    this.#forward = settings.forward;
    this.#applyForward(settings.forward, settings.slots.upstreams);
    this.#applySlots(settings.slots.zones);
    // What is asked of whom, and what is made of it: with other rules what is cached may be wrong.
    const { cache: _, ...forward } = settings.forward ?? { cache: undefined };
    const text = JSON.stringify([forward, settings.dns64, settings.hairpin]);
    if (text !== this.#resolutionText) {
      if (this.#resolutionText !== '') this.#shared.cache.flush();
      this.#resolutionText = text;
      this.#dns64.apply(settings.dns64, settings.forward !== undefined);
    }
    this.#applyLocalZones(settings.forward);
    this.#plain.apply(settings.listen);
    this.#tls.apply(settings.tls);
  }

  /** Adds a zone, or takes the place of the one of its name. */
  setZone(data: ZoneData): void {
    const key = nameKey(data.name);
    const known = this.#given.has(key);
    this.#given.add(key);
    const zone = new Zone(data);
    zone.slot = this.#slots.get(key) ?? OTHER_ZONES;
    this.#zones.set(zone);
    // What was forwarded below that name is ours now.
    if (!known) this.#shared.cache.flush(lowerName(data.name));
    this.#newVersion();
  }

  /** Applies one transaction to its zone, if that is here. */
  applyDelta(delta: ZoneDelta): void {
    this.#zones.get(nameKey(delta.name))?.apply(delta.changes);
    this.#newVersion();
  }

  /** Notes when a zone that is copied expires, if it is here. */
  setExpiry(name: Uint8Array, expiresAt: number): void {
    this.#zones.get(nameKey(name))?.expires(expiresAt);
  }

  removeZone(name: Uint8Array): void {
    const key = nameKey(name);
    this.#zones.delete(key);
    this.#given.delete(key);
    const local = this.#local.get(key);
    if (local !== undefined) this.#zones.set(local);
    this.#newVersion();
  }

  /** Brings up to date who asked and when; called about once a second, which is how exact the times are. */
  sweepClients(): void {
    this.#filter.sweep();
  }

  /** Who asked, and how often. */
  clients(): ClientSighting[] {
    this.#filter.sweep();
    return this.#ledger.list();
  }

  upstreams(): UpstreamStatus[] {
    return this.#shared.forwarder?.status ?? [];
  }

  dns64Status(): Dns64Status {
    return this.#dns64.status;
  }

  cacheStatus(): CacheStatus {
    return this.#shared.cache.status;
  }

  /** Forgets what was cached: everything, or a name (wire form) and all below it. Returns how many entries went. */
  flushCache(name?: Uint8Array): number {
    return this.#shared.cache.flush(name === undefined ? undefined : lowerName(name));
  }

  /** Gives the listener of an endpoint, once there is one, a socket that is bound to it already; one for TCP listens as well. */
  adopt(transport: KeptTransport, endpoint: InetEndpoint, fd: number): void {
    this.#sockets.adopt(transport, endpoint, fd);
  }

  /** Where it listens, and where it cannot. */
  get listening(): readonly ListenStatus[] {
    return [...this.#plain.listening, ...this.#tls.listening];
  }

  /**
   * Takes no more queries, waits until those under way are answered, at most `graceMs`, and closes.
   * @param handOver whether sockets stay with their keeper, for a process that follows at once
   */
  async stop(graceMs: number, handOver = false): Promise<void> {
    this.#sockets.handOver = handOver;
    this.#plain.quiesce();
    this.#tls.quiesce();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#context.clock.after(graceMs, resolve);
    this.#responder.whenIdle(resolve);
    await promise;
    timer.cancel();
    this.close();
  }

  /** Lets go of every descriptor at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#dns64.stop();
    this.#responder.close();
    this.#plain.close();
    this.#sockets.close();
    this.#tls.close();
    for (const connection of [...this.#tcp.connections]) connection.close();
    this.#shared.forwarder?.close();
  }

  #newVersion(): void {
    this.#shared.cache.zonesVersion = ++this.#version;
  }

  /** Each zone counts what is answered from it in its slot; what is cached counts anew from here on. */
  #applySlots(slots: Readonly<Record<string, number>>): void {
    this.#slots = byKey(slots);
    for (const key of this.#given) {
      const zone = this.#zones.get(key);
      if (zone !== undefined) zone.slot = this.#slots.get(key) ?? OTHER_ZONES;
    }
  }

  #applyForward(forward: ForwardConfig | undefined, slots: Readonly<Record<string, number>>): void {
    const { reactor, clock, random, log, counters } = this.#context;
    const size = forward?.cache.sizeBytes ?? ZONE_CACHE_BYTES;
    const wanted = WireCache.capacityFor(size);
    if (wanted !== this.#shared.cache.capacity) this.#shared.cache = new WireCache(size, random);
    this.#shared.cache.serveStaleSeconds = forward?.cache.serveStaleSeconds ?? 0;
    this.#shared.cache.prefetches = forward?.cache.prefetch ?? false;
    this.#newVersion();
    const { forwarder } = this.#shared;
    if (forward === undefined) {
      this.#shared.forwarder = undefined;
      forwarder?.close();
    } else if (forwarder !== undefined) {
      forwarder.apply(forward, slots);
    } else {
      const context: ForwarderContext = {
        reactor,
        clock,
        random,
        log,
        counters,
        newCookie: () => this.#shared.ownCookies.make(),
        plan: (question, key) => this.#dns64.plan(question, key),
        accepts: (answer) => this.#rebind.accepts(answer, this.#dns64.prefixes),
        settled: (question, key, answer, error) => this.#responder.settled(question, key, answer, error),
      };
      this.#shared.forwarder = new Forwarder(context, forward, slots);
    }
  }

  /** A forwarder answers some names itself; zones we were given take their place. */
  #applyLocalZones(forward: ForwardConfig | undefined): void {
    for (const key of this.#local.keys()) if (!this.#given.has(key)) this.#zones.delete(key);
    const synthesizes = this.#dns64.status.mode === 'synthesize';
    const data =
      forward === undefined
        ? []
        : [...localZones(forward), ...(synthesizes ? ipv4onlyZones(this.#dns64.prefixes) : [])];
    this.#local = new Map(data.map((each) => [nameKey(each.name), new Zone(each)]));
    for (const [key, zone] of this.#local) if (!this.#given.has(key)) this.#zones.set(zone);
    this.#newVersion();
  }
}

/** The values by the keys of the zones' names. */
function byKey<T>(values: Readonly<Record<string, T>>): Map<NameKey, T> {
  return new Map(Object.entries(values).map(([name, value]) => [nameKey(nameFromText(name)), value]));
}
