/**
 * Requests over TCP are limited by client address: a token bucket each, so that a loop gone wrong, or a guess at the token,
 * costs the control thread little. The UNIX socket is for root and its group, who have worse means.
 */
import type { Clock } from '../../core/clock.ts';
import { SourceBuckets } from '../../core/token-bucket.ts';
import { ProblemError } from './problem.ts';

const perSecond = 50;
const burst = 200;
/** What a wrong token costs: five guesses a second, after the first twenty. */
const failureCost = 10;
const maxClients = 1_000;

export class RequestRate {
  readonly #clock: Clock;
  readonly #clients = new SourceBuckets({ perSecond, burst }, maxClients);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a request of a client. @throws {ProblemError} 429 */
  take(client: string): void {
    const now = this.#clock.now();
    const bucket = this.#clients.of(client, now);
    if (bucket.take(now)) return;
    const seconds = Math.ceil((1 - bucket.tokens(now)) / perSecond);
    throw new ProblemError(429, `more than ${perSecond} requests a second`, {
      headers: { 'retry-after': String(seconds) },
    });
  }

  /** A wrong token. */
  punish(client: string): void {
    this.#clients.of(client, this.#clock.now()).spend(failureCost - 1);
  }
}
