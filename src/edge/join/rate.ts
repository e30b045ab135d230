/**
 * How much one source, and all together, may ask: a token bucket each. What is not good for anything costs more, so that who guesses
 * or replays has five tries at once and one in six seconds.
 */
import type { Clock } from '../../core/clock.ts';

/** Of one source: a second, and at once. */
const perSecond = 1;
const burst = 30;
/** What a request costs that was refused. */
const refusalCost = 6;
/** Of all sources together. */
const allPerSecond = 50;
const allBurst = 200;
/** Sources known; beyond it the one unheard of for longest goes. */
const maxSources = 1_000;

interface Bucket {
  tokens: number;
  at: number;
}

export class JoinRate {
  readonly #clock: Clock;
  readonly #sources = new Map<string, Bucket>();
  readonly #all: Bucket;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#all = { tokens: allBurst, at: clock.now() };
  }

  /** Counts a request; false: there were too many. */
  take(source: string): boolean {
    const own = this.#bucket(source);
    this.#refill(this.#all, allPerSecond, allBurst);
    if (own.tokens < 1 || this.#all.tokens < 1) return false;
    own.tokens--;
    this.#all.tokens--;
    return true;
  }

  /** The request just counted was refused. */
  punish(source: string): void {
    this.#bucket(source).tokens -= refusalCost - 1;
  }

  #bucket(source: string): Bucket {
    const bucket = this.#sources.get(source) ?? { tokens: burst, at: this.#clock.now() };
    this.#refill(bucket, perSecond, burst);
    // Moved to the end: the first is the one unheard of for longest.
    this.#sources.delete(source);
    this.#sources.set(source, bucket);
    if (this.#sources.size > maxSources) this.#sources.delete(this.#sources.keys().next().value!);
    return bucket;
  }

  #refill(bucket: Bucket, rate: number, most: number): void {
    const now = this.#clock.now();
    bucket.tokens = Math.min(most, bucket.tokens + ((now - bucket.at) * rate) / 1000);
    bucket.at = now;
  }
}
