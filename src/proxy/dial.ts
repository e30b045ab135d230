/**
 * How a session comes to a member: one is chosen by the pool's balancing, waited for when all are busy, connected to, and
 * another tried when that fails. Not a byte of the client's is read before, so a failed try costs it nothing but time.
 */
import { ECONNREFUSED, EINPROGRESS, ETIMEDOUT } from '../linux/constants.ts';
import { errnoName } from '../linux/errors.ts';
import { closeFd } from '../linux/libc.ts';
import { EPOLLERR, EPOLLHUP, EPOLLOUT } from '../linux/reactor.ts';
import { connectTcp, openTcp, socketError } from '../linux/tcp.ts';
import type { Backend, Member, Waiting } from './backend.ts';
import { MemberCounter } from './counters.ts';
import type { SessionHost, SessionState } from './host.ts';
import type { Relay } from './relay.ts';
import type { ListenerSnapshot } from './snapshot.ts';
import { Ended, type Termination } from './termination.ts';
import type { Timed } from './timers.ts';
import type { AddressSpan } from './wire/header.ts';

/** HAProxy's turn-around: how long to wait before a lone member that has just failed is tried again. */
const turnaroundMs = 1000;
/** A waiting session looks for a place this often: places that other threads give back are not announced. */
const queuePollMs = 100;
/** A connect that takes longer than this has its client watched, so that one that gives up is noticed. */
const patienceMs = 50;
const none: readonly Member[] = [];

/** The session on whose behalf a member is sought. */
export interface Caller extends Timed {
  readonly host: SessionHost;
  readonly listener: ListenerSnapshot;
  readonly acceptedAt: number;
  /** Of the pool that serves the session. */
  readonly pool: string;
  readonly source: AddressSpan;
  readonly upstream: Relay;
  state: SessionState;
  /** The member whose place the session holds. */
  member: Member | undefined;
  backend: Backend | undefined;
  retries: number;
  /** Milliseconds spent waiting for a place. */
  queuedMs: number;
  /** Sessions that waited before this one when it began to wait. */
  queuedBehind: number;
  /** Both return false when the session ended for it. */
  watchClient(): boolean;
  watchUpstream(): boolean;
  onConnected(backend: Backend): void;
  end(termination: Termination): void;
}

export class Dial implements Waiting {
  readonly #caller: Caller;
  #tried: Member[] | undefined;
  #queued = false;
  #queuedAt = 0;
  /** Time has passed since the client was accepted: for its header, in a queue, for other members. */
  #late: boolean;
  #deadline = 0;
  #lastFailure: Termination = Ended.connectFailed;

  /** @param late whether the client was accepted a while ago */
  constructor(caller: Caller, late: boolean) {
    this.#caller = caller;
    this.#late = late;
  }

  /** Takes a member and connects to it; waits, or ends the session, when there is none. */
  run(): void {
    const caller = this.#caller;
    caller.backend ??= caller.host.backend(caller.pool);
    const { backend } = caller;
    if (backend === undefined) {
      caller.end(Ended.noMember);
      return;
    }
    if (backend.mustQueue(this)) {
      this.#enqueue(backend, Ended.queueTimeout);
      return;
    }
    const member = backend.take(caller.source, this.#tried ?? none);
    if (typeof member !== 'string') {
      this.leaveQueue();
      this.#connect(backend, member);
    } else if (member === 'full') this.#enqueue(backend, Ended.queueTimeout);
    else if (member === 'tried') this.#allTried();
    else if (this.#tried !== undefined) caller.end(this.#lastFailure);
    else if (caller.listener.whenEmpty === 'wait') this.#enqueue(backend, Ended.noMember);
    else caller.end(Ended.noMember);
  }

  /** Called by the backend when a member may have a place. */
  proceed(): void {
    if (this.#caller.state === 'waiting' && this.#queued) this.run();
  }

  /** The member being connected to went down: the next is tried, and the connect does not count as the member's failure. */
  memberDown(): void {
    const { member, backend } = this.#caller;
    this.#lastFailure = Ended.connectFailed;
    this.#tryAnother(backend!, member!);
  }

  onConnectEvents(events: number): void {
    const caller = this.#caller;
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) {
      const error = socketError(caller.upstream.fd);
      this.#connectFailed(caller.backend!, caller.member!, error > 0 ? error : ECONNREFUSED);
    } else if ((events & EPOLLOUT) !== 0) caller.onConnected(caller.backend!);
  }

  onTimer(now: number): void {
    const caller = this.#caller;
    if (caller.state === 'connecting') {
      if (now >= this.#deadline) this.#connectFailed(caller.backend!, caller.member!, ETIMEDOUT);
      else if (caller.watchClient()) caller.host.wheel.set(caller, this.#deadline);
    } else if (this.#queued && now >= this.#deadline) caller.end(this.#lastFailure);
    else this.run();
  }

  /** Gives up the place in the queue, if there is one. */
  leaveQueue(): void {
    if (!this.#queued) return;
    const caller = this.#caller;
    this.#queued = false;
    caller.queuedMs += caller.host.now() - this.#queuedAt;
    caller.backend!.dequeue(this);
  }

  /**
   * Several members failed one after the other: the client is told at once. A lone one gets another chance, as HAProxy
   * gives a server it cannot redispatch from: it may be restarting.
   */
  #allTried(): void {
    if (this.#tried !== undefined && this.#tried.length > 1) this.#caller.end(this.#lastFailure);
    else this.#turnAround();
  }

  /** Tries again after a moment, in which the member or a descriptor may have come back. */
  #turnAround(): void {
    const caller = this.#caller;
    const { host } = caller;
    this.#tried = undefined;
    caller.state = 'waiting';
    this.#deadline = host.now() + Math.min(turnaroundMs, host.timeouts.connectMs);
    host.wheel.set(caller, this.#deadline);
    caller.watchClient();
  }

  #enqueue(backend: Backend, onTimeout: Termination): void {
    const caller = this.#caller;
    const { host } = caller;
    this.#lastFailure = onTimeout;
    this.#late = true;
    if (!this.#queued) {
      const behind = backend.waiting;
      if (!backend.enqueue(this)) {
        caller.end(Ended.queueFull);
        return;
      }
      caller.queuedBehind = behind;
      this.#queued = true;
      this.#queuedAt = host.now();
      caller.state = 'waiting';
      this.#deadline = this.#queuedAt + backend.settings.queue.timeoutMs;
      if (!caller.watchClient()) return;
    }
    host.wheel.set(caller, Math.min(this.#deadline, host.now() + queuePollMs));
  }

  #connect(backend: Backend, member: Member): void {
    const caller = this.#caller;
    const { wheel, timeouts } = caller.host;
    caller.member = member;
    caller.state = 'connecting';
    const fd = openTcp(member.family);
    if (fd < 0) {
      this.#noDescriptor(backend, member, -fd);
      return;
    }
    caller.upstream.fd = fd;
    const result = connectTcp(fd, member.sockaddr);
    if (result < 0 && result !== -EINPROGRESS) {
      this.#connectFailed(backend, member, -result);
      return;
    }
    if (!caller.watchUpstream()) return;
    const since = this.#late ? caller.host.now() : caller.acceptedAt;
    this.#deadline = since + timeouts.connectMs;
    wheel.set(caller, Math.min(this.#deadline, since + patienceMs));
  }

  /** Rests and tries again: sessions that end meanwhile give descriptors back, and no more are accepted. */
  #noDescriptor(backend: Backend, member: Member, errno: number): void {
    const caller = this.#caller;
    caller.host.onExhausted(caller.listener, errno);
    caller.member = undefined;
    // Not through the backend: whoever waits there for the place would fare no better.
    member.vacate();
    this.#late = true;
    if (caller.retries >= backend.settings.retries) {
      caller.end(Ended.noResources);
      return;
    }
    caller.retries++;
    this.#turnAround();
  }

  #connectFailed(backend: Backend, member: Member, errno: number): void {
    const { host } = this.#caller;
    const timedOut = errno === ETIMEDOUT;
    host.counters.add(member.counterBase + (timedOut ? MemberCounter.connectTimeouts : MemberCounter.connectErrors));
    host.onConnectFailed(backend, member, errnoName(errno));
    this.#lastFailure = timedOut ? Ended.connectTimeout : Ended.connectFailed;
    this.#tryAnother(backend, member);
  }

  #tryAnother(backend: Backend, member: Member): void {
    const caller = this.#caller;
    const { fd } = caller.upstream;
    caller.host.reactor.forget(fd);
    closeFd(fd);
    caller.upstream.fd = -1;
    caller.member = undefined;
    this.#late = true;
    // Before the place is given back: whoever gets it by that must not find this session still connecting.
    caller.state = 'waiting';
    backend.vacate(member);
    if (caller.retries >= backend.settings.retries) {
      caller.end(this.#lastFailure);
      return;
    }
    caller.retries++;
    caller.host.counters.add(member.counterBase + MemberCounter.retries);
    if (this.#tried === undefined) this.#tried = [member];
    else this.#tried.push(member);
    this.run();
  }
}
