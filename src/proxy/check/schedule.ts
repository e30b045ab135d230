import type { Clock, Timer } from '../../core/clock.ts';
import type { Random } from '../../core/random.ts';
import type { Probe } from './probe.ts';
import type { CheckResult, CheckTarget } from './result.ts';

/** Part of the interval by which checks are spread, so that members of a pool are not checked in step. */
const jitter = 0.1;
/** Checks that live traffic asks for start at least this far apart, however many connects fail. */
const soonMs = 200;

interface ScheduleContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly probe: Probe;
  readonly onResult: (result: CheckResult) => void;
  /** From the start of a check to that of the next; asked when a result has been told. */
  readonly intervalMs: () => number;
}

/** Checks one member again and again: the first time when it is started, then after an interval ±10 %, one check at a time. */
export class CheckSchedule {
  readonly #context: ScheduleContext;
  readonly #target: CheckTarget;
  #timer: Timer | undefined;
  #running: { cancel(): void } | undefined;
  #startedAt = 0;
  #stopped = false;

  constructor(context: ScheduleContext, target: CheckTarget) {
    this.#context = context;
    this.#target = target;
  }

  /** Starts the first check, at once or after a moment. */
  start(afterMs = 0): void {
    if (afterMs > 0) this.#checkAfter(afterMs);
    else this.#check();
  }

  /** Live traffic saw a failure: the next check runs now, or shortly if one has only just run. */
  soon(): void {
    if (this.#stopped || this.#running !== undefined) return;
    const earliest = this.#startedAt + Math.min(soonMs, this.#context.intervalMs());
    this.#checkAfter(earliest - this.#context.clock.now());
  }

  /** No result is reported after this. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#running?.cancel();
    this.#running = undefined;
  }

  #check(): void {
    if (this.#stopped) return;
    const { clock, random, probe, onResult, intervalMs } = this.#context;
    this.#timer = undefined;
    this.#startedAt = clock.now();
    this.#running = probe(this.#target, clock, (result) => {
      if (this.#stopped) return;
      this.#running = undefined;
      onResult(result);
      // Who heard it may have asked for a check soon, or stopped us.
      if (this.#stopped || this.#timer !== undefined) return;
      const nextAt = this.#startedAt + intervalMs() * (1 + jitter * (2 * random.fraction() - 1));
      this.#checkAfter(nextAt - clock.now());
    });
  }

  #checkAfter(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#context.clock.after(Math.max(0, delayMs), () => this.#check());
  }
}
