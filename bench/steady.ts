/** Waits for a figure that comes to rest, such as a process's memory: a condition in the place of a guess how long that takes. */
import { setTimeout as delay } from 'node:timers/promises';

export interface Steadiness {
  /** Readings in a row that must be alike. */
  readonly readings: number;
  readonly pauseMs: number;
  /** How far apart the largest and the smallest of them may be. */
  readonly tolerance: number;
  /** Readings after which it is given up. */
  readonly limit: number;
}

/** Of the readings that were alike the last and the largest, and the least of all there were. */
export interface Steady {
  readonly last: number;
  readonly most: number;
  readonly leastEver: number;
}

/**
 * Reads until the figure is steady.
 * @throws {Error} when it never is
 */
export async function steady(
  what: string,
  read: () => number,
  { readings, pauseMs, tolerance, limit }: Steadiness,
  pause: (ms: number) => Promise<unknown> = delay,
): Promise<Steady> {
  const all: number[] = [];
  while (all.length < limit) {
    if (all.length > 0) await pause(pauseMs);
    all.push(read());
    if (all.length < readings) continue;
    const tail = all.slice(-readings);
    const most = Math.max(...tail);
    if (most - Math.min(...tail) <= tolerance) return { last: tail.at(-1)!, most, leastEver: Math.min(...all) };
  }
  throw new Error(`${what} is not steady: ${all.slice(-readings).join(', ')}`);
}
