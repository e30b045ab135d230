/** New connections per client and window, bounded in memory: at most so many clients are remembered at a time. */
import type { Clock } from '../core/clock.ts';
import type { ListenerSnapshot } from './snapshot.ts';
import type { AddressSpan } from './wire/header.ts';

/** Beyond this many clients in one window the oldest are forgotten: better let some through than grow without end. */
const maxSources = 65_536;

interface Window {
  startedAt: number;
  readonly counts: Map<string, number>;
}

/** Fixed windows, one a listener; an IPv6 client counts as its /64, which is what one subscriber has at least. */
export class SourceRates {
  readonly #clock: Clock;
  readonly #windows = new Map<string, Window>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a connection; false when it is one too many in this window. */
  admit(listener: ListenerSnapshot, client: AddressSpan): boolean {
    const now = this.#clock.now();
    let window = this.#windows.get(listener.name);
    if (window === undefined || now - window.startedAt >= listener.rate.windowMs) {
      window = { startedAt: now, counts: new Map() };
      this.#windows.set(listener.name, window);
    }
    const key = Buffer.from(client.bytes.subarray(client.at, client.at + (client.family === 4 ? 4 : 8))).toString(
      'latin1',
    );
    const count = (window.counts.get(key) ?? 0) + 1;
    if (window.counts.size >= maxSources && count === 1) window.counts.delete(window.counts.keys().next().value!);
    window.counts.set(key, count);
    return count <= listener.rate.perSource;
  }
}
