/**
 * How far zones have been changed: counted by the control thread in memory that all threads share, so that whoever was told of a
 * change finds it in the next answer, at whatever thread he asks.
 *
 * Changes come to data threads as messages. The first word is how many changes there are of which somebody may have been told; it
 * is raised before anybody is. Then there is a word for each data thread: how many have been sent to it. A thread that
 * has taken in fewer than there are takes its messages first when it is asked something, and waits for those that are not sent yet:
 * the control thread sends them as soon as the reply has left, for to wake another thread takes longer than the reply.
 *
 * Counts go round at 2^32: it is their difference that matters.
 */

/** Something is wrong when a message takes so long: who asks is answered from what is there. */
const longestWaitMs = 1_000;
const told = 0;
const firstSent = 1;

/** Memory for so many data threads. */
function newCommitCount(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer((firstSent + threads) * Int32Array.BYTES_PER_ELEMENT);
}

/** The control thread's side. */
export class CommitCount {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  #published = 0;

  constructor(threads: number) {
    this.buffer = newCommitCount(threads);
    this.#words = new Int32Array(this.buffer);
  }

  /** How many changes there were, as a word. */
  get published(): number {
    return this.#published;
  }

  /** One more is about to be sent. Returns its number. */
  publish(): number {
    this.#published = (this.#published + 1) | 0;
    return this.#published;
  }

  /** Somebody may be told of all there are and of `coming` more, which are published and sent before this turn ends. */
  announce(coming = 0): void {
    Atomics.store(this.#words, told, (this.#published + coming) | 0);
  }

  /** All there are were sent to a thread. */
  sent(thread: number): void {
    const at = firstSent + thread;
    if (Atomics.exchange(this.#words, at, this.#published) !== this.#published) Atomics.notify(this.#words, at);
  }
}

/** A data thread's side. */
export class CommitWatch {
  readonly #words: Int32Array;
  readonly #sentAt: number;
  readonly #drain: () => void;
  #taken: number;

  /**
   * @param taken how many changes are in the state that the thread begins with
   * @param drain takes in what was sent to this thread
   */
  constructor(buffer: SharedArrayBuffer, thread: number, taken: number, drain: () => void) {
    this.#words = new Int32Array(buffer);
    this.#sentAt = firstSent + thread;
    this.#taken = taken;
    this.#drain = drain;
  }

  /** The change of this number is in. */
  took(number: number): void {
    this.#taken = number;
  }

  /** Whether there may be somebody who knows more than this thread. */
  get isBehind(): boolean {
    return this.#missing > 0;
  }

  /** Takes in all that anybody may have been told of. */
  catchUp(): void {
    const until = performance.now() + longestWaitMs;
    for (;;) {
      const sent = Atomics.load(this.#words, this.#sentAt);
      this.#drain();
      if (this.#missing <= 0) return;
      const left = until - performance.now();
      if (left <= 0 || Atomics.wait(this.#words, this.#sentAt, sent, left) === 'timed-out') return;
    }
  }

  get #missing(): number {
    return (Atomics.load(this.#words, told) - this.#taken) | 0;
  }
}
