/**
 * What several threads are asked at once: a ticket goes with each question and comes back with each answer. A thread answers
 * once, also by ending; one that is late is left out.
 */
import type { Clock, Timer } from '../core/clock.ts';

interface Pending<Thread> {
  readonly waiting: Set<Thread>;
  readonly values: unknown[];
  readonly timer: Timer;
  readonly resolve: (values: unknown[]) => void;
}

export class Tickets<Thread> {
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending<Thread>>();
  #next = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves with what all of `threads` answer, or with what there is after `limitMs`.
   * @param ask sends the question to one of them
   */
  open(threads: readonly Thread[], limitMs: number, ask: (thread: Thread, ticket: number) => void): Promise<unknown[]> {
    const ticket = this.#next++;
    if (threads.length === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      const values: unknown[] = [];
      const timer = this.#clock.after(limitMs, () => {
        this.#pending.delete(ticket);
        resolve(values);
      });
      this.#pending.set(ticket, { waiting: new Set(threads), values, timer, resolve });
      for (const thread of threads) ask(thread, ticket);
    });
  }

  /** A thread's answer; `undefined` is one that has nothing to say. */
  settle(ticket: number, thread: Thread, value: unknown): void {
    const pending = this.#pending.get(ticket);
    if (pending === undefined || !pending.waiting.delete(thread)) return;
    if (value !== undefined) pending.values.push(value);
    if (pending.waiting.size > 0) return;
    pending.timer.cancel();
    this.#pending.delete(ticket);
    pending.resolve(pending.values);
  }

  /** A thread has ended, which answers all it was asked. */
  ended(thread: Thread): void {
    for (const ticket of [...this.#pending.keys()]) this.settle(ticket, thread, undefined);
  }
}
