/** Paths for probes and scrapers. They have no parameters, and their answers are short. */
import { ProblemError } from './problem.ts';
import { defineRoute, type Route } from './route.ts';

export const probeRoutes: readonly Route[] = [
  defineRoute({
    method: 'GET',
    url: '/healthz',
    summary: 'whether the control thread is alive',
    answers: { 200: 'Health' },
    handle: () => ({ body: { status: 'alive' } }),
  }),
  defineRoute({
    method: 'GET',
    url: '/readyz',
    summary: 'whether all that is configured is served; 503 lists what is not',
    answers: { 200: 'Health' },
    problems: [503],
    handle: (source) => {
      const { ready, waitingFor, notes } = source.ready();
      if (ready) return { body: { status: 'ready', notes } };
      throw new ProblemError(503, `not ready: ${waitingFor.join('; ')}`, { extra: { waitingFor, notes } });
    },
  }),
  defineRoute({
    method: 'GET',
    url: '/metrics',
    summary: 'metrics in Prometheus’ text format',
    answers: { 200: 'PrometheusText' },
    handle: async (source) => ({ type: 'text/plain; version=0.0.4; charset=utf-8', body: await source.metrics() }),
  }),
];
