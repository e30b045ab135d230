/** Notices that an upstream, or whoever it forwards to, forwards to us: our own question comes back while it waits. */
import { equalBytes } from '../wire/bytes.ts';
import type { Flight } from './flight.ts';

/** Fewer letters have the case that was drawn too easily by chance. */
const MIN_LETTERS = 8;

/** Whether a client's question is one that left here: with the letters' case that was drawn for it, not the first client's. */
export function cameBack(question: Uint8Array, flight: Flight): boolean {
  return flight.attempts.some(
    ({ question: sent }) =>
      equalBytes(question, sent) && !equalBytes(sent, flight.asked) && letters(sent) >= MIN_LETTERS,
  );
}

function letters(question: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < question.length - 4; i++) {
    const lower = question[i]! | 0x20;
    if (lower >= 0x61 && lower <= 0x7a) count++;
  }
  return count;
}
