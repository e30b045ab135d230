/** Histograms of latencies in shared counters: one counter a bucket, then one for the sum of what was observed. */
import type { CounterStripe } from './counters.ts';

/** Upper bounds of the buckets in seconds; one without a bound comes after them. */
export const latencyBounds = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
] as const;

/** Counters a histogram takes. */
export const histogramSize: number = latencyBounds.length + 2;

/** Offset of the sum, in seconds. */
export const histogramSum: number = latencyBounds.length + 1;

/** Counts a latency, `count` times, in the histogram that begins at counter `base`. */
export function observe(counters: CounterStripe, base: number, ms: number, count = 1): void {
  const seconds = ms / 1000;
  let bucket = 0;
  while (bucket < latencyBounds.length && seconds > latencyBounds[bucket]!) bucket++;
  counters.add(base + bucket, count);
  counters.add(base + histogramSum, seconds * count);
}
