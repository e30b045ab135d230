/** Lines of sessions that a listener's rules refuse: a few a second of each listener, in each thread. */
import type { Clock } from '../core/clock.ts';
import { LineWindows } from '../core/line-windows.ts';
import type { Logger } from '../core/logger.ts';
import { isRefusal, type Termination } from './termination.ts';

export class RefusalLog {
  readonly #windows: LineWindows;

  constructor(clock: Clock, log: Logger) {
    this.#windows = new LineWindows(clock, (listener, count) =>
      log.warn({ listener, count }, 'more sessions were refused, without a line each'),
    );
  }

  /** Whether the line of a session that ended so is written; one that is not will be told of with others. */
  admits(listener: string, termination: Termination): boolean {
    return !isRefusal(termination) || this.#windows.admits(listener);
  }

  /** Tells of what is left, and of no more. */
  close(): void {
    this.#windows.close();
  }
}
