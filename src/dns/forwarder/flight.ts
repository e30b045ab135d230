/** A question that waits for upstreams, and those who wait for its answer. */
import type { Timer } from '../../core/clock.ts';
import { EDE } from '../extended-error.ts';
import { nameKeyAt } from '../wire/name.ts';
import type { ForwardAnswer } from './answer.ts';
import type { Attempt } from './exchange.ts';
import type { Upstream } from './upstream.ts';

/** Who waits for an answer; undefined says there is none to be had, `error` (RFC 8914 §4) why. */
export interface ForwardWaiter {
  forwarded(answer: ForwardAnswer | undefined, error: number): void;
}

/** What a flight asks for beside the question it was made for: the other half of a synthesized answer (RFC 6147). */
export interface FlightPlan {
  /** The question to ask first. */
  readonly first: Uint8Array;
  /** Judges the answer to the first question (undefined: none came). The question to ask next, or what to answer with. */
  next(
    answer: ForwardAnswer | undefined,
  ): { readonly ask: Uint8Array } | { readonly answer: ForwardAnswer | undefined };
  /** Makes the answer of both. */
  combine(first: ForwardAnswer | undefined, second: ForwardAnswer | undefined): ForwardAnswer | undefined;
}

/** A question on its way. */
export interface Flight {
  readonly id: string;
  /** When it began. */
  readonly since: number;
  /** What was asked of us, and what is asked now. */
  readonly question: Uint8Array;
  asked: Uint8Array;
  readonly key: number;
  readonly waiters: { readonly client: number; readonly waiter: ForwardWaiter }[];
  readonly attempts: Attempt[];
  /** Upstreams that answered with an error: no use asking them again. */
  readonly erred: Set<Upstream>;
  deadline: number;
  timer: Timer | undefined;
  /** For a probe: its upstream. */
  readonly probes: Upstream | undefined;
  readonly plan: FlightPlan | undefined;
  /** Whether nothing is made of the answer, kept of it or kept back. */
  readonly raw: boolean;
  /** The answer to the plan's first question, once the second is asked. */
  first: { readonly answer: ForwardAnswer | undefined } | undefined;
  /** Why there is no answer, as far as known (RFC 8914 §4). */
  error: number;
}

/** What only some flights have; as in `Flight`. */
export interface FlightExtras {
  readonly probes?: Upstream;
  readonly plan?: FlightPlan | undefined;
  readonly raw: boolean;
}

/** A flight that begins at `since` and asks its first question for so long. */
export function newFlight(
  id: string,
  question: Uint8Array,
  key: number,
  since: number,
  timeoutMs: number,
  { probes, plan, raw }: FlightExtras,
): Flight {
  return {
    id,
    since,
    question,
    asked: plan?.first ?? question,
    key,
    waiters: [],
    attempts: [],
    erred: new Set(),
    deadline: since + timeoutMs,
    timer: undefined,
    probes,
    plan,
    raw,
    first: undefined,
    error: EDE.NO_REACHABLE_AUTHORITY,
  };
}

/** How often the flight has asked this upstream. */
export function triesOf(flight: Flight, upstream: Upstream): number {
  let tries = 0;
  for (const attempt of flight.attempts) if (attempt.upstream === upstream) tries++;
  return tries;
}

/** What makes two questions one flight. */
export function flightId(question: Uint8Array, key: number): string {
  const nameEnd = question.length - 4;
  return nameKeyAt(question, 0, nameEnd) + String.fromCharCode(key, ...question.subarray(nameEnd));
}
