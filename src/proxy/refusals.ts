/**
 * Lines of sessions that a listener's rules refuse. Whoever is shut out may come thousands of times a second, and the journal
 * limits a unit as a whole: so many lines would keep those out that matter. A few a second are written, the others counted.
 */
import type { Clock, Timer } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { isRefusal, type Termination } from './termination.ts';

/** Of each listener, in each thread. */
const linesPerWindow = 10;
const windowMs = 1000;

interface Window {
  readonly until: number;
  lines: number;
  left: number;
}

export class RefusalLog {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By the listener's name. */
  readonly #windows = new Map<string, Window>();
  #timer: Timer | undefined;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Whether the line of a session that ended so is written; one that is not will be told of with others. */
  admits(listener: string, termination: Termination): boolean {
    if (!isRefusal(termination)) return true;
    const now = this.#clock.now();
    let window = this.#windows.get(listener);
    if (window === undefined || now >= window.until) {
      if (window !== undefined) this.#tell(listener, window);
      window = { until: now + windowMs, lines: 0, left: 0 };
      this.#windows.set(listener, window);
    }
    if (window.lines < linesPerWindow) {
      window.lines++;
      return true;
    }
    window.left++;
    this.#timer ??= this.#clock.after(windowMs, () => this.#onTimer());
    return false;
  }

  /** Tells of what is left, and of no more. */
  close(): void {
    this.#timer?.cancel();
    this.#onTimer();
  }

  #onTimer(): void {
    this.#timer = undefined;
    for (const [listener, window] of this.#windows) this.#tell(listener, window);
    this.#windows.clear();
  }

  #tell(listener: string, { left }: Window): void {
    if (left > 0) this.#log.warn({ listener, count: left }, 'more sessions were refused, without a line each');
  }
}
