/** Who waits for upstreams, counted by client: one that asks for much cannot take the place of all others. */
import { Tally } from '../../core/tally.ts';
import type { ForwardAnswer } from './answer.ts';
import type { Flight } from './flight.ts';

/** Waiters altogether, and of one client. */
const MAX_WAITERS = 16384;
const MAX_PER_CLIENT = 1024;

export class Waiters {
  readonly #perClient = new Tally<number>();

  /** Whether one more of this client (told by a hash of its address) may wait. */
  admits(client: number): boolean {
    return this.#perClient.total < MAX_WAITERS && this.#perClient.of(client) < MAX_PER_CLIENT;
  }

  add(client: number): void {
    this.#perClient.add(client);
  }

  /** Tells all who wait for a flight what became of it. */
  tell({ waiters, error }: Flight, answer: ForwardAnswer | undefined): void {
    for (const { client, waiter } of waiters) {
      this.#perClient.remove(client);
      waiter.forwarded(answer, error);
    }
  }
}
