/**
 * Health, readiness and metrics, for probes and scrapers: answered on Node.js' server as it is. A daemon that is watched, and
 * otherwise left alone, never loads the rest of the API.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { errorMessage } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { commonHeaders, type Gate } from './gate.ts';
import { toJson } from './json.ts';
import { probeRoutes } from './probe-routes.ts';
import { faultText, ProblemError, problemBody, problemType } from './problem.ts';
import type { Route } from './route.ts';
import type { AdminSource } from './source.ts';

const routesByUrl = new Map(probeRoutes.map((route) => [route.url, route]));

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The probe that a request is; all others, and those with a query, are the API's. */
export function probeOf({ method, url = '' }: IncomingMessage): Route | undefined {
  return method === 'GET' || method === 'HEAD' ? routesByUrl.get(url) : undefined;
}

/** Answers a probe. Never rejects. */
export async function answerProbe(
  route: Route,
  { request, response }: { request: IncomingMessage; response: ServerResponse },
  { gate, source, log }: { gate: Gate; source: AdminSource; log: Logger },
): Promise<void> {
  const { status, headers, body } = await answerOf(route, request, { gate, source, log });
  const { method } = request;
  response.on('finish', () => log.debug({ method, path: route.url, status, reach: gate.reach }, 'admin request'));
  response.writeHead(status, { ...commonHeaders, ...headers, 'content-length': Buffer.byteLength(body) });
  response.end(method === 'HEAD' ? undefined : body);
}

async function answerOf(
  route: Route,
  request: IncomingMessage,
  { gate, source, log }: { gate: Gate; source: AdminSource; log: Logger },
): Promise<Answer> {
  try {
    gate.admit(request, route.url);
    const { type, body } = await route.handle(source, nothingAsked);
    const text = typeof body === 'string' ? body : toJson(body);
    return { status: 200, headers: { 'content-type': type ?? 'application/json; charset=utf-8' }, body: text };
  } catch (error) {
    if (error instanceof ProblemError) {
      const { status, headers, message, extra } = error;
      return {
        status,
        headers: { 'content-type': problemType, ...headers },
        body: problemBody(status, message, extra),
      };
    }
    log.error({ err: error }, `a probe failed: ${errorMessage(error)}`);
    return { status: 500, headers: { 'content-type': problemType }, body: problemBody(500, faultText) };
  }
}

/** Probes have no parameters. */
const nothingAsked = {
  params: {},
  query: {},
  accept: '',
  lastEventId: undefined,
  ifMatch: undefined,
  ifNoneMatch: undefined,
  client: '',
  body: undefined,
};
