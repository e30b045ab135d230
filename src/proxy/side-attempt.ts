/** A connect to a member beside one that is not answered: see dial.ts. */
import { ECONNREFUSED, EINPROGRESS, ENODEV } from '../linux/constants.ts';
import { SystemError } from '../linux/errors.ts';
import { closeFd } from '../linux/libc.ts';
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLOUT, type EventHandler, type Reactor } from '../linux/reactor.ts';
import { connectTcp, openTcp, socketError } from '../linux/tcp.ts';
import type { Backend, Member } from './backend.ts';

/** Whoever made the attempt. */
export interface SideAttemptOwner {
  /** `errno` is 0 when the member answered. */
  onBeside(attempt: SideAttempt, errno: number): void;
}

export class SideAttempt implements EventHandler {
  /** Its place is taken by whoever makes the attempt, and given back by `close`. */
  readonly member: Member;
  readonly deadline: number;
  readonly #owner: SideAttemptOwner;
  readonly #reactor: Reactor;
  readonly #backend: Backend;
  #fd = -1;

  constructor(owner: SideAttemptOwner, reactor: Reactor, backend: Backend, member: Member, deadline: number) {
    this.#owner = owner;
    this.#reactor = reactor;
    this.#backend = backend;
    this.member = member;
    this.deadline = deadline;
  }

  /** Begins to connect. Returns 0 or a positive errno. */
  start(): number {
    const name = this.member.sockaddr;
    if (name === undefined) return ENODEV;
    const fd = openTcp(this.member.family);
    if (fd < 0) return -fd;
    this.#fd = fd;
    const result = connectTcp(fd, name);
    if (result < 0 && result !== -EINPROGRESS) return -result;
    try {
      this.#reactor.add(fd, EPOLLOUT | EPOLLET, this);
      return 0;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return error.errno;
    }
  }

  onEvents(events: number): void {
    const error = (events & (EPOLLERR | EPOLLHUP)) !== 0 ? socketError(this.#fd) || ECONNREFUSED : 0;
    this.#owner.onBeside(this, error);
  }

  /** The socket, which nobody watches now, and with it the place at the member. */
  give(): number {
    const fd = this.#fd;
    this.#fd = -1;
    this.#reactor.remove(fd);
    return fd;
  }

  /** Gives the member's place back. */
  close(): void {
    if (this.#fd >= 0) {
      this.#reactor.forget(this.#fd);
      closeFd(this.#fd);
      this.#fd = -1;
    }
    this.#backend.vacate(this.member);
  }
}
