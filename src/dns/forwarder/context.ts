/** What the forwarder needs from its thread, and what it says at once to who asks. */
import type { Clock } from '../../core/clock.ts';
import type { CounterStripe } from '../../core/counters.ts';
import type { Logger } from '../../core/logger.ts';
import type { Random } from '../../core/random.ts';
import type { Reactor } from '../../linux/reactor.ts';
import type { ForwardAnswer } from './answer.ts';
import type { FlightPlan } from './flight.ts';

/** What became of a question. */
export const QUEUED = 0;
/** Every upstream is known to be down. */
export const UNAVAILABLE = 1;
/** Too many questions wait. */
export const OVERLOADED = 2;
/** It is our own question that came back: an upstream forwards to us. */
export const LOOPED = 3;

/** What the forwarder needs from its thread. */
export interface ForwarderContext {
  readonly reactor: Reactor;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly counters: CounterStripe;
  /** Draws a client cookie for an upstream (RFC 7873 §4.1). */
  newCookie(): Uint8Array;
  /** What a question takes beside asking it. */
  plan(question: Uint8Array, key: number): FlightPlan | undefined;
  /** Whether an answer from outside may be passed on. */
  accepts(answer: ForwardAnswer): boolean;
  /** Called once a flight has ended, before its waiters. */
  settled(question: Uint8Array, key: number, answer: ForwardAnswer | undefined, error: number): void;
}
