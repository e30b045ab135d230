/**
 * Log lines that strangers cause. They may come thousands of times a second, and the journal limits a unit as a whole: so many lines
 * would keep those out that matter. A few of each kind are written in a second, the others counted.
 */
import type { Clock, Timer } from './clock.ts';

const linesPerWindow = 10;
const windowMs = 1000;

interface Window {
  readonly until: number;
  lines: number;
  left: number;
}

export class LineWindows {
  readonly #clock: Clock;
  readonly #tell: (kind: string, left: number) => void;
  readonly #windows = new Map<string, Window>();
  #timer: Timer | undefined;

  /** @param tell is told how many lines of a kind were left out, about once a second while there are any */
  constructor(clock: Clock, tell: (kind: string, left: number) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Whether a line is written; one that is not will be told of with others. @param kind one of a few */
  admits(kind: string): boolean {
    const now = this.#clock.now();
    let window = this.#windows.get(kind);
    if (window === undefined || now >= window.until) {
      if (window !== undefined) this.#end(kind, window);
      window = { until: now + windowMs, lines: 0, left: 0 };
      this.#windows.set(kind, window);
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
    for (const [kind, window] of this.#windows) this.#end(kind, window);
    this.#windows.clear();
  }

  #end(kind: string, { left }: Window): void {
    if (left > 0) this.#tell(kind, left);
  }
}
