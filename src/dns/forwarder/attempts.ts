/** Queries on their way: each an attempt of a flight at one upstream, until its answer has come or nobody waits for it. */
import { COUNT } from '../counters.ts';
import { UPSTREAM } from '../slot-counters.ts';
import type { Channels } from './channels.ts';
import type { ForwarderContext } from './context.ts';
import type { Attempt, Unneeded } from './exchange.ts';
import type { Flight } from './flight.ts';
import { isEncrypted, type Upstream } from './upstream.ts';
import { encodeQuery, mixCase } from './upstream-query.ts';

/** How a query differs from what an upstream gets first; as in `Attempt`. */
export interface QueryForm {
  readonly again?: boolean;
  readonly without?: Unneeded;
}

export class Attempts {
  readonly #context: ForwarderContext;
  readonly #channels: Channels;
  readonly #flightOf = new Map<Attempt, Flight>();

  constructor(context: ForwarderContext, channels: Channels) {
    this.#context = context;
    this.#channels = channels;
  }

  /** What waits for the attempt; undefined if nobody does any more. */
  flightOf(attempt: Attempt): Flight | undefined {
    return this.#flightOf.get(attempt);
  }

  /** Those that wait for an upstream. */
  at(upstream: Upstream): Attempt[] {
    return [...this.#flightOf.keys()].filter((attempt) => attempt.upstream === upstream);
  }

  /** Asks an upstream what the flight asks; undefined when there is no way there; it may also be left unsent. */
  send(
    flight: Flight,
    upstream: Upstream,
    stream: boolean,
    { again = false, without }: QueryForm = {},
  ): Attempt | undefined {
    const { clock, counters, random } = this.#context;
    const channel = this.#channels.of(upstream);
    if (channel === undefined) return undefined;
    const now = clock.now();
    const edns = now >= upstream.plainUntil && without !== 'edns';
    const encrypted = isEncrypted(upstream.config);
    const cookie = edns && !encrypted && without === undefined ? channel.cookie.option(now) : undefined;
    const question = stream || !upstream.mixesCase ? flight.asked : mixCase(flight.asked, random);
    const sent = { upstream, question, sentAt: now, stream, edns, cookie, again, without };
    const attempt: Attempt = { ...sent, unsent: false, id: 0, socket: undefined };
    const query = encodeQuery(question, flight.key, edns ? { cookie, padded: encrypted } : undefined);
    const departure = (stream ? channel.stream : channel.udp).send(attempt, query);
    if (departure === 'unreachable') return undefined;
    flight.attempts.push(attempt);
    if (departure === 'short') {
      attempt.unsent = true;
      return attempt;
    }
    upstream.sent++;
    counters.add(COUNT.UPSTREAM_SENT);
    this.note(upstream, UPSTREAM.SENT);
    this.#flightOf.set(attempt, flight);
    return attempt;
  }

  /** Takes in what has come for a flight while this thread was busy. Returns whether the attempt still waits. */
  look(flight: Flight, attempt: Attempt): boolean {
    for (const { socket } of [...flight.attempts]) socket?.look?.();
    return attempt.socket !== undefined;
  }

  /** Stops listening for an attempt; it still counts as a try. */
  drop(attempt: Attempt): void {
    if (!this.#flightOf.delete(attempt)) return;
    attempt.socket?.forget(attempt);
    attempt.socket = undefined;
  }

  /** Adds to a counter of the upstream's own, if it has any. */
  note({ counters }: Upstream, offset: number): void {
    if (counters !== undefined) this.#context.counters.add(counters + offset);
  }
}
