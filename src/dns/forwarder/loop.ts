/** Notices that an upstream, or whoever it forwards to, forwards to us: our own question comes back while it waits. */
import { formatEndpoint, type InetEndpoint } from '../../core/address.ts';
import type { Clock } from '../../core/clock.ts';
import type { CounterStripe } from '../../core/counters.ts';
import type { Logger } from '../../core/logger.ts';
import { COUNT } from '../counters.ts';
import { equalBytes } from '../wire/bytes.ts';
import { nameToText } from '../wire/name.ts';
import type { Flight } from './flight.ts';

/** Fewer letters have the case that was drawn too easily by chance. */
const MIN_LETTERS = 8;
const TELL_MS = 60_000;

/** Whether a client's question is one that left here: with the letters' case that was drawn for it, not the first client's. */
export function cameBack(question: Uint8Array, flight: Flight): boolean {
  return flight.attempts.some(
    ({ question: sent }) =>
      equalBytes(question, sent) && !equalBytes(sent, flight.asked) && letters(sent) >= MIN_LETTERS,
  );
}

/** Tells of loops: who made one has to end it. */
export class LoopNotice {
  readonly #context: { readonly clock: Clock; readonly counters: CounterStripe; readonly log: Logger };
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(context: { readonly clock: Clock; readonly counters: CounterStripe; readonly log: Logger }) {
    this.#context = context;
  }

  /** Counts it, with one line a minute. */
  note(question: Uint8Array, client: InetEndpoint): void {
    const { clock, counters, log } = this.#context;
    counters.add(COUNT.UPSTREAM_LOOPED);
    const now = clock.now();
    if (now - this.#toldAt < TELL_MS) return;
    this.#toldAt = now;
    const name = nameToText(question.subarray(0, -4));
    log.error({ from: formatEndpoint(client), name }, 'a query of ours came back: an upstream forwards to this server');
  }
}

function letters(question: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < question.length - 4; i++) {
    const lower = question[i]! | 0x20;
    if (lower >= 0x61 && lower <= 0x7a) count++;
  }
  return count;
}
