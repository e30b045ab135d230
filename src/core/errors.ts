import { inspect } from 'node:util';

/**
 * The three kinds of error (docs/architecture.md): a peer's fault is counted and answered, never thrown past its codec's
 * caller; an operator's fault stops the start, and names file, line and key; our own fault is an `assert` that ends the thread.
 */

/** Base of every error of ours: callers match on `code`, never on text. */
export class V6edgeError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A message of a peer's that does not parse. Thrown by codecs, caught by whoever called the codec. */
export class WireError extends V6edgeError {}

/** A value of the operator's that cannot be used: an address, a duration, a key file. */
export class ValueError extends V6edgeError {
  constructor(message: string, options?: ErrorOptions) {
    super('V6_VALUE', message, options);
  }
}

/**
 * Says that something which cannot happen has happened; the thread ends, and the control thread starts another.
 * @throws {V6edgeError} code V6_ASSERT
 */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new V6edgeError('V6_ASSERT', message);
}

/** Compile-time exhaustiveness check for discriminated unions; at run time an assertion. */
export function unreachable(value: never): never {
  // Not JSON: a bigint or a cycle in the value must not put another error in the place of this one.
  throw new V6edgeError('V6_ASSERT', `unhandled variant ${inspect(value, { breakLength: Infinity })}`);
}

/** What to print of a caught value that may be anything. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : typeof error === 'string' ? error : inspect(error);
}

/** The `code` of a caught value, if it has one. */
export function errorCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}
