/**
 * Requests over TCP are limited by client address: a token bucket each, so that a loop gone wrong, or a guess at the token,
 * costs the control thread little. The UNIX socket is for root and its group, who have worse means.
 */
import type { Clock } from '../../core/clock.ts';
import { ProblemError } from './problem.ts';

const perSecond = 50;
const burst = 200;
/** What a wrong token costs: five guesses a second, after the first twenty. */
const failureCost = 10;
/** Buckets kept; beyond it the one unheard of for longest goes, which is full again in all likelihood. */
const maxClients = 1_000;

interface Bucket {
  tokens: number;
  at: number;
}

export class RequestRate {
  readonly #clock: Clock;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a request of a client. @throws {ProblemError} 429 */
  take(client: string): void {
    const bucket = this.#bucket(client);
    if (bucket.tokens < 1) {
      const seconds = Math.ceil((1 - bucket.tokens) / perSecond);
      throw new ProblemError(429, `more than ${perSecond} requests a second`, {
        headers: { 'retry-after': String(seconds) },
      });
    }
    bucket.tokens--;
  }

  /** A wrong token. */
  punish(client: string): void {
    this.#bucket(client).tokens -= failureCost - 1;
  }

  #bucket(client: string): Bucket {
    const now = this.#clock.now();
    const old = this.#buckets.get(client);
    const tokens = old === undefined ? burst : Math.min(burst, old.tokens + ((now - old.at) * perSecond) / 1000);
    const bucket = old ?? { tokens, at: now };
    bucket.tokens = tokens;
    bucket.at = now;
    // Moved to the end: the first is the one unheard of for longest.
    this.#buckets.delete(client);
    this.#buckets.set(client, bucket);
    if (this.#buckets.size > maxClients) this.#buckets.delete(this.#buckets.keys().next().value!);
    return bucket;
  }
}
