/** Readers of what requests carry, shared by the routes; what is wrong becomes a problem. */
import { ValueError } from '../../core/errors.ts';
import { readDomainName } from '../config/domain-name.ts';
import { ProblemError } from './problem.ts';

/** @throws {ProblemError} 404 */
export function found<T>(value: T | undefined, detail: string): T {
  if (value === undefined) throw new ProblemError(404, detail);
  return value;
}

export function noZone(zone: string): string {
  return `there is no zone "${zone}"`;
}

/** A zone's name in a path; what is no name is no zone of ours. @throws {ProblemError} 404 */
export function readZone(text: string): string {
  try {
    return readDomainName(text);
  } catch (error) {
    if (error instanceof ValueError) throw new ProblemError(404, error.message);
    throw error;
  }
}

/** A query parameter, given once at most. @throws {ProblemError} 400 */
export function readQuery<T>(value: unknown, name: string, read: (text: string) => T): T | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string') throw new ProblemError(400, `${name}: one value is wanted`);
  return readValue(value, name, read);
}

/** Any value; what `read` says of a bad one is the problem's detail. @throws {ProblemError} 400 */
export function readValue<T, V>(value: V, name: string, read: (value: V) => T): T {
  try {
    return read(value);
  } catch (error) {
    if (error instanceof ValueError) throw new ProblemError(400, `${name}: ${error.message}`);
    throw error;
  }
}

/**
 * The members of a JSON object, of which no other may be there.
 * @throws {ProblemError} 400
 */
export function readObject<K extends string>(body: unknown, allowed: readonly K[]): Partial<Record<K, unknown>> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ProblemError(400, 'a JSON object is wanted');
  }
  const unknown = Object.keys(body).filter((key) => !allowed.includes(key as K));
  if (unknown.length > 0) {
    throw new ProblemError(400, `unknown: ${unknown.join(', ')} (allowed: ${allowed.join(', ')})`);
  }
  return body as Partial<Record<K, unknown>>;
}
