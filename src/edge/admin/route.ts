/** What a path of the admin API is made of: enough to serve it, to check what comes, and to describe it (openapi.ts). */
import type { Readable } from 'node:stream';
import type { z } from 'zod';
import type { AnswerName } from './answers.ts';
import { readQuery } from './parameters.ts';
import { ProblemError } from './problem.ts';
import type { AdminSource } from './source.ts';

export type Method = 'GET' | 'PATCH' | 'POST' | 'PUT' | 'DELETE';

/** A query parameter: how it is read, and its description as JSON Schema. */
export interface Parameter<T> {
  readonly description: string;
  readonly schema: Readonly<Record<string, unknown>>;
  /** @throws {ValueError} */
  readonly read: (text: string) => T;
}

export type Parameters = Readonly<Record<string, Parameter<unknown>>>;

type ValuesOf<Q extends Parameters> = { readonly [K in keyof Q]?: ReturnType<Q[K]['read']> | undefined };

export interface RouteRequest<Q extends Parameters = Parameters, B = unknown> {
  readonly params: Readonly<Record<string, string>>;
  /** As `Parameter.read` made them. */
  readonly query: ValuesOf<Q>;
  readonly accept: string;
  /** The Last-Event-ID header. */
  readonly lastEventId: string | undefined;
  /** The If-Match and If-None-Match headers (RFC 9110 §13.1). */
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
  /** Who asks, for the log: an address, or `unix` for who reaches the socket. */
  readonly client: string;
  /** As the body's schema made it. */
  readonly body: B;
}

/** JSON unless `type` says otherwise; a `Readable` goes out as it comes. */
export interface RouteAnswer {
  readonly status?: number;
  readonly type?: string;
  /** Entity tag, without quotes. */
  readonly etag?: string | undefined;
  /** Query of the next page (RFC 8288 `rel="next"`). */
  readonly next?: URLSearchParams | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Readable | unknown;
}

/** A route whose handler's types follow from its parts; `defineRoute` makes it a `Route`. */
interface RouteParts<Q extends Parameters, S extends z.ZodType> {
  readonly method: Method;
  /** Fastify's form: `/v1/pools/:pool`. */
  readonly url: string;
  /** One line for the description. */
  readonly summary: string;
  /** Query parameters known; others are an error. */
  readonly query?: Q;
  /** What describes the body, loaded when there is one. */
  readonly body?: () => Promise<S>;
  /** What may be left out is the body itself. */
  readonly bodyOptional?: boolean;
  /** What it answers, by status; problems aside. */
  readonly answers: Readonly<Record<number, AnswerName>>;
  /** Statuses of problems it has beside those that every path may have. */
  readonly problems?: readonly number[];
  /** Its answer has no end: there is no HEAD of it. */
  readonly endless?: boolean;
  /** Its body has secrets: the log does not have it. */
  readonly secret?: boolean;
  /** Honours If-Match, and on PUT If-None-Match. */
  readonly conditional?: boolean;
  readonly handle: (source: AdminSource, request: RouteRequest<Q, z.output<S>>) => RouteAnswer | Promise<RouteAnswer>;
}

export interface Route extends Omit<RouteParts<Parameters, z.ZodType>, 'handle'> {
  readonly query: Parameters;
  readonly handle: (source: AdminSource, request: RouteRequest) => RouteAnswer | Promise<RouteAnswer>;
}

/** Puts the types of query and body into the handler and takes them out again. */
export function defineRoute<Q extends Parameters = Record<never, never>, S extends z.ZodType = z.ZodUndefined>(
  parts: RouteParts<Q, S>,
): Route {
  const { handle, query, ...rest } = parts;
  return {
    ...rest,
    query: query ?? {},
    handle: (source, request) => handle(source, request as unknown as RouteRequest<Q, z.output<S>>),
  };
}

/** Reads the query of a request. @throws {ProblemError} 400 */
export function readParameters(route: Route, query: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const unknown = Object.keys(query).filter((key) => !Object.hasOwn(route.query, key));
  if (unknown.length > 0) throw new ProblemError(400, `unknown query parameter ${unknown.join(', ')}`);
  return Object.fromEntries(
    Object.entries(route.query).map(([name, parameter]) => [name, readQuery(query[name], name, parameter.read)]),
  );
}

/** Reads the body of a request; every error at once. @throws {ProblemError} 400 */
export async function readBody(route: Route, body: unknown): Promise<unknown> {
  const { body: schema } = route;
  if (schema === undefined) {
    if (body !== undefined && body !== null) throw new ProblemError(400, 'no body is wanted here');
    return undefined;
  }
  if ((body === undefined || body === null) && route.bodyOptional === true) return undefined;
  const [{ checkBody }, shape] = await Promise.all([import('./check-body.ts'), schema()]);
  return checkBody(shape, body ?? undefined);
}
