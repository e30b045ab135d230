/**
 * How much one source, and all together, may ask: a token bucket each. What is not good for anything costs more, so that who guesses
 * or replays has five tries at once and one in six seconds.
 */
import type { Clock } from '../../core/clock.ts';
import { SourceBuckets, TokenBucket } from '../../core/token-bucket.ts';

const ofOne = { perSecond: 1, burst: 30 };
const ofAll = { perSecond: 50, burst: 200 };
/** What a request costs that was refused. */
const refusalCost = 6;
const maxSources = 1_000;

export class JoinRate {
  readonly #clock: Clock;
  readonly #sources = new SourceBuckets(ofOne, maxSources);
  readonly #all: TokenBucket;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#all = new TokenBucket(ofAll, clock.now());
  }

  /** Counts a request; false: there were too many. */
  take(source: string): boolean {
    const now = this.#clock.now();
    // A source that asks too often takes nothing from the others.
    return this.#all.tokens(now) >= 1 && this.#sources.of(source, now).take(now) && this.#all.take(now);
  }

  /** The request just counted was refused. */
  punish(source: string): void {
    this.#sources.of(source, this.#clock.now()).spend(refusalCost - 1);
  }
}
