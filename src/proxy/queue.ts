/**
 * Sessions that wait for a place at a pool's members, in one order over all threads.
 *
 * Who begins to wait draws a number, and each thread shows the number of its first. The lowest of these is next: nobody else
 * takes a place meanwhile, and a thread that gives one back wakes the thread whose session it is (15 µs). The shared memory:
 *
 *   per pool: last number drawn u32 · per pool and thread: number of its first u32, 0 = nobody waits · per thread: wake-ups i32
 *
 * How many wait is a gauge of the pool, exact over all threads, so that `queue.length` is too.
 */
import type { CounterStripe } from '../core/counters.ts';
import { poolGaugeBase, poolSlots } from './counters.ts';

/** A session that waits until a member has a place. */
export interface Waiting {
  /** A place may be there now. */
  proceed(): void;
}

const nobody = 0;

/** Makes the shared memory for so many threads. */
export function newQueueTable(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer((poolSlots * (1 + threads) + threads) * Int32Array.BYTES_PER_ELEMENT);
}

/** A thread has ended: nobody waits there any more, and the places it had are others'. */
export function releaseQueues(buffer: SharedArrayBuffer, thread: number): void {
  const words = new Words(buffer);
  for (let slot = 0; slot < poolSlots; slot++) words.show(slot, thread, nobody);
  for (let other = 0; other < words.threads; other++) words.wake(other);
}

class Words {
  readonly threads: number;
  readonly #words: Int32Array;
  readonly #firstAt = poolSlots;
  readonly #wakeAt: number;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
    this.threads = (this.#words.length - poolSlots) / (poolSlots + 1);
    this.#wakeAt = poolSlots * (1 + this.threads);
  }

  /** The next number of the pool. */
  draw(slot: number): number {
    for (;;) {
      const number = (Atomics.add(this.#words, slot, 1) + 1) | 0;
      if (number !== nobody) return number;
    }
  }

  show(slot: number, thread: number, number: number): void {
    Atomics.store(this.#words, this.#firstAt + slot * this.threads + thread, number);
  }

  /** The thread whose first is the pool's; -1 when nobody waits. Numbers go round: it is their difference that matters. */
  first(slot: number): number {
    let lowest = nobody;
    let thread = -1;
    for (let i = 0; i < this.threads; i++) {
      const number = Atomics.load(this.#words, this.#firstAt + slot * this.threads + i);
      if (number === nobody || (lowest !== nobody && ((number - lowest) | 0) >= 0)) continue;
      lowest = number;
      thread = i;
    }
    return thread;
  }

  wake(thread: number): void {
    Atomics.add(this.#words, this.#wakeAt + thread, 1);
    Atomics.notify(this.#words, this.#wakeAt + thread);
  }

  woken(thread: number): number {
    return Atomics.load(this.#words, this.#wakeAt + thread);
  }

  /** Resolves when the thread was woken more often than `seen`. */
  sleep(thread: number, seen: number): Promise<unknown> {
    return Promise.resolve(Atomics.waitAsync(this.#words, this.#wakeAt + thread, seen).value);
  }
}

/** The queues of all pools as one thread uses them. */
export class Queues {
  readonly thread: number;
  readonly words: Words;
  readonly #busy = new Set<PoolQueue>();
  #watching = false;
  #closed = false;

  constructor(buffer: SharedArrayBuffer, thread: number) {
    this.words = new Words(buffer);
    this.thread = thread;
  }

  /** Sessions of this thread wait there now, or do not. */
  note(queue: PoolQueue, busy: boolean): void {
    if (busy) this.#busy.add(queue);
    else this.#busy.delete(queue);
    if (busy && !this.#watching && !this.#closed) void this.#watch();
  }

  /** Idempotent. */
  close(): void {
    this.#closed = true;
    // So that whoever watches hears of it.
    this.words.wake(this.thread);
  }

  /** For as long as somebody waits. */
  async #watch(): Promise<void> {
    this.#watching = true;
    let seen = this.words.woken(this.thread);
    while (this.#busy.size > 0 && !this.#closed) {
      await this.words.sleep(this.thread, seen);
      seen = this.words.woken(this.thread);
      if (!this.#closed) for (const queue of [...this.#busy]) queue.serve();
    }
    this.#watching = false;
  }
}

/** A pool's queue as one thread sees it: its own sessions, and how they stand to those of the others. */
export class PoolQueue {
  readonly #queues: Queues;
  readonly #slot: number;
  readonly #gauge: number;
  readonly #counters: CounterStripe;
  readonly #own: { readonly session: Waiting; readonly number: number }[] = [];

  constructor(queues: Queues, slot: number, counters: CounterStripe) {
    this.#queues = queues;
    this.#slot = slot;
    this.#gauge = poolGaugeBase(slot);
    this.#counters = counters;
  }

  /** How many wait, over all threads. */
  get length(): number {
    return this.#counters.gauge(this.#gauge);
  }

  /** Puts a session at the end; false when `limit` wait already. */
  push(session: Waiting, limit: number): boolean {
    if (!this.#counters.gaugeTake(this.#gauge, limit)) return false;
    const { words, thread } = this.#queues;
    const number = words.draw(this.#slot);
    this.#own.push({ session, number });
    if (this.#own.length > 1) return true;
    // Before others can see it: a wake-up from then on is not missed.
    this.#queues.note(this, true);
    words.show(this.#slot, thread, number);
    return true;
  }

  remove(session: Waiting): void {
    const at = this.#own.findIndex((each) => each.session === session);
    if (at < 0) return;
    this.#own.splice(at, 1);
    this.#counters.gaugeAdd(this.#gauge, -1);
    if (at > 0) return;
    this.#queues.words.show(this.#slot, this.#queues.thread, this.#own[0]?.number ?? nobody);
    if (this.#own.length === 0) this.#queues.note(this, false);
  }

  /** Whether others come before `session`, which may wait here itself. */
  isBehind(session: Waiting): boolean {
    return this.length > 0 && !(this.#own[0]?.session === session && this.#first() === this.#queues.thread);
  }

  /** A place was given back: lets whoever waits longest, at whatever thread, have it. */
  offer(): void {
    if (this.length === 0) return;
    const first = this.#first();
    if (first === this.#queues.thread) this.#own[0]?.session.proceed();
    else if (first >= 0) this.#queues.words.wake(first);
  }

  /** Lets all of this thread try once more, in their order; the pool's next one too, if he is another's. */
  wake(): void {
    for (const { session } of [...this.#own]) session.proceed();
    this.#passOn();
  }

  /** Places were given back elsewhere: lets those that are next have them, as long as there are any. */
  serve(): void {
    while (this.#first() === this.#queues.thread) {
      const session = this.#own[0]?.session;
      session?.proceed();
      if (this.#own[0]?.session === session) return;
    }
    this.#passOn();
  }

  #first(): number {
    return this.#queues.words.first(this.#slot);
  }

  #passOn(): void {
    const first = this.#first();
    if (first >= 0 && first !== this.#queues.thread) this.#queues.words.wake(first);
  }
}
