/** The TCP proxy of one data thread: listeners, pools and sessions, brought in line with each snapshot. */
import { isDeepStrictEqual } from 'node:util';
import type { InetEndpoint } from '../core/address.ts';
import type { Clock } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import type { Logger } from '../core/logger.ts';
import { isEmptySet, networksContain } from '../core/networks.ts';
import type { Random } from '../core/random.ts';
import { errnoName } from '../linux/errors.ts';
import { PipePool } from '../linux/pipes.ts';
import type { Reactor } from '../linux/reactor.ts';
import { SockaddrSlot } from '../linux/tcp.ts';
import { tcpInfo } from '../linux/tcp-info.ts';
import { Backend, type Member } from './backend.ts';
import { ClientAddresses } from './client-addresses.ts';
import type { ProxyTimeouts } from './config.ts';
import { MemberTcp, ProxyCounter, ProxyGauge } from './counters.ts';
import type { SessionHost, SessionInfo } from './host.ts';
import type { Listener, ListenerOwner, ListenerStatus, ListeningSocket } from './listener.ts';
import { ListenerSet, type SocketKeeper } from './listener-set.ts';
import { newQueueTable, Queues } from './queue.ts';
import { RefusalLog } from './refusals.ts';
import { RelayIo } from './relay-io.ts';
import { Session, type SettingsChange } from './session.ts';
import { everySession, listSessions, type SessionQuery } from './session-list.ts';
import { logSession, logSessionStart } from './session-log.ts';
import type { ListenerSnapshot, PoolSnapshot, ProxySnapshot } from './snapshot.ts';
import { newSourceTable, Sources, Verdict } from './sources.ts';
import { spanBytes, unmapSpan } from './span.ts';
import { Ended, type Termination } from './termination.ts';
import { TimerWheel } from './timers.ts';
import type { AddressSpan } from './wire/header.ts';

/** What the control thread is told as it happens. */
export type ProxyEvent =
  | { readonly kind: 'connect-failed'; readonly pool: string; readonly member: string; readonly code: string }
  /** No connect could even begin. */
  | { readonly kind: 'connect-short'; readonly pool: string; readonly member: string; readonly code: string }
  | { readonly kind: 'header-suspected'; readonly pool: string; readonly member: string }
  | { readonly kind: 'listening'; readonly listeners: readonly ListenerStatus[] };

export interface ProxyContext {
  readonly reactor: Reactor;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** The proxy's window, of `proxyCounters` and `proxyGauges` (counters.ts). */
  readonly counters: CounterStripe;
  /** Of all threads, and which is this; an engine alone makes its own. */
  readonly sources?: { readonly table: SharedArrayBuffer; readonly thread: number };
  /** As `sources`. */
  readonly queues?: { readonly table: SharedArrayBuffer; readonly thread: number };
  readonly report: (event: ProxyEvent) => void;
  readonly keeper?: SocketKeeper;
}

/** Pipes of 256 KiB: as many as the 64 MiB that the kernel allows one user hold. */
const pipeLimit = 256;
const pipeBytes = 256 * 1024;
/** How often the log says that descriptors have run out. */
const warnMs = 10_000;
/** A member's failed connects are reported this often at most, and so is its way with PROXY headers. */
const reportMs = 1000;
/** Sessions that lasted so long are all asked how their connection fared, shorter ones of a member this often at most. */
const lastingMs = 1000;
const sampleMs = 100;
/** A TLS alert, record header included (RFC 8446 §5.1, §6). */
const alertBytes = 5 + 2;
const noChange: SettingsChange = { guard: false, maxAge: false };
/** Whoever cannot read a header says so at once. */
const suspiciousMs = 5_000;

export class ProxyEngine implements SessionHost, ListenerOwner {
  readonly reactor: Reactor;
  readonly wheel: TimerWheel;
  readonly counters: CounterStripe;
  readonly io = new RelayIo(new PipePool(pipeLimit, pipeBytes));
  readonly peer = new SockaddrSlot();
  readonly clients = new ClientAddresses();
  readonly instance: string;
  timeouts: ProxyTimeouts = {
    connectMs: 3000,
    attemptDelayMs: 0,
    idleMs: 0,
    tunnelMs: 0,
    clientFinMs: 0,
    serverFinMs: 0,
    proxyHeaderMs: 3000,
    clientHelloMs: 3000,
    hardStopAfterMs: 0,
  };
  readonly #context: ProxyContext;
  readonly #listeners: ListenerSet;
  readonly #sources: Sources;
  readonly #queues: Queues;
  readonly #refusals: RefusalLog;
  readonly #backends = new Map<string, Backend>();
  /** The proxy's, and those of pools. */
  #allTimeouts: readonly (ProxyTimeouts | undefined)[] = [];
  readonly #sessions: Session[] = [];
  #nextId = 1;
  #stopping = false;
  #warnedAt = Number.NEGATIVE_INFINITY;
  readonly #onSessionEnd = new Set<() => void>();

  constructor(context: ProxyContext) {
    this.#context = context;
    this.instance = Buffer.from(context.random.fill(new Uint8Array(4))).toString('hex');
    this.reactor = context.reactor;
    this.counters = context.counters;
    this.wheel = new TimerWheel(context.clock);
    const { table, thread } = context.sources ?? { table: newSourceTable(1, context.random), thread: 0 };
    this.#sources = new Sources(table, thread);
    const queues = context.queues ?? { table: newQueueTable(1), thread: 0 };
    this.#queues = new Queues(queues.table, queues.thread);
    const { clock, log, keeper } = context;
    this.#refusals = new RefusalLog(clock, log);
    this.#listeners = new ListenerSet(
      {
        clock,
        log,
        counters: this.counters,
        ...(keeper === undefined ? {} : { keeper }),
        changed: () => context.report({ kind: 'listening', listeners: this.listening }),
        pool: (name) => this.#backends.get(name)?.settings,
      },
      this,
    );
    this.reactor.onBatchEnd(() => this.io.runCollected());
    this.reactor.onLeisure(() => this.io.runEnds());
  }

  /**
   * Takes over a socket that listens on `endpoint`, from the service manager or an earlier run of ours: the listener bound
   * there uses it from the next `apply` on, so that nobody is refused in between. Threads that share a socket get a
   * duplicate each, as lent. What no listener wanted is closed with the engine.
   */
  adopt(endpoint: InetEndpoint, socket: ListeningSocket): void {
    this.#listeners.adopt(endpoint, socket);
  }

  /** Takes over a socket on `endpoint` that is one too many: who waits in its queue is served with the next `apply`. */
  adoptSpare(endpoint: InetEndpoint, fd: number): void {
    this.#listeners.adoptSpare(endpoint, fd);
  }

  /** Brings listeners, pools and members in line; sessions of what did not change go on. */
  apply(snapshot: ProxySnapshot): void {
    if (this.#stopping) return;
    this.timeouts = snapshot.timeouts;
    const { wentDown, relieved, changes } = this.#applyPools(snapshot);
    this.#listeners.apply(snapshot.listeners, snapshot.maxConnections);
    if (relieved.size > 0) for (const session of [...this.#sessions]) session.membersRelieved(relieved);
    if (wentDown.size > 0) for (const session of [...this.#sessions]) session.membersDown(wentDown);
    for (const backend of this.#backends.values()) backend.wake();
    // Most snapshots tell of members alone: no session's settings are others then.
    const timeouts = [snapshot.timeouts, ...snapshot.pools.map((pool) => pool.timeouts)];
    const sameTimeouts = isDeepStrictEqual(timeouts, this.#allTimeouts);
    if (sameTimeouts && changes.size === 0) return;
    this.#allTimeouts = timeouts;
    for (const session of this.#sessions) {
      const change = changes.get(session.backend);
      if (!sameTimeouts || change !== undefined) session.settingsChanged(change ?? noChange);
    }
  }

  /** Each bind of the configuration, with why it is not served if so. */
  get listening(): ListenerStatus[] {
    return this.#listeners.status;
  }

  /** Live sessions, the oldest first. */
  sessions(query: SessionQuery = everySession): SessionInfo[] {
    return listSessions(this.#sessions, query);
  }

  /** Closes the sessions of one member, for a removal that does not wait for them. Returns how many there were. */
  closeSessionsOf(pool: string, member: string): number {
    const inPool = this.#sessions.filter((session) => session.pool === pool);
    return inPool.filter((session) => session.memberRemoved(member)).length;
  }

  /** Closes one session. False when there is none of that id. */
  closeSession(id: string): boolean {
    const own = id.startsWith(`${this.instance}-`);
    const session = own ? this.#sessions.find((each) => each.uniqueId === id) : undefined;
    session?.end(Ended.killed);
    return session !== undefined;
  }

  /** Resolves when the sessions of this moment have ended, or after `graceMs`; new ones are accepted meanwhile. */
  async settle(graceMs: number): Promise<void> {
    const before = this.#nextId;
    await this.#ended(graceMs, () => this.#sessions.every(({ id }) => id >= before));
  }

  /**
   * Accepts no more; sessions may finish until `graceMs` is over and are closed then.
   * @param handOver whether listening sockets stay with their keeper, for a process that follows at once
   */
  async stop(graceMs: number, handOver = false): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      this.#listeners.stop(handOver);
    }
    await this.#ended(graceMs, () => this.#sessions.length === 0);
    this.close();
  }

  /** Closes every descriptor now. */
  close(): void {
    this.#stopping = true;
    this.#listeners.close();
    for (const session of [...this.#sessions]) session.end(Ended.stopped);
    this.#queues.close();
    this.#refusals.close();
    this.wheel.close();
    this.io.pipes.close();
  }

  /** Resolves when `holds` does, asked whenever a session ends, or after `graceMs`. */
  async #ended(graceMs: number, holds: () => boolean): Promise<void> {
    if (graceMs <= 0 || holds()) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        timer.cancel();
        this.#onSessionEnd.delete(look);
        resolve();
      };
      const look = () => {
        if (holds()) done();
      };
      const timer = this.#context.clock.after(graceMs, done);
      this.#onSessionEnd.add(look);
    });
  }

  // --- snapshots ---

  #applyPools(snapshot: ProxySnapshot) {
    const wentDown = new Set<Member>();
    const relieved = new Set<Member>();
    const changes = new Map<Backend | undefined, SettingsChange>();
    const wanted = new Set(snapshot.pools.map((pool) => pool.name));
    for (const name of this.#backends.keys()) if (!wanted.has(name)) this.#backends.delete(name);
    for (const pool of snapshot.pools) {
      const backend = this.#backends.get(pool.name);
      if (backend?.settings.slot !== pool.slot) {
        const { random } = this.#context;
        const shared = { counters: this.counters, queues: this.#queues, random };
        this.#backends.set(pool.name, new Backend(pool, shared, () => this.now()));
        continue;
      }
      const change = changeOf(backend.settings, pool);
      if (change.guard || change.maxAge) changes.set(backend, change);
      const turned = backend.apply(pool);
      for (const member of turned.wentDown) wentDown.add(member);
      for (const member of turned.relieved) relieved.add(member);
    }
    return { wentDown, relieved, changes };
  }

  // --- what listeners ask ---

  mayAccept(listener: Listener): boolean {
    return this.#listeners.mayAccept(listener);
  }

  onAccepted(listener: Listener, fd: number, source: AddressSpan): void {
    const { clock } = this.#context;
    this.counters.gaugeAdd(ProxyGauge.sessions, 1);
    const session = new Session(this, this.#nextId++, listener.config, fd, source, listener.destination, clock.now());
    session.index = this.#sessions.length;
    this.#sessions.push(session);
    session.start();
  }

  onAcceptError(listener: Listener, errno: number, exhausted: boolean): void {
    this.counters.add(ProxyCounter.acceptErrors);
    if (exhausted) this.onExhausted(listener.config, errno);
  }

  // --- what sessions ask ---

  now(): number {
    return this.#context.clock.now();
  }

  fraction(): number {
    return this.#context.random.fraction();
  }

  backend(name: string): Backend | undefined {
    return this.#backends.get(name);
  }

  admit(session: Session): Termination | undefined {
    const { listener } = session;
    const client = unmapSpan(session.source);
    const allowsAll = isEmptySet(listener.allow);
    if (!allowsAll || !isEmptySet(listener.deny)) {
      const bytes = spanBytes(client);
      if (networksContain(listener.deny, bytes)) return Ended.denied;
      if (!allowsAll && !networksContain(listener.allow, bytes)) return Ended.denied;
    }
    const { rate, maxPerSource } = listener;
    if (rate.perSource === 0 && maxPerSource === 0) return undefined;
    const limits = { perWindow: rate.perSource, windowMs: rate.windowMs, atOnce: maxPerSource };
    session.sourcePlace = this.#sources.enter(listener.slot, client, limits, this.#context.clock.wall());
    if (session.sourcePlace === Verdict.tooFast) return Ended.rateLimited;
    return session.sourcePlace === Verdict.tooMany ? Ended.tooManySessions : undefined;
  }

  onConnectFailed(backend: Backend, member: Member, code: string): void {
    const now = this.now();
    if (now - member.reportedAt < reportMs) return;
    member.reportedAt = now;
    this.#context.report({ kind: 'connect-failed', pool: backend.name, member: member.name, code });
  }

  onConnectShort(backend: Backend, member: Member, code: string): void {
    const now = this.now();
    if (now - member.shortAt < reportMs) return;
    member.shortAt = now;
    this.#context.report({ kind: 'connect-short', pool: backend.name, member: member.name, code });
  }

  onExhausted(listener: ListenerSnapshot, errno: number): void {
    if (this.now() - this.#warnedAt >= warnMs) {
      this.#warnedAt = this.now();
      const fields = { listener: listener.name, code: errnoName(errno) };
      this.#context.log.warn(fields, 'out of descriptors or memory: accepting rests');
    }
    this.#listeners.pause(ProxyCounter.acceptPauses);
  }

  onBegin(session: Session): void {
    logSessionStart(this.#context.log, session);
  }

  onClosing({ member, connectedAt, upstream }: Session): void {
    const now = this.now();
    if (member === undefined || (now - connectedAt < lastingMs && now - member.sampledAt < sampleMs)) return;
    member.sampledAt = now;
    const info = tcpInfo(upstream.fd);
    if (info === undefined || info.rttMicros === 0) return;
    const { counters } = this;
    counters.add(member.counterBase + MemberTcp.samples);
    counters.add(member.counterBase + MemberTcp.rttSeconds, info.rttMicros / 1e6);
    counters.add(member.counterBase + MemberTcp.segments, info.segments);
    counters.add(member.counterBase + MemberTcp.retransmits, info.retransmits);
    counters.add(member.counterBase + MemberTcp.lost, info.lost);
  }

  onEnd(session: Session, termination: Termination): void {
    const last = this.#sessions.pop()!;
    if (last !== session) {
      this.#sessions[session.index] = last;
      last.index = session.index;
    }
    this.#sources.leave(session.sourcePlace);
    if (session.connectedAt > 0 && session.upstream.bytes <= alertBytes) this.#suspectHeader(session);
    const { listener } = session;
    if (listener.log && this.#refusals.admits(listener.name, termination)) {
      logSession(this.#context.log, session, termination, this.now());
    }
    this.#listeners.onSessionEnd();
    for (const look of this.#onSessionEnd) look();
  }

  /** A member that got a PROXY header and bytes of the client's, and answered nothing or an alert: can it read the header? */
  #suspectHeader({ backend, member, client, connectedAt }: Session): void {
    if (backend?.settings.proxyProtocol === 'none' || member === undefined || client.bytes === 0) return;
    const now = this.now();
    if (now - connectedAt > suspiciousMs || now - member.suspectedAt < reportMs) return;
    member.suspectedAt = now;
    this.#context.report({ kind: 'header-suspected', pool: backend!.name, member: member.name });
  }
}

/** What live sessions have taken over of a pool's settings, and is another now. */
function changeOf(before: PoolSnapshot, after: PoolSnapshot): SettingsChange {
  return {
    guard: before.keepaliveMs !== after.keepaliveMs || before.userTimeoutMs !== after.userTimeoutMs,
    maxAge: before.maxAgeMs !== after.maxAgeMs,
  };
}
