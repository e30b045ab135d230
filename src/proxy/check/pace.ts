import type { Clock } from '../../core/clock.ts';
import type { Random } from '../../core/random.ts';

/** First checks of a pool that may start in one moment. */
const atOnce = 4;
/** From one to the next after those, ±50 %. */
const gapMs = 10;

/**
 * When the first checks of a pool's members start, so that a hundred members that come in one moment (a start, a reload, a
 * name that leads to them) are not asked in one moment: the first few are, since clients wait for them; the others follow one by
 * one. It is the generic cell rate algorithm (ITU-T I.371).
 */
export class Pace {
  readonly #clock: Clock;
  readonly #random: Random;
  /** When the last of those told would have been due had none been let ahead. */
  #due = Number.NEGATIVE_INFINITY;

  constructor(context: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = context.clock;
    this.#random = context.random;
  }

  /**
   * Milliseconds from now to the next first check.
   * @param longestMs it is not later than that
   */
  next(longestMs: number): number {
    const now = this.#clock.now();
    const due = Math.max(this.#due, now);
    this.#due = due + gapMs * (0.5 + this.#random.fraction());
    return Math.min(longestMs, Math.max(0, due - (atOnce - 1) * gapMs - now));
  }
}
