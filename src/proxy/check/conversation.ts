/**
 * The steps of a check that speaks a protocol of its own (HAProxy `tcp-check`): bytes sent, bytes awaited. As there, an
 * expectation looks at all that came since the last send, and waits while it does not hold and more may come.
 */
import type { Socket } from 'node:net';
import { createContext, Script } from 'node:vm';
import type { CheckStep } from '../config.ts';

/** What is kept of an answer; a member that says more before what is expected fails. */
export const maxAnswerBytes = 16 * 1024;
/** How much of an answer a reason shows. */
const shownBytes = 60;
/**
 * The longest a regular expression may work on one answer: the answer is the member's, and some take exponential time. Far above
 * what any other takes on a busy machine.
 */
const matchMs = 200;

export class Conversation {
  readonly #stream: Socket;
  readonly #steps: readonly CheckStep[];
  readonly #done: (failure: string | undefined) => void;
  #at = 0;
  #answer: Buffer = Buffer.alloc(0);
  #over = false;

  /**
   * Begins with the first step.
   * @param done called once: with what went wrong, or undefined when all steps are done; not when the stream ends or fails
   */
  constructor(stream: Socket, steps: readonly CheckStep[], done: (failure: string | undefined) => void) {
    this.#stream = stream;
    this.#steps = steps;
    this.#done = done;
    stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#proceed();
  }

  /** What has not come yet, for people. */
  get missing(): string {
    const step = this.#steps[this.#at];
    const what = step === undefined ? 'nothing' : described(step);
    const got = this.#answer.length === 0 ? 'no answer' : `got ${printable(this.#answer)}`;
    return `step ${this.#at + 1}: ${what} did not come (${got})`;
  }

  #onData(chunk: Buffer): void {
    if (this.#over) return;
    const room = maxAnswerBytes - this.#answer.length;
    this.#answer = Buffer.concat([this.#answer, chunk.subarray(0, room)]);
    this.#proceed(chunk.length > room);
  }

  /** @param cut whether there was more than is kept */
  #proceed(cut = false): void {
    for (; this.#at < this.#steps.length; this.#at++) {
      const step = this.#steps[this.#at]!;
      if (step.kind === 'send') {
        this.#answer = Buffer.alloc(0);
        this.#stream.write(step.bytes);
        continue;
      }
      const found =
        step.kind === 'expect'
          ? this.#answer.includes(Buffer.from(step.bytes))
          : matches(step.expression, this.#answer);
      if (found === true) continue;
      if (found === 'slow') this.#end(`step ${this.#at + 1}: ${described(step)} takes too long on the answer`);
      else if (cut) this.#end(`${this.missing} in ${maxAnswerBytes} bytes`);
      return;
    }
    this.#end(undefined);
  }

  #end(failure: string | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#done(failure);
  }
}

const script = new Script('expression.test(answer)');
const sandbox: { expression?: RegExp; answer?: string } = {};
let context: ReturnType<typeof createContext> | undefined;

function matches(expression: string, answer: Buffer): boolean | 'slow' {
  // A context takes a while to make, and most daemons need none.
  context ??= createContext(sandbox);
  sandbox.expression = new RegExp(expression);
  sandbox.answer = answer.toString('latin1');
  try {
    return script.runInContext(context, { timeout: matchMs }) === true;
  } catch (error) {
    // An error of the other context: no instance of our `Error`.
    if ((error as { code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    return 'slow';
  }
}

function described(step: CheckStep): string {
  return step.kind === 'match' ? `a match of /${step.expression}/` : printable(Buffer.from(step.bytes));
}

/** The beginning of what came, as text if it is text. */
function printable(bytes: Buffer): string {
  const shown = bytes.subarray(0, shownBytes);
  const isText = shown.every(
    (byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0d || byte === 0x0a || byte === 0x09,
  );
  const text = isText ? JSON.stringify(shown.toString('latin1')) : shown.toString('hex');
  return bytes.length > shownBytes ? `${text}…` : text;
}
