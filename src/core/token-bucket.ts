/**
 * Token buckets: so many a second, and so many at once after a rest. Clocks are the caller's, in milliseconds; a bucket that is
 * made starts full.
 */

export interface BucketRate {
  readonly perSecond: number;
  /** The most that is saved up. */
  readonly burst: number;
}

export class TokenBucket {
  readonly #rate: BucketRate;
  #tokens: number;
  #filledAt: number;

  constructor(rate: BucketRate, now: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#filledAt = now;
  }

  /** What is in it; below zero after `spend`. */
  tokens(now: number): number {
    const { perSecond, burst } = this.#rate;
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) * perSecond) / 1000);
    this.#filledAt = now;
    return this.#tokens;
  }

  /** Takes one if there is one. */
  take(now: number): boolean {
    if (this.tokens(now) < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Takes `count` whether they are there or not: what is owed is earned first. */
  spend(count: number): void {
    this.#tokens -= count;
  }
}

/** A bucket for each source, in bounded memory: beyond `maxSources` the one unheard of for longest goes, full again in all likelihood. */
export class SourceBuckets {
  readonly #rate: BucketRate;
  readonly #maxSources: number;
  /** In the order of last use. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rate: BucketRate, maxSources: number) {
    this.#rate = rate;
    this.#maxSources = maxSources;
  }

  /** @param source any text that is the same for the same source */
  of(source: string, now: number): TokenBucket {
    const bucket = this.#buckets.get(source) ?? new TokenBucket(this.#rate, now);
    this.#buckets.delete(source);
    this.#buckets.set(source, bucket);
    if (this.#buckets.size > this.#maxSources) this.#buckets.delete(this.#buckets.keys().next().value!);
    return bucket;
  }

  /** Sources remembered. */
  get size(): number {
    return this.#buckets.size;
  }
}
