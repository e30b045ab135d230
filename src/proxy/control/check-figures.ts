/** What a member's checks came to since it is here: HAProxy's `chkfail`, `chkdown` and `downtime` of `show stat`. */
import type { MemberState } from '../snapshot.ts';

/** As the admin API and the metrics have it. */
export interface CheckTotals {
  /** Checks that failed, also while the member was down; those that could not be made are not among them. */
  readonly failed: number;
  /** Times the member went down. */
  readonly wentDown: number;
  /** Milliseconds that it was down altogether. */
  readonly downMs: number;
}

export class CheckFigures {
  #failed = 0;
  #wentDown = 0;
  #downMs = 0;
  /** Monotonic milliseconds; undefined: it is not down. */
  #downSince: number | undefined;

  /** A check has said something. */
  onResult(ok: boolean): void {
    if (!ok) this.#failed++;
  }

  /** The member is in another state; who was never up is down without having gone there. @param now monotonic milliseconds, as below */
  onState(from: MemberState | 'unknown', to: MemberState, now: number): void {
    if (this.#downSince !== undefined) this.#downMs += now - this.#downSince;
    this.#downSince = to === 'down' ? now : undefined;
    if (to === 'down' && from !== 'unknown' && from !== 'down') this.#wentDown++;
  }

  totals(now: number): CheckTotals {
    const current = this.#downSince === undefined ? 0 : now - this.#downSince;
    return { failed: this.#failed, wentDown: this.#wentDown, downMs: Math.round(this.#downMs + current) };
  }
}
