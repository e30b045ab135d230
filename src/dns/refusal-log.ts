/** Lines of messages that are refused, whoever they are from: a few a second of each kind. */
import type { Clock } from '../core/clock.ts';
import { LineWindows } from '../core/line-windows.ts';
import type { LogFields, Logger } from '../core/logger.ts';

export class RefusalLog {
  readonly #windows: LineWindows;

  constructor(clock: Clock, log: Logger) {
    this.#windows = new LineWindows(clock, (message, count) =>
      log.warn({ count }, `${message}: more of these, without a line each`),
    );
  }

  /** Writes a line to `log`, or tells of it with others. @param message one of a few */
  warn(log: Logger, fields: LogFields, message: string): void {
    if (this.#windows.admits(message)) log.warn(fields, message);
  }
}
