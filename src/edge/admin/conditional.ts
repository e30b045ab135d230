/**
 * Conditional requests (RFC 9110 §13): an entity tag says which version of a thing a client saw, and a change is carried
 * out only if it still is that. Tags cover what can be set, not live figures beside it.
 */
import { createHash } from 'node:crypto';
import { toJson } from './json.ts';
import { ProblemError } from './problem.ts';

export interface Preconditions {
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

/** The tag of a version, without quotes. */
export function entityTag(version: unknown): string {
  return createHash('sha256').update(toJson(version)).digest('base64url').slice(0, 16);
}

/**
 * Lets a change of a thing through whose tag now is `current`; undefined: there is no such thing yet.
 * @throws {ProblemError} 412
 */
export function checkPreconditions({ ifMatch, ifNoneMatch }: Preconditions, current: string | undefined): void {
  if (ifMatch !== undefined && !lists(ifMatch, current, false)) {
    throw new ProblemError(
      412,
      current === undefined
        ? 'If-Match: there is nothing here (any more); nothing is changed'
        : `If-Match: this was changed meanwhile (it is "${current}" now); nothing is changed`,
    );
  }
  if (ifNoneMatch !== undefined && lists(ifNoneMatch, current, true)) {
    throw new ProblemError(412, 'If-None-Match: this is there already; nothing is changed');
  }
}

/** Whether a reader has this version already (RFC 9110 §13.1.2); the answer is 304 then. */
export function isFresh(ifNoneMatch: string | undefined, current: string): boolean {
  return ifNoneMatch !== undefined && lists(ifNoneMatch, current, true);
}

/** @param weak whether W/"x" counts as "x" (§8.8.3.2: not for If-Match) */
function lists(header: string, current: string | undefined, weak: boolean): boolean {
  if (current === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some((part) => {
    const tag = part.trim();
    return tag === `"${current}"` || (weak && tag === `W/"${current}"`);
  });
}
