/** Paths about the daemon as a whole: health, figures, events, the configuration. */
import { ValueError } from '../../core/errors.ts';
import { nameFromText } from '../../dns/wire/name.ts';
import { eventBody } from './event-reader.ts';
import { probeRoutes } from './probe-routes.ts';
import { ProblemError } from './problem.ts';
import { defineRoute, type Route } from './route.ts';

/** Spans of the history, in seconds: what a chart of an hour, and one of a day, show. */
const spans = ['1h', '24h'] as const;

export const systemRoutes: readonly Route[] = [
  ...probeRoutes,
  defineRoute({
    method: 'GET',
    url: '/v1/status',
    summary: 'version, threads, listeners, totals',
    answers: { 200: 'Status' },
    handle: (source) => ({ body: source.status() }),
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/history',
    summary: 'figures over time: one column a figure, one row a moment',
    query: {
      span: {
        description: 'an hour in steps of 5 s, or a day in steps of 2 min',
        schema: { enum: spans, default: '1h' },
        read: (text: string) => {
          const span = spans.find((each) => each === text);
          if (span === undefined) throw new ValueError(`allowed are ${spans.join(' and ')}`);
          return span;
        },
      },
    },
    answers: { 200: 'History' },
    handle: (source, { query }) => ({ body: source.history(query.span ?? '1h') }),
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/ra',
    summary: 'interfaces: what is advertised, and which routers say something else',
    answers: { 200: 'Interfaces' },
    handle: (source) => ({ body: source.ra() }),
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/dns',
    summary: 'upstreams with health and latency, figures of the cache',
    answers: { 200: 'Dns' },
    handle: (source) => ({ body: source.dns() }),
  }),
  defineRoute({
    method: 'POST',
    url: '/v1/dns/cache/flush',
    summary: 'forgets cached answers: all, or those of a name and of the names below it',
    body: async () => (await import('./bodies.ts')).cacheFlush,
    bodyOptional: true,
    answers: { 200: 'Flushed' },
    handle: (source, { body }) => {
      const name = body?.name;
      source.flushCache(name === undefined ? undefined : nameFromText(name));
      return { body: { flushed: name ?? 'everything' } };
    },
  }),
  defineRoute({
    method: 'GET',
    url: '/v1/events',
    summary: 'what happens, as server-sent events; Last-Event-ID goes on after one',
    endless: true,
    answers: { 200: 'EventStream' },
    problems: [503],
    handle: (source, { lastEventId }) => {
      const lastId = lastEventId !== undefined && /^\d{1,16}$/.test(lastEventId) ? Number(lastEventId) : undefined;
      return { type: 'text/event-stream; charset=utf-8', body: eventBody(source.events, lastId) };
    },
  }),
  defineRoute({
    method: 'POST',
    url: '/v1/reload',
    summary: 'reads the configuration again; 422 with every error, and nothing changed, if it is bad',
    answers: { 200: 'Reloaded' },
    problems: [422],
    handle: async (source) => {
      const { errors, overridden, changed } = await source.reload();
      if (errors.length === 0) return { body: { changed, overridden } };
      throw new ProblemError(422, 'the configuration has errors; nothing has changed', { extra: { errors } });
    },
  }),
];
