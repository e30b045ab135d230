/**
 * How a session comes to a member: one is chosen by the pool's balancing, waited for when all are busy, connected to, and
 * another tried when that fails. Not a byte of the client's is read before, so a failed try costs it nothing but time.
 *
 * A connect that gets no answer for a while does not hold the client up either: another member is tried beside it, and whoever
 * answers first gets the session (RFC 8305 §5 does so with addresses). The kernel sends a lost SYN again only after a second.
 */
import { ECONNREFUSED, EINPROGRESS, ENODEV, ETIMEDOUT } from '../linux/constants.ts';
import { errnoName, isConnectShortage, isShortage } from '../linux/errors.ts';
import { closeFd } from '../linux/libc.ts';
import { EPOLLERR, EPOLLHUP, EPOLLOUT } from '../linux/reactor.ts';
import { connectTcp, openTcp, socketError } from '../linux/tcp.ts';
import type { Backend, Member } from './backend.ts';
import type { Caller } from './caller.ts';
import { MemberCounter } from './counters.ts';
import type { Waiting } from './queue.ts';
import { SideAttempt } from './side-attempt.ts';
import { Ended, type Termination } from './termination.ts';

/** HAProxy's turn-around: how long to wait before a lone member that has just failed is tried again. */
const turnaroundMs = 1000;
/** A waiting session looks for a place this often, whatever it is told. */
const queuePollMs = 100;
/** A connect that takes longer than this has its client watched, so that one that gives up is noticed. */
const patienceMs = 50;
const none: readonly Member[] = [];

export class Dial implements Waiting {
  readonly #caller: Caller;
  #tried: Member[] | undefined;
  /** Connects beside the session's own, the oldest first. */
  #beside: SideAttempt[] | undefined;
  /** When the next of those begins. */
  #besideAt = Number.POSITIVE_INFINITY;
  #queued = false;
  #queuedAt = 0;
  /** Time has passed since the client was accepted: for its header, in a queue, for other members. */
  #late: boolean;
  #deadline = 0;
  #lastFailure: Termination = Ended.connectFailed;

  /** Whether it waits for a place at a member. */
  get queued(): boolean {
    return this.#queued;
  }

  /** Whose connect failed last. */
  get lastTried(): Member | undefined {
    return this.#tried?.at(-1);
  }

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
    if (backend.up && backend.mustQueue(this)) {
      this.#enqueue(backend, Ended.queueTimeout);
      return;
    }
    // What refused it then may serve by now, and those behind it wait for it to choose.
    if (this.#queued && caller.host.now() - this.#queuedAt >= turnaroundMs) this.#tried = undefined;
    const member = backend.take(caller.source, this.#tried ?? none);
    if (typeof member !== 'string') {
      this.leaveQueue();
      this.#connect(backend, member);
    } else if (member === 'full') this.#enqueue(backend, Ended.queueTimeout);
    else if (member === 'tried') this.#allTried();
    else this.#noneUp(backend);
  }

  /** Called by the backend when a member may have a place. */
  proceed(): void {
    if (this.#caller.state === 'waiting' && this.#queued) this.run();
  }

  /** The member being connected to went down: the next is tried, and the connect does not count as the member's failure. */
  memberDown(): void {
    const { member, backend } = this.#caller;
    this.#lastFailure = Ended.connectFailed;
    if (this.#tried === undefined) this.#tried = [member!];
    else this.#tried.push(member!);
    this.#goOn(backend!, member!);
  }

  /** Members are out of reach for new sessions: connects to them beside the session's own are given up. */
  forget(gone: (member: Member) => boolean): void {
    const beside = this.#beside;
    if (beside === undefined) return;
    this.#beside = beside.filter(({ member }) => !gone(member));
    for (const attempt of beside) if (gone(attempt.member)) attempt.close();
  }

  onConnectEvents(events: number): void {
    const caller = this.#caller;
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) {
      const error = socketError(caller.upstream.fd);
      this.#connectFailed(caller.backend!, caller.member!, error > 0 ? error : ECONNREFUSED);
    } else if ((events & EPOLLOUT) !== 0) this.#answered(caller.backend!, caller.member!);
  }

  /** A connect beside the session's own was answered, or refused with `errno`. */
  onBeside(attempt: SideAttempt, errno: number): void {
    const caller = this.#caller;
    const backend = caller.backend!;
    this.#beside = this.#beside!.filter((each) => each !== attempt);
    if (errno !== 0) {
      attempt.close();
      this.#failed(backend, attempt.member, errno);
      this.#tryBeside(caller.host.now());
      this.#setTimer();
      return;
    }
    const { member, upstream } = caller;
    const silent = upstream.fd;
    this.#take(attempt);
    caller.host.counters.add(member!.counterBase + MemberCounter.connectTimeouts);
    caller.host.reactor.forget(silent);
    closeFd(silent);
    backend.vacate(member!);
    if (caller.state === 'connecting' && caller.watchUpstream()) this.#answered(backend, attempt.member);
  }

  onTimer(now: number): void {
    const caller = this.#caller;
    if (caller.state === 'connecting') {
      if (now >= this.#deadline) this.#connectFailed(caller.backend!, caller.member!, ETIMEDOUT);
      else if (caller.watchClient()) {
        if (now >= this.#besideAt) this.#tryBeside(now);
        this.#setTimer();
      }
    } else if (this.#queued && now >= this.#deadline) caller.end(this.#lastFailure);
    else this.run();
  }

  /** The session ends: gives up whatever it has here. */
  abandon(): void {
    this.leaveQueue();
    this.#closeBeside();
  }

  /** Gives up the place in the queue, if there is one. */
  leaveQueue(): void {
    if (!this.#queued) return;
    const caller = this.#caller;
    this.#queued = false;
    caller.queuedMs += caller.host.now() - this.#queuedAt;
    caller.backend!.dequeue(this);
  }

  /** Who need not wait for a member to come up is told at once, also while others wait. */
  #noneUp(backend: Backend): void {
    const caller = this.#caller;
    const failure = this.#tried === undefined ? Ended.noMember : this.#lastFailure;
    if (caller.listener.whenEmpty !== 'wait' && !backend.settings.pending) {
      caller.end(failure);
      return;
    }
    this.#tried = undefined;
    this.#enqueue(backend, failure);
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
    // Others need not wait behind it meanwhile.
    this.leaveQueue();
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
    const fresh = !this.#queued;
    if (fresh) {
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
    // What another thread gave back before it could see this one was offered to nobody.
    if (fresh && !backend.mustQueue(this)) this.run();
  }

  #connect(backend: Backend, member: Member): void {
    const caller = this.#caller;
    const { wheel } = caller.host;
    const timeouts = backend.settings.timeouts ?? caller.host.timeouts;
    caller.member = member;
    caller.state = 'connecting';
    const fd = openTcp(member.family);
    if (fd < 0) {
      this.#noDescriptor(backend, member, -fd);
      return;
    }
    caller.upstream.fd = fd;
    const name = member.sockaddr;
    const result = name === undefined ? -ENODEV : connectTcp(fd, name);
    if (result < 0 && result !== -EINPROGRESS) {
      this.#connectFailed(backend, member, -result);
      return;
    }
    if (!caller.watchUpstream()) return;
    const since = this.#late ? caller.host.now() : caller.acceptedAt;
    this.#deadline = since + timeouts.connectMs;
    this.#besideAt = timeouts.attemptDelayMs === 0 ? Number.POSITIVE_INFINITY : since + timeouts.attemptDelayMs;
    wheel.set(caller, Math.min(this.#deadline, since + patienceMs));
  }

  #answered(backend: Backend, member: Member): void {
    this.#closeBeside();
    if (member.silent) backend.hear(member);
    this.#caller.onConnected(backend);
  }

  /** The connect under way, the last one if there are several, was not answered: tries another member beside it. */
  #tryBeside(now: number): void {
    const caller = this.#caller;
    const { host } = caller;
    const backend = caller.backend!;
    this.#besideAt = Number.POSITIVE_INFINITY;
    const silent = this.#beside?.at(-1)?.member ?? caller.member!;
    host.onConnectFailed(backend, silent, errnoName(ETIMEDOUT));
    // Who waits for a place goes first.
    if (caller.retries >= backend.settings.retries || backend.waiting > 0) return;
    const beside = (this.#beside ?? []).map(({ member }) => member);
    const member = backend.take(caller.source, [...(this.#tried ?? none), caller.member!, ...beside]);
    if (typeof member === 'string') return;
    backend.suspect(silent, now);
    caller.retries++;
    host.counters.add(silent.counterBase + MemberCounter.retries);
    const { connectMs, attemptDelayMs } = backend.settings.timeouts ?? host.timeouts;
    const attempt = new SideAttempt(this, host.reactor, backend, member, now + connectMs);
    const errno = attempt.start();
    if (errno === 0) {
      this.#beside = [...(this.#beside ?? []), attempt];
      this.#besideAt = now + attemptDelayMs;
      return;
    }
    attempt.close();
    if (isShortage(errnoName(errno))) {
      // Not the member's failure; the session's own connect may still be answered.
      host.onExhausted(caller.listener, errno);
      return;
    }
    this.#failed(backend, member, errno);
    this.#tryBeside(now);
  }

  /** Makes a connect beside the session's own the session's own. */
  #take(attempt: SideAttempt): void {
    const caller = this.#caller;
    caller.upstream.fd = attempt.give();
    caller.member = attempt.member;
    this.#deadline = attempt.deadline;
  }

  #closeBeside(): void {
    const beside = this.#beside;
    this.#beside = undefined;
    for (const attempt of beside ?? []) attempt.close();
  }

  /** While connecting: the next thing to come is the deadline, or another try beside. */
  #setTimer(): void {
    const caller = this.#caller;
    if (caller.state === 'connecting') caller.host.wheel.set(caller, Math.min(this.#deadline, this.#besideAt));
  }

  #failed(backend: Backend, member: Member, errno: number): void {
    const { host } = this.#caller;
    const code = errnoName(errno);
    if (isConnectShortage(code)) {
      // Says nothing of the member; another may be reached, since each has local ports of its own.
      host.onConnectShort(backend, member, code);
      this.#lastFailure = Ended.noResources;
    } else {
      const counter = errno === ETIMEDOUT ? MemberCounter.connectTimeouts : MemberCounter.connectErrors;
      host.counters.add(member.counterBase + counter);
      host.onConnectFailed(backend, member, code);
      backend.suspect(member, host.now());
      this.#lastFailure = errno === ETIMEDOUT ? Ended.connectTimeout : Ended.connectFailed;
    }
    if (this.#tried === undefined) this.#tried = [member];
    else this.#tried.push(member);
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
    this.#failed(backend, member, errno);
    this.#goOn(backend, member);
  }

  /** The session's own connect is over: one beside it takes its place, or another member is tried. */
  #goOn(backend: Backend, member: Member): void {
    const caller = this.#caller;
    const { fd } = caller.upstream;
    caller.host.reactor.forget(fd);
    closeFd(fd);
    caller.upstream.fd = -1;
    // That was of the socket that is gone.
    caller.upstream.hangUp = false;
    caller.member = undefined;
    this.#late = true;
    const next = this.#beside?.shift();
    if (next !== undefined) {
      this.#take(next);
      backend.vacate(member);
      if (caller.watchUpstream()) this.#setTimer();
      return;
    }
    // Before the place is given back: whoever gets it by that must not find this session still connecting.
    caller.state = 'waiting';
    backend.vacate(member);
    if (caller.retries >= backend.settings.retries) {
      caller.end(this.#lastFailure);
      return;
    }
    caller.retries++;
    caller.host.counters.add(member.counterBase + MemberCounter.retries);
    this.run();
  }
}
