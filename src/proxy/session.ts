/** One client connection from accept to close: what it says first, a member for it, the relay, and how it went at the end. */
import { SystemError } from '../linux/errors.ts';
import { EPOLLERR, EPOLLHUP } from '../linux/reactor.ts';
import { peek, setKeepalive, setUserTimeout } from '../linux/tcp.ts';
import type { Backend, Member } from './backend.ts';
import type { Caller } from './caller.ts';
import type { ProxyTimeouts } from './config.ts';
import { ListenerCounter, listenerCounterBase, listenerGaugeBase, MemberCounter, ProxyGauge } from './counters.ts';
import { Dial } from './dial.ts';
import type { SessionHost, SessionState } from './host.ts';
import { type Introduced, writeIntroduction } from './introduction.ts';
import { type Newcomer, type PassedOn, Preface } from './preface.ts';
import { isTunnel, quietEnd, quietTimeout, untaken } from './quiet.ts';
import { Relay, type RelayOwner, relayEvents } from './relay.ts';
import { headerRoom } from './relay-io.ts';
import type { ListenerSnapshot } from './snapshot.ts';
import { closeBy, Ended, type Termination } from './termination.ts';
import { Timed } from './timers.ts';
import type { AddressSpan } from './wire/header.ts';

/** maxAge is spread by this share up and down, so that sessions of one moment do not end in one. */
const maxAgeJitter = 0.1;
/** While a peer takes nothing it is looked at so often whether it takes any. */
const looksPerTimeout = 4;
/** After a reload sessions take the new guard over within this time, not all at once. */
const guardSpreadMs = 1000;
const noProtocols: readonly string[] = [];

/** What a reload changed of a pool's settings, of those that live sessions have taken over. */
export interface SettingsChange {
  /** `keepalive` or `userTimeout`. */
  readonly guard: boolean;
  readonly maxAge: boolean;
}

export class Session extends Timed implements Caller, Newcomer, Introduced, RelayOwner {
  readonly id: number;
  readonly host: SessionHost;
  readonly listener: ListenerSnapshot;
  readonly client: Relay;
  readonly upstream: Relay;
  readonly acceptedAt: number;
  /** Place in the engine's list of sessions; the engine's own. */
  index = -1;
  state: SessionState = 'waiting';
  pool: string;
  backend: Backend | undefined;
  member: Member | undefined;
  retries = 0;
  queuedMs = 0;
  queuedBehind = 0;
  /** When the client had said all it had to before a member was sought. */
  readyAt: number;
  connectedAt = 0;
  source: AddressSpan;
  /** The address the client connected to, once it is known. */
  destination: AddressSpan | undefined;
  passedOn: PassedOn | undefined;
  /** Of the client's TLS hello, where the listener has routes. */
  serverName: string | undefined;
  /** What it offers by ALPN. */
  protocols: readonly string[] = noProtocols;
  /** Among its client's sessions; the engine's own. */
  sourcePlace = -1;
  readonly #listenerBase: number;
  /** Each is there only in its part of the session's life: a relaying session has neither. */
  #preface: Preface | undefined;
  #dial: Dial | undefined;
  #clientWatched = false;
  #lastActive = 0;
  /** Bytes that peers have not taken, when that was last looked at. */
  #untaken = 0;
  #maxAgeAt = Number.POSITIVE_INFINITY;
  #guardAt = Number.POSITIVE_INFINITY;

  /**
   * @param fd of the accepted connection: the session's from now on
   * @param source the peer of the accepted connection
   * @param destination the address it was accepted on, when the listener's bind address says it
   */
  constructor(
    host: SessionHost,
    id: number,
    listener: ListenerSnapshot,
    fd: number,
    source: AddressSpan,
    destination: AddressSpan | undefined,
    now: number,
  ) {
    super();
    this.host = host;
    this.id = id;
    this.listener = listener;
    this.pool = listener.pool;
    this.source = source;
    this.destination = destination;
    this.acceptedAt = now;
    this.readyAt = now;
    this.#listenerBase = listenerCounterBase(listener.slot);
    this.client = new Relay(this, host.io);
    this.upstream = new Relay(this, host.io);
    this.client.other = this.upstream;
    this.upstream.other = this.client;
    this.client.fd = fd;
    this.client.noDelay = true;
    host.counters.add(this.#listenerBase + ListenerCounter.sessions);
    host.counters.gaugeAdd(listenerGaugeBase(listener.slot), 1);
  }

  get relaying(): boolean {
    return this.state === 'relaying';
  }

  get uniqueId(): string {
    return `${this.host.instance}-${this.id}`;
  }

  /** Its member, or else the one whose connect failed last. */
  get memberName(): string | undefined {
    return (this.member ?? this.#dial?.lastTried)?.name;
  }

  /** Reads what the client must say first, if it must, or admits it and goes straight for a member. */
  start(): void {
    if (this.listener.acceptProxy || this.listener.routes.length > 0) {
      this.#preface = new Preface(this);
      this.#preface.start();
      return;
    }
    const refusal = this.refusal();
    if (refusal === undefined) this.#dispatch(false);
    else this.end(refusal);
  }

  refusal(): Termination | undefined {
    return this.host.admit(this);
  }

  onPrefaceRead(): void {
    this.#preface = undefined;
    this.readyAt = this.host.now();
    this.#dispatch(true);
  }

  /** Timeouts may be others than when the session was last looked at, and so may what `change` names: they hold from now on. */
  settingsChanged(change: SettingsChange): void {
    if (this.state !== 'relaying') return;
    const now = this.host.now();
    if (change.guard) this.#guardAt = now + guardSpreadMs * this.host.fraction();
    if (change.maxAge) this.#maxAgeAt = this.#ageEnd(now);
    // While nothing was waited for the wheel's time stood still.
    if (this.wheelSlot < 0) this.#lastActive = now;
    this.#schedule();
  }

  /** Members went down by their health checks or the operator's word. */
  membersDown(gone: ReadonlySet<Member>): void {
    this.#dial?.forget((member) => gone.has(member));
    if (this.member === undefined || !gone.has(this.member)) return;
    if (this.state === 'connecting') this.#dial!.memberDown();
    else if (this.state === 'relaying' && this.backend!.settings.onMarkedDown === 'close') this.end(Ended.memberDown);
  }

  /** Members are backups of one that came up. */
  membersRelieved(backups: ReadonlySet<Member>): void {
    if (this.state === 'relaying' && backups.has(this.member!)) this.end(Ended.memberUp);
  }

  /** A member of its pool was removed by force: ends if it is the session's. Returns whether it was. */
  memberRemoved(name: string): boolean {
    this.#dial?.forget((member) => member.name === name);
    if (this.member?.name !== name) return false;
    this.end(Ended.killed);
    return true;
  }

  /** Closes both connections and accounts for the session. Idempotent. */
  end(termination: Termination): void {
    if (this.state === 'ended') return;
    if (this.connectedAt > 0) this.host.onClosing(this);
    this.#closeSockets(termination);
    this.state = 'ended';
    const { counters, wheel } = this.host;
    wheel.clear(this);
    this.#dial?.abandon();
    if (termination.counter !== undefined) counters.add(this.#listenerBase + termination.counter);
    if (this.client.bytes === 0 && termination.counter !== ListenerCounter.denied) {
      counters.add(this.#listenerBase + ListenerCounter.silent);
    }
    // Its line in the log counts the session among those there are.
    this.host.onEnd(this, termination);
    counters.gaugeAdd(listenerGaugeBase(this.listener.slot), -1);
    counters.gaugeAdd(ProxyGauge.sessions, -1);
    const { member } = this;
    if (member !== undefined) {
      if (termination === Ended.memberAborted) counters.add(member.counterBase + MemberCounter.resets);
      this.backend!.vacate(member);
    }
  }

  // --- before a member is connected ---

  onEarlyEvents(side: Relay, events: number): void {
    if (side === this.upstream) {
      if (this.state === 'connecting') this.#dial!.onConnectEvents(events);
      return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) this.end(this.#abortedEarly);
    else if (this.#preface !== undefined) this.#preface.read();
    // Its end, and not a byte before it: nobody waits for a member any more (HAProxy holds it so, too).
    else if (side.hangUp && peek(side.fd, this.host.io.memory.address, 1) === 0) this.end(this.#abortedEarly);
  }

  get #abortedEarly(): Termination {
    if (this.#dial === undefined) return Ended.clientAbortedPreface;
    return this.#dial.queued ? Ended.clientAbortedQueue : Ended.clientAbortedConnect;
  }

  #dispatch(late: boolean): void {
    this.#dial = new Dial(this, late);
    this.#dial.run();
  }

  onConnected(backend: Backend): void {
    const { host } = this;
    const { settings } = backend;
    const now = host.now();
    this.state = 'relaying';
    this.#dial = undefined;
    this.connectedAt = now;
    this.#lastActive = now;
    host.counters.add(this.member!.counterBase + MemberCounter.sessions);
    const guardMs = settings.keepaliveMs > 0 ? settings.keepaliveMs : settings.userTimeoutMs;
    if (guardMs > 0) this.#guardAt = now + guardMs;
    if (settings.maxAgeMs > 0) this.#maxAgeAt = this.#ageEnd(now);
    // The connect timeout stays where it is on the wheel as an earlier deadline: a session that outlives it sets the next one
    // then.
    this.#schedule();
    this.client.begin(
      settings.proxyProtocol === 'none' ? 0 : writeIntroduction(this, settings, host.io.memory.bytes, headerRoom),
    );
    if (this.relaying) this.watchClient();
    if (this.listener.logStart && this.listener.log) host.onBegin(this);
  }

  // --- while relaying ---

  onBytes(side: Relay, count: number): void {
    const { counters, wheel } = this.host;
    this.#lastActive = wheel.now;
    const out = side === this.upstream;
    counters.add(this.#listenerBase + (out ? ListenerCounter.bytesOut : ListenerCounter.bytesIn), count);
    counters.add(this.member!.counterBase + (out ? MemberCounter.bytesOut : MemberCounter.bytesIn), count);
  }

  onHalfClosed(_side: Relay): void {
    // The wheel's time stands still while nothing is waited for.
    this.#lastActive = this.wheelSlot < 0 ? this.host.now() : this.host.wheel.now;
    this.#schedule();
  }

  onFinished(): void {
    if (this.upstream.broken) this.end(Ended.memberAborted);
    else this.end(this.client.broken ? Ended.clientAborted : Ended.done);
  }

  onBroken(side: Relay, _errno: number): void {
    this.end(side === this.client ? Ended.clientAborted : Ended.memberAborted);
  }

  // --- time ---

  onTimer(now: number): void {
    if (this.state === 'ended') return;
    if (this.state === 'relaying') this.#onRelayTimer(now);
    else if (this.#preface !== undefined) this.#preface.onTimer();
    else this.#dial?.onTimer(now);
  }

  #onRelayTimer(now: number): void {
    if (now >= this.#maxAgeAt) {
      this.end(Ended.maxAge);
      return;
    }
    if (now >= this.#guardAt) {
      // Set here and not at the start: only sessions that last need it. What the client's inherited was the guard of the
      // listener's own pool, at that time.
      this.#guardAt = Number.POSITIVE_INFINITY;
      const { keepaliveMs, userTimeoutMs } = this.backend!.settings;
      for (const { fd } of [this.client, this.upstream]) {
        setKeepalive(fd, keepaliveMs / 1000);
        setUserTimeout(fd, userTimeoutMs);
      }
    }
    const { client, upstream } = this;
    const before = this.#untaken;
    this.#untaken = untaken(client, upstream);
    // What a slow peer takes is no silence, though nothing is read meanwhile.
    if (before > 0 && this.#untaken > 0 && before !== this.#untaken) this.#lastActive = now;
    const firstLook = before === 0 && this.#untaken > 0;
    const timeout = quietTimeout(client, upstream, this.#timeouts);
    if (timeout > 0 && now >= this.#lastActive + timeout && !firstLook) this.end(quietEnd(client, upstream));
    else this.#schedule();
  }

  /** When the session will be as old as it may. Those a reload finds too old already are spread as well. */
  #ageEnd(now: number): number {
    const { maxAgeMs } = this.backend!.settings;
    if (maxAgeMs === 0) return Number.POSITIVE_INFINITY;
    const spread = 2 * maxAgeJitter * maxAgeMs * this.host.fraction();
    return Math.max(this.connectedAt + maxAgeMs * (1 - maxAgeJitter), now) + spread;
  }

  get #timeouts(): ProxyTimeouts {
    return this.backend!.settings.timeouts ?? this.host.timeouts;
  }

  /** Sees to it that the wheel looks at the session when its next deadline comes; an earlier look does no harm. */
  #schedule(): void {
    const { client, upstream } = this;
    const timeout = quietTimeout(client, upstream, this.#timeouts);
    let quiet = timeout > 0 ? this.#lastActive + timeout : Number.POSITIVE_INFINITY;
    if (timeout > 0 && this.#untaken > 0) quiet = this.host.wheel.now + timeout / looksPerTimeout;
    const { tunnelMs } = this.#timeouts;
    // It may become a tunnel at any time from now on, which nobody tells the wheel.
    if (tunnelMs > 0 && !isTunnel(client, upstream)) quiet = Math.min(quiet, this.host.wheel.now + tunnelMs);
    const next = Math.min(quiet, this.#maxAgeAt, this.#guardAt);
    if (next < Number.POSITIVE_INFINITY && (this.wheelSlot < 0 || next < this.wheelAt)) this.host.wheel.set(this, next);
  }

  // --- sockets ---

  watchClient(): boolean {
    if (this.#clientWatched) return true;
    this.#clientWatched = true;
    return this.#watch(this.client.fd, this.client);
  }

  watchUpstream(): boolean {
    return this.#watch(this.upstream.fd, this.upstream);
  }

  /** False when the session ended for it. */
  #watch(fd: number, side: Relay): boolean {
    try {
      this.host.reactor.add(fd, relayEvents, side);
      return true;
    } catch (error) {
      // The kernel is out of memory or of watches: this session's bad luck, not the thread's end.
      if (!(error instanceof SystemError)) throw error;
      this.end(Ended.noResources);
      return false;
    }
  }

  #closeSockets(termination: Termination): void {
    const { client, upstream } = this;
    const lost = upstream.blocked;
    const unsent = client.blocked;
    this.#closeSide(client, termination, lost);
    this.#closeSide(upstream, termination, unsent);
  }

  #closeSide(side: Relay, termination: Termination, lost: boolean): void {
    side.release();
    if (side.fd < 0) return;
    this.host.reactor.forget(side.fd);
    closeBy(termination, this.listener, side.fd, lost);
    side.fd = -1;
  }
}
