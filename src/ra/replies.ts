/** Unicast replies to solicitations (RFC 4861 §6.2.6): each waits its random time; one source, and all together, are limited. */
import type { Address } from '../core/address.ts';
import type { Clock, Timer } from '../core/clock.ts';
import { maxSources } from './constants.ts';
import { ReplyLimit, type Verdict } from './rate-limit.ts';

export class Replies {
  readonly #clock: Clock;
  readonly #send: (to: Address) => void;
  readonly #limit = new ReplyLimit();
  readonly #waiting = new Map<string, Timer>();

  constructor(clock: Clock, send: (to: Address) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  /**
   * Answers `source` after `delayMs`, unless that is not to be. One that waits for its reply is not given another.
   */
  ask(source: Address, delayMs: number): Verdict {
    const from = textOf(source.bytes);
    if (this.#waiting.has(from)) return 'reply';
    if (this.#waiting.size >= maxSources) return 'multicast';
    const verdict = this.#limit.ask(from, this.#clock.now());
    if (verdict !== 'reply') return verdict;
    if (delayMs === 0) {
      this.#send(source);
    } else {
      const timer = this.#clock.after(delayMs, () => {
        this.#waiting.delete(from);
        this.#send(source);
      });
      this.#waiting.set(from, timer);
    }
    return 'reply';
  }

  /** Drops the replies that wait. */
  cancel(): void {
    for (const timer of this.#waiting.values()) timer.cancel();
    this.#waiting.clear();
  }
}

/** Its bytes as text: written for people it would take longer, and a node waits. */
function textOf(b: Uint8Array): string {
  const pair = (at: number): number => (b[at]! << 8) | b[at + 1]!;
  return String.fromCharCode(pair(0), pair(2), pair(4), pair(6), pair(8), pair(10), pair(12), pair(14));
}
