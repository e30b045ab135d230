/** Who waits for upstreams, counted by client: one that asks for much cannot take the place of all others. */
import type { ForwardAnswer } from './answer.ts';
import type { Flight } from './flight.ts';

/** Waiters altogether, and of one client. */
const MAX_WAITERS = 16384;
const MAX_PER_CLIENT = 1024;

export class Waiters {
  readonly #perClient = new Map<number, number>();
  #all = 0;

  /** Whether one more of this client (told by a hash of its address) may wait. */
  admits(client: number): boolean {
    return this.#all < MAX_WAITERS && (this.#perClient.get(client) ?? 0) < MAX_PER_CLIENT;
  }

  add(client: number): void {
    this.#all++;
    this.#perClient.set(client, (this.#perClient.get(client) ?? 0) + 1);
  }

  /** Tells all who wait for a flight what became of it. */
  tell({ waiters, error }: Flight, answer: ForwardAnswer | undefined): void {
    for (const { client, waiter } of waiters) {
      this.#remove(client);
      waiter.forwarded(answer, error);
    }
  }

  #remove(client: number): void {
    this.#all--;
    const left = this.#perClient.get(client)! - 1;
    if (left === 0) this.#perClient.delete(client);
    else this.#perClient.set(client, left);
  }
}
