/** One client connection from accept to close: choose a member, connect, relay, and say at the end how it went. */
import { cidrContains } from '../core/address.ts';
import type { CounterStripe } from '../core/counters.ts';
import { EAGAIN, ECONNREFUSED, EINPROGRESS, ETIMEDOUT } from '../linux/constants.ts';
import { errnoName, SystemError } from '../linux/errors.ts';
import { closeFd } from '../linux/libc.ts';
import { EPOLLERR, EPOLLHUP, EPOLLOUT, type Reactor } from '../linux/reactor.ts';
import {
  connectTcp,
  localAddress,
  openTcp,
  peek,
  receive,
  SockaddrSlot,
  setKeepalive,
  socketError,
} from '../linux/tcp.ts';
import type { Backend, Member, Waiting } from './backend.ts';
import type { ProxyTimeouts } from './config.ts';
import { ListenerCounter, listenerCounterBase, listenerGaugeBase, MemberCounter, ProxyGauge } from './counters.ts';
import { headerRoom, Relay, type RelayIo, type RelayOwner, relayEvents } from './relay.ts';
import type { ListenerSnapshot } from './snapshot.ts';
import { spanAddress, spanBytes, spanEndpoint, spanOfAddress, spanOfSockaddr } from './span.ts';
import { closeBy, Ended, type Termination } from './termination.ts';
import { Timed, type TimerWheel } from './timers.ts';
import { type AddressSpan, writeV1, writeV2 } from './wire/header.ts';
import { maxV2Bytes, parseProxyHeader } from './wire/parse.ts';

/** What sessions need of the engine. */
export interface SessionHost {
  readonly reactor: Reactor;
  readonly wheel: TimerWheel;
  readonly counters: CounterStripe;
  readonly io: RelayIo;
  readonly timeouts: ProxyTimeouts;
  /** Monotonic milliseconds. */
  now(): number;
  /** Uniform in [0, 1). */
  fraction(): number;
  backend(name: string): Backend | undefined;
  /** Why the client may not come in, if so. */
  refusal(listener: ListenerSnapshot, client: AddressSpan): Termination | undefined;
  onConnectFailed(backend: Backend, member: Member, code: string): void;
  /** The kernel has no descriptor or memory for the session's second socket. */
  onExhausted(listener: ListenerSnapshot, errno: number): void;
  onEnd(session: Session, termination: Termination): void;
}

/** What the admin API shows of a session. */
export interface SessionInfo {
  readonly id: number;
  readonly listener: string;
  readonly client: string;
  readonly pool: string;
  readonly member: string | undefined;
  readonly state: SessionState;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly ageMs: number;
}

export type SessionState = 'header' | 'waiting' | 'connecting' | 'relaying' | 'ended';

/** HAProxy's turn-around: how long to wait before members that have just failed are tried again. */
const turnaroundMs = 1000;
/** A waiting session looks for a place this often: places that other threads give back are not announced. */
const queuePollMs = 100;
/** maxAge is spread by this share up and down, so that sessions of one moment do not end in one. */
const maxAgeJitter = 0.1;
const none: readonly Member[] = [];
/** For getsockname; used and read within one call. */
const local = new SockaddrSlot();

export class Session extends Timed implements RelayOwner, Waiting {
  readonly id: number;
  readonly listener: ListenerSnapshot;
  readonly acceptedAt: number;
  /** Place in the engine's list of sessions; the engine's own. */
  index = -1;
  state: SessionState = 'header';
  member: Member | undefined;
  retries = 0;
  connectedAt = 0;
  readonly #host: SessionHost;
  readonly #client: Relay;
  readonly #upstream: Relay;
  readonly #listenerBase: number;
  #source: AddressSpan;
  #destination: AddressSpan | undefined;
  #backend: Backend | undefined;
  #tried: Member[] | undefined;
  #clientWatched = false;
  #queued = false;
  #deadline = 0;
  #lastActive = 0;
  #maxAgeAt = Number.POSITIVE_INFINITY;
  #keepaliveAt = Number.POSITIVE_INFINITY;
  #lastFailure: Termination = Ended.connectFailed;

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
    this.#host = host;
    this.id = id;
    this.listener = listener;
    this.#source = source;
    this.#destination = destination;
    this.acceptedAt = now;
    this.#listenerBase = listenerCounterBase(listener.slot);
    this.#client = new Relay(this, host.io);
    this.#upstream = new Relay(this, host.io);
    this.#client.other = this.#upstream;
    this.#upstream.other = this.#client;
    this.#client.fd = fd;
    this.#client.noDelay = true;
    host.counters.add(this.#listenerBase + ListenerCounter.sessions);
    host.counters.gaugeAdd(listenerGaugeBase(listener.slot), 1);
  }

  get relaying(): boolean {
    return this.state === 'relaying';
  }

  get info(): SessionInfo {
    return {
      id: this.id,
      listener: this.listener.name,
      client: spanEndpoint(this.#source),
      pool: this.listener.pool,
      member: this.member?.name,
      state: this.state,
      bytesIn: this.#client.bytes,
      bytesOut: this.#upstream.bytes,
      ageMs: Math.round(this.#host.now() - this.acceptedAt),
    };
  }

  /** Admits the client, then reads its PROXY header or goes straight for a member. */
  start(): void {
    if (!this.listener.acceptProxy) {
      this.#admit();
      return;
    }
    const peer = spanBytes(this.#source);
    if (!this.listener.trusted.some((cidr) => cidrContains(cidr, peer))) {
      this.end(Ended.denied);
      return;
    }
    this.#deadline = this.acceptedAt + this.#host.timeouts.proxyHeaderMs;
    this.#host.wheel.set(this, this.#deadline);
    if (this.#watchClient()) this.#readHeader();
  }

  /** Called by the backend when a member may have a place. */
  proceed(): void {
    if (this.state === 'waiting' && this.#queued) this.#dispatch();
  }

  /** The member went down by its health check. */
  memberDown(): void {
    if (this.state === 'connecting') this.#connectFailed(this.#backend!, this.member!, ECONNREFUSED);
    else if (this.state === 'relaying' && this.#backend!.settings.onMarkedDown === 'close') this.end(Ended.memberDown);
  }

  /** Closes both connections and accounts for the session. Idempotent. */
  end(termination: Termination): void {
    if (this.state === 'ended') return;
    this.#closeSockets(termination);
    this.state = 'ended';
    const { counters, wheel } = this.#host;
    wheel.clear(this);
    this.#leaveQueue();
    if (termination.counter !== undefined) counters.add(this.#listenerBase + termination.counter);
    if (this.#client.bytes === 0 && termination.counter !== ListenerCounter.denied) {
      counters.add(this.#listenerBase + ListenerCounter.silent);
    }
    counters.gaugeAdd(listenerGaugeBase(this.listener.slot), -1);
    counters.gaugeAdd(ProxyGauge.sessions, -1);
    const { member } = this;
    if (member !== undefined) {
      if (termination === Ended.memberAborted) counters.add(member.counterBase + MemberCounter.resets);
      this.#backend!.vacate(member);
    }
    this.#host.onEnd(this, termination);
  }

  // --- before a member is connected ---

  onEarlyEvents(side: Relay, events: number): void {
    if (side === this.#upstream) {
      if (this.state === 'connecting') this.#onConnectEvents(events);
      return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) this.end(Ended.clientAbortedEarly);
    else if (this.state === 'header') this.#readHeader();
  }

  #readHeader(): void {
    const { bytes, address } = this.#host.io.memory;
    const fd = this.#client.fd;
    // Left in the socket until it is whole, so that the client's own bytes stay there for the member.
    const count = peek(fd, address, maxV2Bytes);
    if (count === -EAGAIN) return;
    if (count <= 0) {
      this.end(Ended.clientAbortedEarly);
      return;
    }
    const header = parseProxyHeader(bytes.subarray(0, count));
    if (header.kind === 'incomplete') return;
    if (header.kind === 'invalid') {
      this.end(Ended.badProxyHeader);
      return;
    }
    receive(fd, address, header.bytes);
    if (header.kind === 'proxied') {
      const { source, sourcePort, destination, destinationPort } = header.addresses;
      this.#source = spanOfAddress(source, sourcePort);
      this.#destination = spanOfAddress(destination, destinationPort);
    }
    this.#admit();
  }

  #admit(): void {
    const refusal = this.#host.refusal(this.listener, this.#source);
    if (refusal === undefined) this.#dispatch();
    else this.end(refusal);
  }

  /** Takes a member and connects to it; waits, or ends, when there is none. */
  #dispatch(): void {
    this.#backend ??= this.#host.backend(this.listener.pool);
    const backend = this.#backend;
    if (backend === undefined) {
      this.end(Ended.noMember);
      return;
    }
    if (backend.mustQueue(this)) {
      this.#enqueue(backend, Ended.queueTimeout);
      return;
    }
    const member = backend.take(this.#source, this.#tried ?? none);
    if (typeof member !== 'string') {
      this.#leaveQueue();
      this.#connect(backend, member);
    } else if (member === 'full') this.#enqueue(backend, Ended.queueTimeout);
    else if (member === 'tried') this.#turnAround();
    else if (this.#tried !== undefined) this.end(this.#lastFailure);
    else if (this.listener.whenEmpty === 'wait') this.#enqueue(backend, Ended.noMember);
    else this.end(Ended.noMember);
  }

  /** Every member has been tried: their turn comes again after a moment, in which one may have come back. */
  #turnAround(): void {
    this.#tried = undefined;
    this.state = 'waiting';
    this.#deadline = this.#host.now() + Math.min(turnaroundMs, this.#host.timeouts.connectMs);
    this.#host.wheel.set(this, this.#deadline);
    this.#watchClient();
  }

  #enqueue(backend: Backend, onTimeout: Termination): void {
    this.#lastFailure = onTimeout;
    if (!this.#queued) {
      if (!backend.enqueue(this)) {
        this.end(Ended.queueFull);
        return;
      }
      this.#queued = true;
      this.state = 'waiting';
      this.#deadline = this.#host.now() + backend.settings.queue.timeoutMs;
      if (!this.#watchClient()) return;
    }
    this.#host.wheel.set(this, Math.min(this.#deadline, this.#host.now() + queuePollMs));
  }

  #leaveQueue(): void {
    if (!this.#queued) return;
    this.#queued = false;
    this.#backend!.dequeue(this);
  }

  #connect(backend: Backend, member: Member): void {
    const { wheel, timeouts } = this.#host;
    this.member = member;
    this.state = 'connecting';
    const fd = openTcp(member.family);
    if (fd < 0) {
      this.#noDescriptor(backend, member, -fd);
      return;
    }
    this.#upstream.fd = fd;
    const result = connectTcp(fd, member.sockaddr);
    if (result < 0 && result !== -EINPROGRESS) {
      this.#connectFailed(backend, member, -result);
      return;
    }
    if (!this.#watch(fd, this.#upstream)) return;
    this.#deadline = (this.retries === 0 ? this.acceptedAt : this.#host.now()) + timeouts.connectMs;
    wheel.set(this, this.#deadline);
  }

  /** Rests and tries again: sessions that end meanwhile give descriptors back, and no more are accepted. */
  #noDescriptor(backend: Backend, member: Member, errno: number): void {
    this.#host.onExhausted(this.listener, errno);
    this.member = undefined;
    // Not through the backend: whoever waits there for the place would fare no better.
    member.vacate();
    if (this.retries >= backend.settings.retries) {
      this.end(Ended.noResources);
      return;
    }
    this.retries++;
    this.#turnAround();
  }

  #onConnectEvents(events: number): void {
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) {
      const error = socketError(this.#upstream.fd);
      this.#connectFailed(this.#backend!, this.member!, error > 0 ? error : ECONNREFUSED);
    } else if ((events & EPOLLOUT) !== 0) this.#connected();
  }

  /** The client has lost nothing: not a byte of its was read. Another member is tried at once. */
  #connectFailed(backend: Backend, member: Member, errno: number): void {
    const { counters, reactor } = this.#host;
    const { fd } = this.#upstream;
    reactor.forget(fd);
    closeFd(fd);
    this.#upstream.fd = -1;
    this.member = undefined;
    const timedOut = errno === ETIMEDOUT;
    counters.add(member.counterBase + (timedOut ? MemberCounter.connectTimeouts : MemberCounter.connectErrors));
    this.#host.onConnectFailed(backend, member, errnoName(errno));
    this.#lastFailure = timedOut ? Ended.connectTimeout : Ended.connectFailed;
    // Before the place is given back: whoever gets it by that must not find this session still connecting.
    this.state = 'waiting';
    backend.vacate(member);
    if (this.retries >= backend.settings.retries) {
      this.end(this.#lastFailure);
      return;
    }
    this.retries++;
    counters.add(member.counterBase + MemberCounter.retries);
    if (this.#tried === undefined) this.#tried = [member];
    else this.#tried.push(member);
    this.#dispatch();
  }

  #connected(): void {
    const host = this.#host;
    const { settings } = this.#backend!;
    const now = host.now();
    this.state = 'relaying';
    this.#tried = undefined;
    this.connectedAt = now;
    this.#lastActive = now;
    host.counters.add(this.member!.counterBase + MemberCounter.sessions);
    if (settings.keepaliveMs > 0) this.#keepaliveAt = now + settings.keepaliveMs;
    if (settings.maxAgeMs > 0) {
      this.#maxAgeAt = now + settings.maxAgeMs * (1 - maxAgeJitter + 2 * maxAgeJitter * host.fraction());
    }
    // The wheel still holds the connect deadline: a session that outlives it sets the next one then.
    this.#schedule();
    this.#client.begin(settings.proxyProtocol === 'none' ? 0 : this.#writeHeader(settings.proxyProtocol));
    if (this.relaying) this.#watchClient();
  }

  /** Writes the PROXY header so that it ends where received bytes begin. Returns its length. */
  #writeHeader(version: 'v1' | 'v2'): number {
    const destination = this.#destination ?? this.#localAddress();
    const { bytes } = this.#host.io.memory;
    if (version === 'v1') {
      const length = writeV1(bytes, this.#source, destination, spanAddress);
      bytes.copyWithin(headerRoom - length, 0, length);
      return length;
    }
    const length = this.#source.family === 4 ? 28 : 52;
    return writeV2(bytes.subarray(headerRoom - length), this.#source, destination);
  }

  #localAddress(): AddressSpan {
    // A client that reset has no name any more; its header is of no use to anybody then.
    if (localAddress(this.#client.fd, local) < 0) return this.#source;
    return spanOfSockaddr(Uint8Array.from(local.bytes));
  }

  // --- while relaying ---

  onBytes(side: Relay, count: number): void {
    const { counters, wheel } = this.#host;
    this.#lastActive = wheel.now;
    const out = side === this.#upstream;
    counters.add(this.#listenerBase + (out ? ListenerCounter.bytesOut : ListenerCounter.bytesIn), count);
    counters.add(this.member!.counterBase + (out ? MemberCounter.bytesOut : MemberCounter.bytesIn), count);
  }

  onHalfClosed(_side: Relay): void {
    this.#lastActive = this.#host.wheel.now;
    this.#schedule();
  }

  onFinished(): void {
    if (this.#upstream.broken) this.end(Ended.memberAborted);
    else this.end(this.#client.broken ? Ended.clientAborted : Ended.done);
  }

  onBroken(side: Relay, _errno: number): void {
    this.end(side === this.#client ? Ended.clientAborted : Ended.memberAborted);
  }

  // --- time ---

  onTimer(now: number): void {
    if (this.state === 'ended') return;
    if (this.state === 'relaying') {
      this.#onRelayTimer(now);
    } else if (this.state === 'header') {
      this.end(Ended.proxyHeaderTimeout);
    } else if (this.state === 'connecting') {
      this.#connectFailed(this.#backend!, this.member!, ETIMEDOUT);
    } else if (this.#queued && now >= this.#deadline) {
      this.end(this.#lastFailure);
    } else this.#dispatch();
  }

  #onRelayTimer(now: number): void {
    if (now >= this.#maxAgeAt) {
      this.end(Ended.maxAge);
      return;
    }
    if (now >= this.#keepaliveAt) {
      // Set here and not at the start: only sessions that last need it.
      this.#keepaliveAt = Number.POSITIVE_INFINITY;
      setKeepalive(this.#upstream.fd, this.#backend!.settings.keepaliveMs / 1000);
    }
    const timeout = this.#quietTimeout();
    if (timeout > 0 && now >= this.#lastActive + timeout) {
      if (this.#client.eof) this.end(Ended.clientFinTimeout);
      else this.end(this.#upstream.eof ? Ended.memberFinTimeout : Ended.idleTimeout);
      return;
    }
    this.#schedule();
  }

  /** How long the session may be without a byte, in its present half-closed state; 0 = for ever. */
  #quietTimeout(): number {
    const { idleMs, clientFinMs, serverFinMs } = this.#host.timeouts;
    if (this.#client.eof) return clientFinMs;
    return this.#upstream.eof ? serverFinMs : idleMs;
  }

  /** Sees to it that the wheel looks at the session when its next deadline comes; an earlier look does no harm. */
  #schedule(): void {
    const timeout = this.#quietTimeout();
    const quiet = timeout > 0 ? this.#lastActive + timeout : Number.POSITIVE_INFINITY;
    const next = Math.min(quiet, this.#maxAgeAt, this.#keepaliveAt);
    if (next < Number.POSITIVE_INFINITY && (this.wheelSlot < 0 || next < this.wheelAt))
      this.#host.wheel.set(this, next);
  }

  // --- sockets ---

  /** False when the session ended for it. */
  #watchClient(): boolean {
    if (this.#clientWatched) return true;
    this.#clientWatched = true;
    return this.#watch(this.#client.fd, this.#client);
  }

  #watch(fd: number, side: Relay): boolean {
    try {
      this.#host.reactor.add(fd, relayEvents, side);
      return true;
    } catch (error) {
      // The kernel is out of memory or of watches: this session's bad luck, not the thread's end.
      if (!(error instanceof SystemError)) throw error;
      this.end(Ended.noResources);
      return false;
    }
  }

  #closeSockets(termination: Termination): void {
    for (const side of [this.#client, this.#upstream]) {
      side.release();
      if (side.fd < 0) continue;
      this.#host.reactor.forget(side.fd);
      closeBy(termination, this.listener.whenEmpty, side.fd);
      side.fd = -1;
    }
  }
}
