/** What the control part of DNS needs from above. */
import type { Clock } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import type { Logger } from '../core/logger.ts';
import type { Random } from '../core/random.ts';
import type { AskPrimary } from './secondary/transfer-client.ts';
import type { UpdateSighting, ZoneEvent, ZonePublication } from './zone-events.ts';

export interface DnsControlContext {
  readonly clock: Clock;
  /** Draws the ids of messages that we send first. */
  readonly random: Random;
  readonly log: Logger;
  /** Window for `controlCounters`. */
  readonly counters?: CounterStripe;
  readonly stateDir: string;
  /** Tells the data threads, before this turn ends. */
  readonly publish: (publication: ZonePublication) => void;
  /** Resolves when they have taken in all that was published; unless given, they have at once. */
  readonly taken?: () => Promise<unknown>;
  /**
   * Told of so many publications to come in this turn before anybody is told of what they say: whoever asks a data thread
   * then is answered with them.
   */
  readonly announce?: (publications: number) => void;
  readonly emit: (event: ZoneEvent) => void;
  /** Told of each update, and of each signature that is refused. */
  readonly saw?: (sighting: UpdateSighting) => void;
  /** How primaries of secondary zones are asked; tests have another. */
  readonly askPrimary?: AskPrimary;
}
