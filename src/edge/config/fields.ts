/**
 * The kinds of value a configuration key can have. Each turns what YAML holds into the validated type and says what is
 * wrong in an operator's words; each carries its description for the reference page. Defaults are given as people write
 * them (`prefault`), so that they pass the same checks and show in the reference as they are.
 */
import { z } from 'zod';
import {
  type Address,
  type Cidr,
  type Endpoint,
  type InetEndpoint,
  parseAddress,
  parseCidr,
  parseEndpoint,
  parseInetEndpoint,
  unmapCidr,
} from '../../core/address.ts';
import { formatDuration, parseDuration, parseSize } from '../../core/duration.ts';
import { ValueError } from '../../core/errors.ts';

/** What a field tells the reference page about itself. */
export interface FieldMeta {
  /** The kind of value: `duration`, `CIDR`. */
  readonly kind: string;
  /** The values allowed, where that is not plain from the kind. */
  readonly allowed?: string;
}

/** Kind and allowed values of each leaf; the reference generator reads it. */
export const fieldMeta = z.registry<FieldMeta>();

/** A single value. `parse` throws `ValueError`; a missing value never reaches it. */
export function leaf<T>(meta: FieldMeta, parse: (value: unknown) => T) {
  const schema = z.unknown().transform((value, ctx): T => {
    if (value === undefined) return fail(ctx, value, `is missing: ${article(meta.kind)} is needed here`);
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      return fail(ctx, value, error.message);
    }
  });
  fieldMeta.add(schema, meta);
  return schema;
}

/** A mapping with known keys; any other key is an error. */
export function section<T extends z.core.$ZodShape>(shape: T) {
  return z.strictObject(shape);
}

/** A list; `min` of its items at least. */
export function list<T extends z.core.$ZodType>(item: T, min = 0) {
  const schema = z.array(item);
  return min === 0 ? schema : schema.min(min);
}

/** One of a few words. */
export function choice<const T extends string>(values: readonly T[]) {
  const allowed = values.join(', ');
  return leaf({ kind: 'word', allowed }, (value): T => {
    const found = values.find((each) => each === value);
    if (found === undefined)
      throw new ValueError(`${show(value)} is none of the values known here (allowed: ${allowed})`);
    return found;
  });
}

/** A whole number. */
export function integer(min: number, max: number) {
  return leaf({ kind: 'number', allowed: `${min} to ${max}` }, (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw new ValueError(`${show(value)} is no whole number in range (allowed: ${min} to ${max})`);
    }
    return value;
  });
}

/** A number that need not be whole. */
export function number(min: number, max: number) {
  const allowed = `${min} to ${max}`;
  return leaf({ kind: 'number', allowed }, (value) => {
    if (typeof value === 'number' && value >= min && value <= max) return value;
    throw new ValueError(`${show(value)} is no number in range (allowed: ${allowed})`);
  });
}

/** `true` or `false`. */
export function flag() {
  return leaf({ kind: 'true or false' }, (value) => {
    if (typeof value !== 'boolean') throw new ValueError(`${show(value)} is not true or false`);
    return value;
  });
}

/** Any text but the empty one. */
export function text(kind = 'text') {
  return leaf({ kind }, (value) => requireText(value));
}

/** Text that `parse` reads; it throws `ValueError`. */
export function parsed<T>(meta: FieldMeta, parse: (text: string) => T) {
  return leaf(meta, (value) => parse(requireText(value)));
}

/** A duration, to milliseconds; bounds are inclusive. */
export function milliseconds(min = 0, max = 365 * 86_400_000) {
  const allowed = `${formatDuration(min)} to ${formatDuration(max)}`;
  return leaf({ kind: 'duration', allowed }, (value) => checkRange(readDuration(value), min, max, allowed, value));
}

/** A duration, to whole seconds; bounds are seconds, inclusive. */
export function seconds(min = 0, max = 2 ** 31 - 1) {
  const allowed = `${formatDuration(min * 1000)} to ${max}s`;
  return leaf(
    { kind: 'duration', allowed: max === 2 ** 31 - 1 ? `from ${formatDuration(min * 1000)}` : allowed },
    (value) => wholeSeconds(value, min, max, allowed),
  );
}

/** A duration in whole seconds, or `infinity`. */
export function secondsOrInfinity(max = 2 ** 32 - 2) {
  const allowed = `0s to ${max}s, infinity`;
  return leaf({ kind: 'duration', allowed: 'also infinity' }, (value) =>
    value === 'infinity' ? Number.POSITIVE_INFINITY : wholeSeconds(value, 0, max, allowed),
  );
}

/** A point in time with its zone, to wall-clock milliseconds. */
export function timestamp() {
  return parsed({ kind: 'time', allowed: 'as in 2027-01-31T12:00:00Z' }, readTime);
}

/** A size, to bytes. */
export function bytes(min: number, max: number, allowed: string) {
  return leaf({ kind: 'size', allowed }, (value) => {
    const size = parseSize(typeof value === 'number' ? String(value) : requireText(value));
    if (size < min || size > max) throw new ValueError(`${show(value)} is out of range (allowed: ${allowed})`);
    return size;
  });
}

/** An IPv4 or IPv6 address. */
export function address() {
  return parsed<Address>({ kind: 'address' }, parseAddress);
}

/** An IPv6 address. */
export function address6() {
  return parsed<Address>({ kind: 'IPv6 address' }, (value) => {
    const parsed = parseAddress(value);
    if (parsed.family !== 6) throw new ValueError(`"${value}" is no IPv6 address`);
    return parsed;
  });
}

/** An IPv4 or IPv6 prefix. */
export function cidr() {
  return parsed<Cidr>({ kind: 'prefix' }, parseCidr);
}

/** Where peers are: IPv4 ones never come as IPv4-mapped addresses here, so a prefix of those is the IPv4 prefix it stands for. */
export function peers() {
  return parsed<Cidr>({ kind: 'prefix' }, (value) => unmapCidr(parseCidr(value)));
}

/** An IPv6 prefix, of any length unless some are given. */
export function cidr6(lengths?: readonly number[]) {
  const meta = lengths === undefined ? {} : { allowed: `length ${lengths.join(', ')}` };
  return parsed<Cidr>({ kind: 'IPv6 prefix', ...meta }, (value) => {
    const prefix = parseCidr(value);
    if (prefix.base.family !== 6) throw new ValueError(`"${value}" is no IPv6 prefix`);
    if (lengths?.includes(prefix.length) === false) {
      throw new ValueError(`"${value}" has a length that cannot be used here (allowed: ${lengths.join(', ')})`);
    }
    return prefix;
  });
}

/** Address and port, or `unix:/path`. */
export function endpoint() {
  return parsed<Endpoint>({ kind: 'endpoint', allowed: 'address:port, [address]:port or unix:/path' }, parseEndpoint);
}

/** Address and port to listen on or connect to: never port 0. With `defaultPort` an address alone will do. */
export function inetEndpoint(defaultPort?: number) {
  const allowed =
    defaultPort === undefined ? 'address:port or [address]:port' : `address, with or without port (${defaultPort})`;
  return parsed<InetEndpoint>({ kind: 'endpoint', allowed }, (value) => readInetEndpoint(value, defaultPort));
}

/**
 * Reads an endpoint whose port may be left out.
 * @throws {ValueError}
 */
export function readInetEndpoint(value: string, defaultPort?: number): InetEndpoint {
  if (defaultPort !== undefined) {
    const bare = /^\[([^\]]+)\]$/.exec(value)?.[1] ?? value;
    if (isAddress(bare)) return { kind: 'inet', address: parseAddress(bare), port: defaultPort };
  }
  const endpoint = parseInetEndpoint(value);
  if (endpoint.port === 0) throw new ValueError(`"${value}": port 0 cannot be used here (allowed: 1 to 65535)`);
  return endpoint;
}

/** The default, when the key is absent: as people would write it. */
export function show(value: unknown): string {
  if (value === null) return 'an empty value';
  const json = JSON.stringify(value) ?? String(value);
  const clipped = json.length > 80 ? `${json.slice(0, 77)}…` : json;
  if (typeof value === 'object') return Array.isArray(value) ? `the list ${clipped}` : `the mapping ${clipped}`;
  return clipped;
}

/**
 * The value if it is text.
 * @throws {ValueError}
 */
export function requireText(value: unknown): string {
  if (typeof value === 'number') throw new ValueError(`${value} is a number where text is wanted; put it in quotes`);
  if (typeof value !== 'string') throw new ValueError(`${show(value)} where text is wanted`);
  if (value === '') throw new ValueError('is empty');
  return value;
}

function readDuration(value: unknown): number {
  if (value === 0) return 0;
  if (typeof value === 'number')
    throw new ValueError(`${value} has no unit; write for example ${value}s or ${value}ms`);
  return parseDuration(requireText(value));
}

function readTime(value: string): number {
  const day = /^(\d{4}-\d{2}-\d{2})T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})$/.exec(value)?.[1];
  // Date takes the 31st of February for the 3rd of March.
  const valid =
    day !== undefined && !Number.isNaN(Date.parse(value)) && new Date(`${day}T00:00Z`).toISOString().startsWith(day);
  if (!valid) throw new ValueError(`"${value}" is no time with its zone; write for example 2027-01-31T12:00:00Z`);
  return Date.parse(value);
}

function checkRange(ms: number, min: number, max: number, allowed: string, value: unknown): number {
  if (ms < min || ms > max) throw new ValueError(`${show(value)} is out of range (allowed: ${allowed})`);
  return ms;
}

function wholeSeconds(value: unknown, min: number, max: number, allowed: string): number {
  const ms = checkRange(readDuration(value), min * 1000, max * 1000, allowed, value);
  if (ms % 1000 !== 0) throw new ValueError(`${show(value)}: whole seconds are wanted here`);
  return ms / 1000;
}

function isAddress(value: string): boolean {
  try {
    parseAddress(value);
    return true;
  } catch {
    return false;
  }
}

function article(kind: string): string {
  return /^[aeiou]/i.test(kind) ? `an ${kind}` : `a ${kind}`;
}

function fail(ctx: z.core.$RefinementCtx, input: unknown, message: string): never {
  ctx.issues.push({ code: 'custom', message, input });
  return z.NEVER;
}
