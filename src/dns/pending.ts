/** A query that waits for an upstream. */
import type { InetEndpoint } from '../core/address.ts';
import type { Timer } from '../core/clock.ts';
import type { ForwardAnswer } from './forwarder/answer.ts';
import type { ForwardWaiter } from './forwarder/flight.ts';
import type { Origin, ReplySink } from './origin.ts';
import type { QueryView } from './query-view.ts';
import type { ZoneReply } from './zone-reply.ts';

/** What to know of it beside what it says. */
export interface PendingFacts {
  /** When it came. */
  readonly since: number;
  /** The part our zones gave: an alias that leads out of them. */
  readonly zoneReply: ZoneReply | undefined;
  /** Who asked, if the query log wants to know. */
  readonly client: InetEndpoint | undefined;
}

type Finish = (pending: Pending, answer: ForwardAnswer | undefined, error: number) => void;

export class Pending implements ForwardWaiter {
  readonly message: Uint8Array;
  /** The server cookie it gets (RFC 7873). */
  readonly cookie: Uint8Array | undefined;
  readonly sink: ReplySink;
  readonly transport: 'udp' | 'tcp';
  readonly facts: PendingFacts;
  /** Runs out where a stale answer is better than none (RFC 8767 §5). */
  patience: Timer | undefined;
  answered = false;
  readonly #finish: Finish;

  constructor(view: QueryView, origin: Origin, facts: PendingFacts, finish: Finish) {
    this.message = Uint8Array.from(view.message());
    this.cookie = view.cookie === 0 ? undefined : Uint8Array.from(view.serverCookie);
    this.sink = origin.hold();
    this.transport = origin.transport;
    this.facts = facts;
    this.#finish = finish;
  }

  forwarded(answer: ForwardAnswer | undefined, error: number): void {
    this.#finish(this, answer, error);
  }
}
