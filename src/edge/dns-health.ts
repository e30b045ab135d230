/**
 * Whether DNS here can serve, for advertisements that follow it (`ra[].rdnss.whileHealthy`).
 *
 * The verdict has hysteresis: nodes turn to another server only after DNS has been gone for a while, and come back only
 * when it has been there for longer, so that a line that flaps does not move them to and fro.
 */
import type { ThreadReport } from './protocol.ts';

/** DNS that cannot serve for this long is said to be gone. */
export const goneAfterMs = 10_000;
/** DNS that can serve again for this long is said to be there. */
export const backAfterMs = 30_000;

export class DnsHealth {
  #serves = true;
  /** Since when each look has contradicted the verdict. */
  #otherwiseSince: number | undefined;

  /**
   * Takes one look and returns the verdict.
   * @param now monotonic milliseconds
   */
  observe(canServe: boolean, now: number): boolean {
    if (canServe === this.#serves) {
      this.#otherwiseSince = undefined;
      return this.#serves;
    }
    this.#otherwiseSince ??= now;
    if (now - this.#otherwiseSince >= (this.#serves ? goneAfterMs : backAfterMs)) {
      this.#serves = canServe;
      this.#otherwiseSince = undefined;
    }
    return this.#serves;
  }
}

/**
 * Whether a node that asks gets an answer: data threads run, a socket is open, and no thread has all of its upstreams down
 * (the kernel chooses the thread, and each learns of a dead upstream by its own queries).
 */
export function dnsCanServe(reports: readonly ThreadReport[]): boolean {
  const binds = reports.flatMap((report) => report.binds.filter(({ role }) => role === 'dns'));
  if (reports.length === 0 || (binds.length > 0 && binds.every(({ error }) => error !== undefined))) return false;
  return !reports.some(({ upstreams }) => upstreams.length > 0 && upstreams.every(({ state }) => state === 'down'));
}
