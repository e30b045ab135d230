/** One listening socket of one thread: accepts in batches and pauses when descriptors or sessions run out. */
import { formatEndpoint, type InetEndpoint, isUnspecified } from '../core/address.ts';
import { errorCode } from '../core/errors.ts';
import { EAGAIN, EMFILE, ENFILE } from '../linux/constants.ts';
import { closeFd } from '../linux/libc.ts';
import { EPOLLEXCLUSIVE, EPOLLIN, type EventHandler, type Reactor } from '../linux/reactor.ts';
import {
  acceptTcp,
  listenTcp,
  type SockaddrSlot,
  setBacklog,
  setKeepalive,
  setNoDelay,
  setUserTimeout,
} from '../linux/tcp.ts';
import type { ClientAddresses } from './client-addresses.ts';
import type { ListenerSnapshot } from './snapshot.ts';
import { spanOfAddress } from './span.ts';
import type { AddressSpan } from './wire/header.ts';

/** Connections accepted in a row before others get their turn. */
const maxBatch = 64;
/** Accepts of what still waits in the queue of a socket about to be closed. */
const maxFarewell = 4096;

const ENOBUFS = 105;
const ENOMEM = 12;

/** What a listener tells the engine. */
export interface ListenerOwner {
  readonly reactor: Reactor;
  readonly peer: SockaddrSlot;
  readonly clients: ClientAddresses;
  /** False when no more sessions are allowed at this moment: the listener is then paused and asks no more. */
  mayAccept(listener: Listener): boolean;
  onAccepted(listener: Listener, fd: number, source: AddressSpan): void;
  onAcceptError(listener: Listener, errno: number, exhausted: boolean): void;
}

/** A socket that listens already. */
export interface ListeningSocket {
  readonly fd: number;
  /** It stays open elsewhere, whatever becomes of this descriptor: with the service manager, and in other threads. */
  readonly lent: boolean;
}

/** Whether a bind of the configuration is served, and if not, why. */
export interface ListenerStatus {
  readonly listener: string;
  readonly endpoint: string;
  readonly open: boolean;
  /** EADDRINUSE and the like; undefined when open. */
  readonly code: string | undefined;
}

/** How dead peers are found, as the pool has it: accepted sockets inherit it from the listening one. */
export interface Guard {
  readonly keepaliveMs: number;
  readonly userTimeoutMs: number;
}

export class Listener implements EventHandler {
  readonly endpoint: InetEndpoint;
  config: ListenerSnapshot;
  #guard: Guard;
  /** The address clients connected to, when the bind address says it for all of them. */
  readonly destination: AddressSpan | undefined;
  readonly #owner: ListenerOwner;
  #fd = -1;
  #lent = false;
  #events = EPOLLIN;
  #code: string | undefined;
  #paused = false;
  #batch = 1;

  constructor(owner: ListenerOwner, config: ListenerSnapshot, endpoint: InetEndpoint, guard: Guard) {
    this.#owner = owner;
    this.config = config;
    this.endpoint = endpoint;
    this.#guard = guard;
    this.destination = isUnspecified(endpoint.address) ? undefined : spanOfAddress(endpoint.address, endpoint.port);
  }

  /** Takes over new settings; an open socket stays open. */
  update(config: ListenerSnapshot, guard: Guard): void {
    if (this.isOpen && config.backlog !== this.config.backlog) setBacklog(this.#fd, config.backlog);
    this.config = config;
    const { keepaliveMs, userTimeoutMs } = this.#guard;
    if (guard.keepaliveMs === keepaliveMs && guard.userTimeoutMs === userTimeoutMs) return;
    this.#guard = guard;
    if (this.isOpen) this.#setGuard(this.#fd);
  }

  #setGuard(fd: number): void {
    setKeepalive(fd, this.#guard.keepaliveMs / 1000);
    setUserTimeout(fd, this.#guard.userTimeoutMs);
  }

  /** What tells one listening socket from another over changes of configuration. */
  static key(name: string, endpoint: InetEndpoint): string {
    return `${name} ${formatEndpoint(endpoint)}`;
  }

  get key(): string {
    return Listener.key(this.config.name, this.endpoint);
  }

  /** -1 while it is not open. */
  get fd(): number {
    return this.#fd;
  }

  get isOpen(): boolean {
    return this.#fd >= 0;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get status(): ListenerStatus {
    const { config, endpoint } = this;
    return { listener: config.name, endpoint: formatEndpoint(endpoint), open: this.isOpen, code: this.#code };
  }

  /** Whether the socket is one that others hold, too. */
  get lent(): boolean {
    return this.#lent;
  }

  /**
   * Binds and listens. Returns undefined, or why it cannot, and may be called again then.
   * @param adopted a socket that listens on the endpoint already, in the place of one of our own; the listener's from now on
   */
  open(adopted?: ListeningSocket): string | undefined {
    if (this.isOpen) return undefined;
    let fd = adopted?.fd ?? -1;
    try {
      if (adopted === undefined) fd = listenTcp(this.endpoint, { backlog: this.config.backlog, keepaliveSeconds: 0 });
      else {
        setNoDelay(fd);
        setBacklog(fd, this.config.backlog);
      }
      this.#setGuard(fd);
      this.#lent = adopted?.lent === true;
      // Threads that share one socket are not all woken for one connection.
      this.#events = this.#lent ? EPOLLIN | EPOLLEXCLUSIVE : EPOLLIN;
      this.#owner.reactor.add(fd, this.#events, this);
      this.#fd = fd;
      this.#code = undefined;
      return undefined;
    } catch (error) {
      if (fd >= 0) closeFd(fd);
      return errorCode(error) ?? 'V6_UNKNOWN';
    }
  }

  /** What `status` says while it is not open. */
  failed(code: string): void {
    this.#code = code;
  }

  /** Stops accepting and leaves the kernel's queue to fill, until `resume`. */
  pause(): void {
    if (!this.isOpen || this.#paused) return;
    this.#paused = true;
    this.#owner.reactor.remove(this.#fd);
  }

  resume(): void {
    if (!this.isOpen || !this.#paused) return;
    this.#paused = false;
    this.#owner.reactor.add(this.#fd, this.#events, this);
  }

  /**
   * Closes the socket.
   * @param accept whether connections that wait in its queue become sessions first, instead of being reset by the kernel
   */
  close(accept: boolean): void {
    if (!this.isOpen) return;
    if (accept && !this.#paused) for (let i = 0; i < maxFarewell && this.isOpen && this.#acceptOne(); i++);
    if (this.isOpen) closeFd(this.letGo());
  }

  /** Accepts no more and gives the open socket back. */
  letGo(): number {
    const fd = this.#fd;
    if (this.#paused) this.#owner.reactor.forget(fd);
    else this.#owner.reactor.remove(fd);
    this.#fd = -1;
    this.#paused = false;
    return fd;
  }

  onEvents(): void {
    // Watched level-triggered, so what is left is reported again. The batch grows while connections queue and is one when
    // they come singly, which saves the accept that finds nothing.
    for (let i = 0; i < this.#batch; i++) {
      if (!this.isOpen || this.#paused) return;
      if (!this.#acceptOne()) {
        this.#batch = Math.max(1, i);
        return;
      }
    }
    this.#batch = Math.min(maxBatch, this.#batch * 2);
  }

  /** False when there is nothing to accept, or nothing may be accepted now. */
  #acceptOne(): boolean {
    const owner = this.#owner;
    if (!owner.mayAccept(this)) return false;
    const fd = acceptTcp(this.#fd, owner.peer);
    if (fd >= 0) {
      owner.onAccepted(this, fd, owner.clients.keep(fd, owner.peer.bytes));
      return true;
    }
    if (fd === -EAGAIN) return false;
    const exhausted = fd === -EMFILE || fd === -ENFILE || fd === -ENOBUFS || fd === -ENOMEM;
    owner.onAcceptError(this, -fd, exhausted);
    // Anything else is one connection's own error (accept(2): "treat them like EAGAIN by retrying").
    return !exhausted;
  }
}
