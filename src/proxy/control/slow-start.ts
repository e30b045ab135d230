/**
 * How much a member that came up may be given so far: its weight and `maxConnections` grow from nothing to full (HAProxy
 * `slowstart`), and go on to over a restart.
 */
import type { Clock, Timer } from '../../core/clock.ts';

/** Updates on the way. */
const steps = 10;
/** What it begins with. */
const leastPart = 0.01;

export class SlowStart {
  readonly #clock: Clock;
  readonly #changed: () => void;
  /** Monotonic milliseconds; undefined: nothing grows. */
  #startedAt: number | undefined;
  #timer: Timer | undefined;

  /** @param changed told of each step */
  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Milliseconds since it began; undefined: it is over, or there was none. */
  get elapsedMs(): number | undefined {
    return this.#startedAt === undefined ? undefined : this.#clock.now() - this.#startedAt;
  }

  /**
   * Begins, from the start.
   * @param slowStartMs how long it takes; 0 = everything at once
   * @param elapsedMs of an earlier process's
   */
  begin(slowStartMs: number, elapsedMs = 0): void {
    this.end();
    if (elapsedMs >= slowStartMs) return;
    this.#startedAt = this.#clock.now() - elapsedMs;
    this.#plan(slowStartMs);
  }

  /** What there is so far, from 0 to 1. @param slowStartMs as now configured */
  part(slowStartMs: number): number {
    const elapsedMs = this.elapsedMs;
    return elapsedMs === undefined || elapsedMs >= slowStartMs ? 1 : Math.max(leastPart, elapsedMs / slowStartMs);
  }

  /** Everything from now on. */
  end(): void {
    this.#timer?.cancel();
    this.#startedAt = undefined;
  }

  #plan(slowStartMs: number): void {
    const stepMs = slowStartMs / steps;
    const elapsedMs = this.elapsedMs!;
    const nextMs = Math.min(slowStartMs, (Math.floor(elapsedMs / stepMs) + 1) * stepMs);
    this.#timer = this.#clock.after(nextMs - elapsedMs, () => {
      if (nextMs >= slowStartMs) this.#startedAt = undefined;
      else this.#plan(slowStartMs);
      this.#changed();
    });
  }
}
