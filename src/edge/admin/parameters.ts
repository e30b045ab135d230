/** Readers of what requests carry, shared by the routes; what is wrong becomes a problem. */
import { ValueError } from '../../core/errors.ts';
import { readDomainName } from '../config/domain-name.ts';
import { ProblemError } from './problem.ts';

/** @throws {ProblemError} 404 */
export function found<T>(value: T | undefined, detail: string): T {
  if (value === undefined) throw new ProblemError(404, detail);
  return value;
}

/** What is said of a zone that is not there. */
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
