/**
 * Figures over time, for charts of the last hour and the last day: sampled here rather than by whoever looks, so that a page
 * opened at three in the morning shows what happened at two. Two rings of fixed size, 8 bytes a value.
 */
import type { Clock, Timer } from '../core/clock.ts';

/** A ring: steps of so many milliseconds, and how many are kept. */
export interface Span {
  readonly name: '1h' | '24h';
  readonly stepMs: number;
  readonly steps: number;
}

const spans: readonly Span[] = [
  { name: '1h', stepMs: 5_000, steps: 720 },
  { name: '24h', stepMs: 120_000, steps: 720 },
];

/** A figure that is sampled: a `gauge` as it is, a `counter` as its rise a second. */
export interface Figure {
  readonly name: string;
  readonly kind: 'gauge' | 'counter';
  readonly read: () => number;
}

/** `series` has a list for each figure, as long as `times` (wall-clock milliseconds). */
export interface HistoryReport {
  readonly span: string;
  readonly stepMs: number;
  readonly times: readonly number[];
  readonly series: Readonly<Record<string, readonly number[]>>;
}

export class History {
  readonly #clock: Clock;
  readonly #figures: readonly Figure[];
  readonly #rings: readonly Ring[];
  #timer: Timer | undefined;

  constructor(clock: Clock, figures: readonly Figure[]) {
    this.#clock = clock;
    this.#figures = figures;
    this.#rings = spans.map((span) => new Ring(span, figures));
  }

  start(): void {
    const now = this.#clock.now();
    for (const ring of this.#rings) ring.begin(now);
    this.#schedule();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** What one span holds, the oldest first. */
  report(name: Span['name']): HistoryReport {
    return this.#rings.find(({ span }) => span.name === name)!.report(this.#figures);
  }

  #schedule(): void {
    this.#timer = this.#clock.after(spans[0]!.stepMs, () => {
      const [now, wall] = [this.#clock.now(), this.#clock.wall()];
      for (const ring of this.#rings) ring.sample(now, wall);
      this.#schedule();
    });
  }
}

class Ring {
  readonly span: Span;
  readonly #figures: readonly Figure[];
  readonly #times: Float64Array;
  readonly #values: readonly Float64Array[];
  /** Counters at the last sample, and when that was. */
  readonly #before: Float64Array;
  #beforeAt = 0;
  #next = 0;
  #filled = 0;

  constructor(span: Span, figures: readonly Figure[]) {
    this.span = span;
    this.#figures = figures;
    this.#times = new Float64Array(span.steps);
    this.#values = figures.map(() => new Float64Array(span.steps));
    this.#before = new Float64Array(figures.length);
  }

  begin(now: number): void {
    this.#beforeAt = now;
    for (const [i, figure] of this.#figures.entries()) this.#before[i] = figure.read();
  }

  /** Takes a sample if one is due. */
  sample(now: number, wall: number): void {
    const seconds = (now - this.#beforeAt) / 1000;
    // A timer comes a little early or late: not a whole step is lost for it.
    if (seconds * 1000 < this.span.stepMs - spans[0]!.stepMs / 2) return;
    this.#times[this.#next] = wall;
    for (const [i, { kind, read }] of this.#figures.entries()) {
      const value = read();
      // A counter that fell belongs to something that is gone, such as a removed listener.
      this.#values[i]![this.#next] = kind === 'gauge' ? value : Math.max(0, value - this.#before[i]!) / seconds;
      this.#before[i] = value;
    }
    this.#beforeAt = now;
    this.#next = (this.#next + 1) % this.span.steps;
    this.#filled = Math.min(this.span.steps, this.#filled + 1);
  }

  report(figures: readonly Figure[]): HistoryReport {
    const ordered = (ring: Float64Array) => {
      const first = (this.#next - this.#filled + this.span.steps) % this.span.steps;
      return Array.from({ length: this.#filled }, (_, i) => round(ring[(first + i) % this.span.steps]!));
    };
    return {
      span: this.span.name,
      stepMs: this.span.stepMs,
      times: ordered(this.#times),
      series: Object.fromEntries(figures.map(({ name }, i) => [name, ordered(this.#values[i]!)])),
    };
  }
}

/** Rates need no more than a hundredth. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}
