/**
 * The listening sockets of one data thread: opened, adopted and closed as the configuration wants them, tried again while a
 * bind fails, and at rest while sessions or descriptors have run out.
 */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import type { Clock, Timer } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import type { Logger } from '../core/logger.ts';
import { closeFd } from '../linux/libc.ts';
import { listenerGaugeBase, ProxyCounter, ProxyGauge } from './counters.ts';
import { type Guard, Listener, type ListenerOwner, type ListenerStatus, type ListeningSocket } from './listener.ts';
import type { ListenerSnapshot, PoolSnapshot } from './snapshot.ts';

/** Keeps a thread's listening sockets for the process that follows this one. */
export interface SocketKeeper {
  keep(endpoint: InetEndpoint, fd: number): void;
  /** It is about to be closed for good. */
  drop(endpoint: InetEndpoint): void;
}

/** How long accepting rests when descriptors or sessions have run out, unless a session ends before. */
const pauseMs = 100;
/** How often a bind that failed is tried again. */
const reopenMs = 1000;

export interface ListenerSetContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: CounterStripe;
  readonly keeper?: SocketKeeper;
  /** Which binds are served has changed. */
  readonly changed: () => void;
  /** Settings of a pool, by its name. */
  readonly pool: (name: string) => PoolSnapshot | undefined;
}

export class ListenerSet {
  readonly #context: ListenerSetContext;
  readonly #owner: ListenerOwner;
  readonly #listeners = new Map<string, Listener>();
  /** Listening sockets that were given to us and that no listener uses yet, by endpoint. */
  readonly #adopted = new Map<string, ListeningSocket>();
  /** Listening sockets that are used no more but for those who wait in their queue. */
  readonly #spares: { endpoint: InetEndpoint; fd: number }[] = [];
  #maxConnections = 0;
  #paused = false;
  #pauseTimer: Timer | undefined;
  /** Listeners at their own limit. */
  readonly #held = new Set<Listener>();
  #heldTimer: Timer | undefined;
  #reopenTimer: Timer | undefined;
  #stopping = false;
  /** Listening sockets stay with their keeper. */
  #handingOver = false;

  constructor(context: ListenerSetContext, owner: ListenerOwner) {
    this.#context = context;
    this.#owner = owner;
  }

  /** Each bind of the configuration, with why it is not served if so. */
  get status(): ListenerStatus[] {
    return [...this.#listeners.values()].map((listener) => listener.status);
  }

  /** See `ProxyEngine.adopt`. */
  adopt(endpoint: InetEndpoint, socket: ListeningSocket): void {
    const key = formatEndpoint(endpoint);
    const before = this.#adopted.get(key);
    if (before !== undefined) closeFd(before.fd);
    this.#adopted.set(key, socket);
  }

  /** See `ProxyEngine.adoptSpare`. */
  adoptSpare(endpoint: InetEndpoint, fd: number): void {
    this.#spares.push({ endpoint, fd });
  }

  /** Brings listening sockets in line. @param maxConnections sessions at once, of all threads; 0 = no limit */
  apply(listeners: readonly ListenerSnapshot[], maxConnections: number): void {
    this.#maxConnections = maxConnections;
    const wanted = new Map<string, Listener>();
    const kept = new Set<Listener>();
    for (const config of listeners) {
      const guard = guardOf(this.#context.pool(config.pool));
      for (const endpoint of config.bind) {
        const key = Listener.key(config.name, endpoint);
        const known = this.#listeners.get(key);
        const listener = known ?? new Listener(this.#owner, config, endpoint, guard);
        listener.update(config, guard);
        if (known !== undefined) kept.add(known);
        wanted.set(key, listener);
      }
    }
    const served = new Set([...wanted.values()].map(({ endpoint }) => formatEndpoint(endpoint)));
    const leaving: Listener[] = [];
    for (const listener of this.#listeners.values()) {
      if (kept.has(listener) || !listener.isOpen) continue;
      // Under another name from now on: who is in its queue, or on the way there, is not sent away for that.
      if (!served.has(formatEndpoint(listener.endpoint))) leaving.push(listener);
      else this.adopt(listener.endpoint, { lent: listener.lent, fd: listener.letGo() });
    }
    this.#listeners.clear();
    for (const [key, listener] of wanted) this.#listeners.set(key, listener);
    const opened = leaving.length > 0 && this.#openEarly();
    for (const listener of leaving) this.#closeListener(listener, true);
    this.#openListeners(opened);
    for (const { endpoint, fd } of this.#spares.splice(0)) this.#emptySpare(endpoint, fd);
  }

  /** Accepts no more, for good. @param handOver whether listening sockets stay with their keeper */
  stop(handOver: boolean): void {
    this.#stopping = true;
    this.#handingOver = handOver;
    this.#reopenTimer?.cancel();
    for (const listener of this.#listeners.values()) this.#closeListener(listener, true);
  }

  /** Closes every descriptor now. */
  close(): void {
    this.#stopping = true;
    this.#reopenTimer?.cancel();
    this.#pauseTimer?.cancel();
    this.#heldTimer?.cancel();
    for (const listener of this.#listeners.values()) this.#closeListener(listener, false);
    this.#listeners.clear();
    for (const { fd } of this.#adopted.values()) closeFd(fd);
    this.#adopted.clear();
    for (const { fd } of this.#spares.splice(0)) closeFd(fd);
  }

  /** Whether the listener may accept one more; it rests if not, or until `onSessionEnd`. */
  mayAccept(listener: Listener): boolean {
    const { maxConnections, slot } = listener.config;
    if (maxConnections > 0 && this.#context.counters.gauge(listenerGaugeBase(slot)) >= maxConnections) {
      this.#hold(listener);
      return false;
    }
    if (this.#maxConnections === 0) return true;
    if (this.#context.counters.gauge(ProxyGauge.sessions) < this.#maxConnections) return true;
    this.pause(ProxyCounter.limitPauses);
    return false;
  }

  /** There is room again, perhaps. */
  onSessionEnd(): void {
    if (this.#paused) this.#resume();
    if (this.#held.size > 0) setImmediate(() => this.#letGo());
  }

  #emptySpare(endpoint: InetEndpoint, fd: number): void {
    const text = formatEndpoint(endpoint);
    const listener = [...this.#listeners.values()].find((each) => formatEndpoint(each.endpoint) === text);
    if (listener === undefined) {
      closeFd(fd);
      return;
    }
    const spare = new Listener(
      this.#owner,
      listener.config,
      endpoint,
      guardOf(this.#context.pool(listener.config.pool)),
    );
    spare.open({ fd, lent: false });
    spare.close(true);
  }

  /** @param accept whether those that wait in its queue become sessions first; in a lent one they wait for whoever comes next */
  #closeListener(listener: Listener, accept: boolean): void {
    if (!listener.isOpen) return;
    const { endpoint, lent } = listener;
    if (lent) {
      this.adopt(endpoint, { fd: listener.letGo(), lent });
      if (this.#stopping) return;
      const fields = { listener: listener.config.name, bind: formatEndpoint(endpoint) };
      this.#context.log.warn(
        fields,
        'nobody serves this any more, but the service manager listens on: end its socket unit',
      );
      return;
    }
    // First: from now on the kernel gives new connections to other threads, or refuses them.
    if (!this.#handingOver) this.#context.keeper?.drop(endpoint);
    listener.close(accept);
  }

  /**
   * Opens what can be opened beside the sockets that are about to be closed: with 0.0.0.0 in the place of 127.0.0.1 nobody is
   * refused in between. Returns whether any was; a socket that another stands in the way of has its turn after that.
   */
  #openEarly(): boolean {
    let opened = false;
    for (const listener of this.#listeners.values()) {
      if (!listener.isOpen && this.#tryOpen(listener) === undefined) opened = true;
    }
    return opened;
  }

  /** @param changed whether a listener was opened just now */
  #openListeners(changed = false): void {
    this.#reopenTimer?.cancel();
    this.#reopenTimer = undefined;
    let failed = false;
    for (const listener of this.#listeners.values()) {
      if (listener.isOpen) continue;
      const before = listener.status.code;
      const code = this.#tryOpen(listener);
      changed ||= before !== code || code === undefined;
      if (code === undefined) continue;
      failed = true;
      listener.failed(code);
      const { status } = listener;
      if (before !== code) {
        this.#context.log.error({ listener: status.listener, bind: status.endpoint, code }, 'cannot listen');
      }
    }
    if (failed) this.#reopenTimer = this.#context.clock.after(reopenMs, () => this.#openListeners());
    if (changed) this.#context.changed();
  }

  /** Undefined, or why it cannot be opened. */
  #tryOpen(listener: Listener): string | undefined {
    const key = formatEndpoint(listener.endpoint);
    const adopted = this.#adopted.get(key);
    this.#adopted.delete(key);
    const code = listener.open(adopted);
    if (code !== undefined) return code;
    if (!listener.lent) this.#context.keeper?.keep(listener.endpoint, listener.fd);
    this.#context.log.info({ listener: listener.config.name, bind: key }, 'listening');
    if (this.#paused) listener.pause();
    return undefined;
  }

  /** A listener at its limit rests until one of its sessions ends; those of other threads are looked at now and then. */
  #hold(listener: Listener): void {
    if (this.#held.has(listener)) return;
    this.#context.counters.add(ProxyCounter.listenerLimitPauses);
    listener.pause();
    this.#held.add(listener);
    this.#heldTimer ??= this.#context.clock.after(pauseMs, () => this.#letGo());
  }

  #letGo(): void {
    this.#heldTimer?.cancel();
    this.#heldTimer = undefined;
    const held = [...this.#held];
    this.#held.clear();
    if (this.#stopping) return;
    for (const listener of held) {
      const { maxConnections, slot } = listener.config;
      const room = maxConnections === 0 || this.#context.counters.gauge(listenerGaugeBase(slot)) < maxConnections;
      if (room) {
        if (!this.#paused) listener.resume();
      } else this.#held.add(listener);
    }
    if (this.#held.size > 0) this.#heldTimer = this.#context.clock.after(pauseMs, () => this.#letGo());
  }

  /** Waiting clients stay in the kernel's queue; a busy loop over accept would help nobody. */
  pause(counter: number): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#context.counters.add(counter);
    for (const listener of this.#listeners.values()) listener.pause();
    this.#pauseTimer = this.#context.clock.after(pauseMs, () => this.#resume());
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#pauseTimer?.cancel();
    for (const listener of this.#listeners.values()) if (!this.#held.has(listener)) listener.resume();
  }
}

function guardOf(pool: PoolSnapshot | undefined): Guard {
  return { keepaliveMs: pool?.keepaliveMs ?? 0, userTimeoutMs: pool?.userTimeoutMs ?? 0 };
}
