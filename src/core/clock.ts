/** A timer that was set; `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

/** Time as a parameter, so that tests advance it instead of sleeping. */
export interface Clock {
  /** Monotonic time, milliseconds with fraction, from an arbitrary start. */
  now(): number;
  /** Wall-clock time, milliseconds since 1970-01-01T00:00Z. */
  wall(): number;
  /** Calls `run` once after `delayMs`. The timer does not keep the process alive. */
  after(delayMs: number, run: () => void): Timer;
}

/** The longest delay setTimeout takes: a longer one it would cut to one millisecond. */
const maxTimeoutMs = 2 ** 31 - 1;

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(delayMs, run) {
    return delayMs > maxTimeoutMs ? new LongTimer(delayMs, run) : shortTimer(delayMs, run);
  },
};

function shortTimer(delayMs: number, run: () => void): Timer {
  const timer = setTimeout(run, Math.max(0, delayMs));
  timer.unref();
  return { cancel: () => clearTimeout(timer) };
}

/** A delay of more than 24.8 days, in parts. */
class LongTimer implements Timer {
  readonly #run: () => void;
  #remainingMs: number;
  #timer: Timer;

  constructor(delayMs: number, run: () => void) {
    this.#run = run;
    this.#remainingMs = delayMs;
    this.#timer = this.#next();
  }

  cancel(): void {
    this.#timer.cancel();
  }

  #next(): Timer {
    const part = Math.min(this.#remainingMs, maxTimeoutMs);
    this.#remainingMs -= part;
    return shortTimer(part, () => {
      if (this.#remainingMs > 0) this.#timer = this.#next();
      else this.#run();
    });
  }
}

interface Pending {
  at: number;
  order: number;
  run: () => void;
}

/** A clock that moves only when told to; timers run in the order of their times. */
export class FakeClock implements Clock {
  #now: number;
  readonly #wallOffset: number;
  #order = 0;
  #pending: Pending[] = [];

  /** @param startWall wall-clock milliseconds at the start */
  constructor(startWall = Date.UTC(2026, 0, 1)) {
    this.#now = 1_000_000;
    this.#wallOffset = startWall - this.#now;
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#now + this.#wallOffset;
  }

  after(delayMs: number, run: () => void): Timer {
    const entry = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    this.#pending.push(entry);
    return {
      cancel: () => {
        this.#pending = this.#pending.filter((other) => other !== entry);
      },
    };
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Milliseconds until the next timer; undefined when none waits. */
  get next(): number | undefined {
    const first = this.#first();
    return first === undefined ? undefined : first.at - this.#now;
  }

  /** Moves time by `ms`, running every timer that comes due on the way, at its own time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let first = this.#first(); first !== undefined && first.at <= end; first = this.#first()) {
      const due = first;
      this.#pending = this.#pending.filter((other) => other !== due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
    }
    this.#now = end;
  }

  #first(): Pending | undefined {
    let best: Pending | undefined;
    for (const entry of this.#pending) {
      if (best === undefined || entry.at < best.at || (entry.at === best.at && entry.order < best.order)) best = entry;
    }
    return best;
  }
}
