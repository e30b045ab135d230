/**
 * Descriptors that a thread lends to another one of its process, for single calls and without being woken. Each has one owner who
 * closes it; a word of shared memory sees to it that this never happens in the middle of a call of the borrower, and that
 * nobody uses the number for what it stands for later.
 *
 * The word is a count of the loans of its place, and below it (two bits) the state of the newest. Who borrows must not wait for the owner.
 */
import { assert } from '../core/errors.ts';

/** Descriptors that a thread can lend at a time; what is beyond goes without. */
const PLACES = 64;
const LENT = 0;
const IN_USE = 1;
const ENDED = 2;
const STATE = 3;
/** The owner looks again after this time, should the borrower's word get lost. */
const LOOK_MS = 10;

/** One loan, as it is passed to another thread. */
export interface Loan {
  readonly fd: number;
  readonly place: number;
  /** The word of its place while it is lent and not in use. */
  readonly word: number;
}

/** Memory for the loans of one thread. */
export function newLoans(): SharedArrayBuffer {
  return new SharedArrayBuffer(PLACES * Int32Array.BYTES_PER_ELEMENT);
}

/** The owner's side. */
export class Lender {
  readonly #words: Int32Array;
  readonly #free = Array.from({ length: PLACES }, (_, i) => PLACES - 1 - i);

  constructor(loans: SharedArrayBuffer) {
    this.#words = new Int32Array(loans);
  }

  /** Lends a descriptor until `end`; undefined when too many are. */
  lend(fd: number): Loan | undefined {
    const place = this.#free.pop();
    if (place === undefined) return undefined;
    const word = ((Atomics.load(this.#words, place) | STATE) + 1) | 0;
    Atomics.store(this.#words, place, word);
    return { fd, place, word };
  }

  /** Ends a loan: a call under way is waited for, and there is none any more. Before the descriptor is closed. */
  end({ place, word }: Loan): void {
    const words = this.#words;
    while (Atomics.compareExchange(words, place, word | LENT, word | ENDED) !== (word | LENT)) {
      assert(Atomics.load(words, place) === (word | IN_USE), 'a loan ends once');
      Atomics.wait(words, place, word | IN_USE, LOOK_MS);
    }
    this.#free.push(place);
  }
}

/** The borrower's side, for the loans of one thread. */
export class Borrower {
  readonly #words: Int32Array;

  constructor(loans: SharedArrayBuffer) {
    this.#words = new Int32Array(loans);
  }

  /** Calls `run`, which must not wait for anything, with the descriptor. Returns what it did; undefined when the loan is over. */
  use<T>({ fd, place, word }: Loan, run: (fd: number) => T): T | undefined {
    const words = this.#words;
    if (Atomics.compareExchange(words, place, word | LENT, word | IN_USE) !== (word | LENT)) return undefined;
    try {
      return run(fd);
    } finally {
      Atomics.store(words, place, word | LENT);
      Atomics.notify(words, place);
    }
  }
}
