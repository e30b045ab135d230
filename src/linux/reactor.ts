/**
 * epoll(7) inside Node's own loop: one epoll descriptor a thread, which libuv polls.
 *
 * A handler belongs to a descriptor from `add` to `remove`; events that the kernel had already reported for a descriptor
 * removed (or closed and opened again) within the same batch are dropped by comparing a generation number that travels in
 * epoll_data beside the descriptor.
 *
 *   struct epoll_event  u32 events · u64 data; packed to 12 bytes on x86-64, 16 with padding on arm64
 */
import koffi from 'koffi';
import { check, SystemError } from './errors.ts';
import { addressOf, closeFd, kernelBuffer, libcCall, orErrno } from './libc.ts';

export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;
/** One of the epoll descriptors that watch the same file is woken, not all. */
export const EPOLLEXCLUSIVE = 0x10000000;
export const EPOLLET = 0x80000000;

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLL_CLOEXEC = 0o2000000;

// In words of 32 bits: every field of both layouts is aligned to them.
const dataWord = process.arch === 'x64' ? 1 : 2;
const eventWords = process.arch === 'x64' ? 3 : 4;
const batchEvents = 512;
/** Batches handled before other work of the thread (messages, timers) gets its turn. */
const batchesPerTurn = 8;
/** How long a descriptor that rests is left alone, and how often in a turn. */
const restNanoseconds = 60_000;
const restsPerTurn = 4;
/** How much later than it should the kernel may end a rest; its own choice, 50 µs, is nearly as long. */
const timerSlackNanoseconds = 1000;
const PR_SET_TIMERSLACK = 29;

const epollCreate1 = libcCall<(flags: number) => number>('int epoll_create1(int flags)');
// Addresses as numbers: koffi passes those on unseen, at a third less than a buffer costs.
const epollCtl = libcCall<(ep: number, op: number, fd: number, event: number) => number>(
  'int epoll_ctl(int ep, int op, int fd, size_t event)',
);
const epollWait = libcCall<(ep: number, events: number, max: number, timeout: number) => number>(
  'int epoll_wait(int ep, size_t events, int max, int timeout)',
);
const ppollCall = libcCall<(fds: number, count: number, timeout: number, mask: null) => number>(
  'int ppoll(size_t fds, ulong count, size_t timeout, void *mask)',
);
// Declared as it is used: integers of a variadic call travel like any other on x86-64 and arm64 Linux.
const prctlCall = libcCall<(option: number, value: number) => number>('int prctl(int option, ulong value)');

// In words: struct timespec (u64 seconds, u64 nanoseconds), struct pollfd (i32 fd, i16 events, i16 events that came).
const pauseNanoseconds = 2;
const pauseFd = 4;
const pauseWords = 6;

/** What is called with the event bits (EPOLLIN | …) of one descriptor. */
export interface EventHandler {
  onEvents(events: number): void;
}

/** Memory for the kernel, read and written by 32-bit words of its own byte order. */
class Words {
  readonly #bytes: Buffer;
  readonly words: Int32Array;
  readonly address: number;

  constructor(count: number) {
    this.#bytes = kernelBuffer(count * 4);
    this.words = new Int32Array(this.#bytes.buffer, this.#bytes.byteOffset, count);
    this.address = Number(addressOf(this.#bytes));
  }
}

export class Reactor {
  readonly #epoll: number;
  readonly #events = new Words(eventWords * batchEvents);
  readonly #control = new Words(eventWords);
  readonly #handlers: (EventHandler | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #batchEnd: (() => void)[] = [];
  readonly #leisure: (() => boolean)[] = [];
  /** Descriptors that rest, and whether they are to go on. */
  readonly #resting = new Map<number, boolean>();
  readonly #pause = new Words(pauseWords);
  #restedEver = false;
  // Kept referenced: the loop stops without a word when the handle is collected.
  readonly #poll: ReturnType<typeof koffi.node.poll>;
  #closed = false;

  /** @throws {SystemError} when the kernel gives no epoll descriptor */
  constructor() {
    this.#epoll = check(orErrno(epollCreate1(EPOLL_CLOEXEC)), 'epoll_create1');
    this.#pause.words[pauseNanoseconds] = restNanoseconds;
    this.#pause.words[pauseFd] = this.#epoll;
    this.#pause.words[pauseFd + 1] = EPOLLIN;
    this.#poll = koffi.node.poll(this.#epoll, { readable: true }, () => this.#run());
  }

  /**
   * Watches a descriptor. Add EPOLLET to `events` for edge-triggered.
   * @throws {SystemError}
   */
  add(fd: number, events: number, handler: EventHandler): void {
    const generation = this.#nextGeneration(fd);
    const result = this.#ctl(EPOLL_CTL_ADD, fd, events, generation);
    // When the kernel refuses, whoever watches the descriptor already goes on getting its events.
    if (result < 0) throw new SystemError('epoll_ctl', -result, `add ${fd}`);
    this.#generations[fd] = generation;
    this.#handlers[fd] = handler;
  }

  /**
   * Changes what a descriptor is watched for.
   * @throws {SystemError}
   */
  modify(fd: number, events: number): void {
    const result = this.#ctl(EPOLL_CTL_MOD, fd, events, this.#generations[fd] ?? 0);
    if (result < 0) throw new SystemError('epoll_ctl', -result, `mod ${fd}`);
  }

  /** Stops watching a descriptor that stays open. */
  remove(fd: number): void {
    this.forget(fd);
    this.#ctl(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /** Drops the handler of a descriptor that its owner closes now: the kernel takes a closed one out by itself. */
  forget(fd: number): void {
    this.#resting.delete(fd);
    this.#handlers[fd] = undefined;
    this.#generations[fd] = this.#nextGeneration(fd);
  }

  /**
   * For a handler while it is called, of a descriptor watched for EPOLLIN: it hears no events for a moment, or until something
   * else happens on this thread, and is called then, with none. What comes meanwhile comes together, as with a network
   * card that waits with its interrupts; the thread sleeps.
   */
  rest(fd: number): void {
    if (!this.#restedEver) {
      this.#restedEver = true;
      // Of this thread. Where it is forbidden rests are longer, no more.
      prctlCall(PR_SET_TIMERSLACK, timerSlackNanoseconds);
    }
    if (!this.#resting.has(fd)) this.modify(fd, 0);
    this.#resting.set(fd, true);
  }

  /** Calls `run` after each batch of events: for output that is collected and sent at once. */
  onBatchEnd(run: () => void): void {
    this.#batchEnd.push(run);
  }

  /**
   * Calls `run` when no event waits, and however many do in each turn of the loop: for a piece of work that nobody waits for. It
   * returns whether there is more of it.
   */
  onLeisure(run: () => boolean): void {
    this.#leisure.push(run);
  }

  /** Whether watching descriptors keeps the process alive (it does unless told otherwise). */
  set keepsAlive(value: boolean) {
    if (value) this.#poll.ref();
    else this.#poll.unref();
  }

  /** Lets go of the epoll descriptor; descriptors watched stay their owners'. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.stop();
    this.#poll.close();
    closeFd(this.#epoll);
  }

  #nextGeneration(fd: number): number {
    return ((this.#generations[fd] ?? 0) + 1) & 0x7fffffff;
  }

  #ctl(op: number, fd: number, events: number, generation: number): number {
    const { words, address } = this.#control;
    words[0] = events;
    words[dataWord] = fd;
    words[dataWord + 1] = generation;
    return orErrno(epollCtl(this.#epoll, op, fd, address));
  }

  #run(): void {
    const { words, address } = this.#events;
    let rests = 0;
    // Asking again right away costs less than a turn of libuv's loop, and under load there is nearly always more.
    for (let batch = 0; batch < batchesPerTurn && !this.#closed; batch++) {
      const rested = this.#resting.size > 0;
      if (rested && ++rests > restsPerTurn) break;
      // A pause is when there is time.
      if (rested) this.#runLeisure();
      const ready = !rested || this.#takeRest();
      if (this.#closed) return;
      const count = ready ? epollWait(this.#epoll, address, batchEvents, 0) : 0;
      if (count <= 0 && !rested) {
        if (!this.#takeLeisure()) return;
        continue;
      }
      for (let at = 0; at < count * eventWords; at += eventWords) {
        const fd = words[at + dataWord]!;
        if (this.#generations[fd] !== words[at + dataWord + 1]) continue;
        this.#handlers[fd]?.onEvents(words[at]! >>> 0);
        // A handler closed the reactor: the owners of the other descriptors are being torn down too.
        if (this.#closed) return;
      }
      for (const run of this.#batchEnd) run();
    }
    this.#runLeisure();
    if (this.#closed) return;
    for (const fd of this.#resting.keys()) this.#endRest(fd);
    // More may be ready: libuv's poll is level-triggered and comes back after messages and timers had their turn.
  }

  /** A piece of each kind of work that can wait. Returns whether there is more. */
  #takeLeisure(): boolean {
    let more = false;
    for (const run of this.#leisure) if (!this.#closed && run()) more = true;
    return more;
  }

  #runLeisure(): void {
    while (this.#takeLeisure());
  }

  /** Sleeps until the rest is over, and calls those that rested. Returns whether something else happened. */
  #takeRest(): boolean {
    const { address } = this.#pause;
    const ready = ppollCall(address + 4 * pauseFd, 1, address, null) !== 0;
    for (const fd of this.#resting.keys()) {
      this.#resting.set(fd, false);
      this.#handlers[fd]?.onEvents(0);
      if (this.#closed) break;
      if (this.#resting.get(fd) === false) this.#endRest(fd);
    }
    return ready;
  }

  #endRest(fd: number): void {
    this.#resting.delete(fd);
    this.modify(fd, EPOLLIN);
  }
}
