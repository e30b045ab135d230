/** What every request of an endpoint has to pass, and what every answer has. */
import type { IncomingMessage } from 'node:http';
import { systemClock } from '../../core/clock.ts';
import { checkAccess, type Reach } from './access.ts';
import { RequestRate } from './rate.ts';

export const commonHeaders = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

export class Gate {
  readonly reach: Reach;
  readonly #token: string | undefined;
  readonly #rate = new RequestRate(systemClock);

  constructor(reach: Reach, token: string | undefined) {
    this.reach = reach;
    this.#token = token;
  }

  /**
   * @param path without the query
   * @throws {ProblemError} 401, 403, 421 or 429
   */
  admit({ method = '', headers: { host, authorization }, socket }: IncomingMessage, path: string): void {
    const client = socket.remoteAddress ?? '';
    if (this.reach !== 'unix') this.#rate.take(client);
    try {
      checkAccess(this.reach, this.#token, { method, path, host, authorization });
    } catch (error) {
      if (authorization !== undefined) this.#rate.punish(client);
      throw error;
    }
  }
}
