/**
 * The API's routes on Fastify: one instance a listening endpoint, because each has its own rules of access. It is loaded with the
 * first request that is no probe (probes.ts): a daemon that nobody asks does without its 3 MB.
 */
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { assert, errorMessage } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { peerCredentials } from '../../linux/peer-credentials.ts';
import type { Reach } from './access.ts';
import { commonHeaders, type Gate } from './gate.ts';
import { toJson } from './json.ts';
import { faultText, ProblemError, problemBody, problemType } from './problem.ts';
import { type Route, type RouteAnswer, readBody, readParameters } from './route.ts';
import { routes } from './routes.ts';
import type { AdminSource } from './source.ts';

/** Requests are small. */
const maxBodyBytes = 64 * 1024;
/** A domain name in text, every byte escaped, is longer than this; no name people use is. */
const maxParamLength = 512;

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** The API behind one gate; it has no socket, requests come through `routing`. */
export function buildApp(gate: Gate, source: AdminSource, log: Logger): FastifyInstance {
  const { reach } = gate;
  const app = fastify({
    logger: false,
    bodyLimit: maxBodyBytes,
    routerOptions: { maxParamLength, ignoreTrailingSlash: false },
    frameworkErrors: (error, _request, reply) => sendProblem(reply, error.statusCode ?? 400, error.message),
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
  });
  app.removeContentTypeParser('text/plain');
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(commonHeaders);
    gate.admit(request.raw, pathOf(request));
  });
  app.addHook('onResponse', async (request, reply) => {
    const fields = { method: request.method, path: pathOf(request), status: reply.statusCode, reach };
    if (request.method === 'GET' || request.method === 'HEAD') log.debug(fields, 'admin request');
    else log.info({ ...fields, by: clientOf(reach, request), change: changeOf(request) }, 'admin request');
  });
  app.setErrorHandler((error, _request, reply) => answerError(error, reply, log));
  app.setNotFoundHandler((request, reply) => sendProblem(reply, 404, `there is no ${pathOf(request)}`));
  app.setReplySerializer(toJson);
  const bodies = new OpenBodies();
  app.addHook('preClose', async () => bodies.end());
  for (const route of routes) addRoute(app, route, source, bodies);
  for (const url of new Set(routes.map((route) => route.url))) addMethodNotAllowed(app, url);
  return app;
}

/** Routes check what comes by themselves. Fastify would load two compilers of JSON Schema, which take megabytes. */
function noSchemas(): never {
  assert(false, 'no route has a schema of Fastify’s');
}

/** @param bodies those without end, which a server that stops ends itself */
function addRoute(app: FastifyInstance, route: Route, source: AdminSource, bodies: OpenBodies): void {
  app.route({
    method: route.method,
    url: route.url,
    exposeHeadRoute: route.endless !== true,
    config: { secret: route.secret === true } as object,
    handler: async (request, reply) => {
      const { headers } = request;
      const answer = await route.handle(source, {
        params: request.params as Record<string, string>,
        query: readParameters(route, request.query as Record<string, unknown>),
        accept: headers.accept ?? '',
        lastEventId: lastEventId(request),
        ifMatch: headers['if-match'],
        ifNoneMatch: headers['if-none-match'],
        body: await readBody(route, request.body),
        client: request.ip || 'unix',
      });
      reply.code(answer.status ?? 200).type(answer.type ?? 'application/json; charset=utf-8');
      reply.headers(headersOf(answer, pathOf(request)));
      if (answer.body instanceof Readable) bodies.add(answer.body);
      return answer.body;
    },
  });
}

function headersOf({ etag, next, headers }: RouteAnswer, path: string): Record<string, string> {
  return {
    ...(etag !== undefined && { etag: `"${etag}"` }),
    ...(next !== undefined && { link: `<${path}?${next}>; rel="next"` }),
    ...headers,
  };
}

/** RFC 9110 §15.5.6: the answer names the methods that are there. */
function addMethodNotAllowed(app: FastifyInstance, url: string): void {
  const own: string[] = routes.filter((route) => route.url === url).map((route) => route.method);
  const endless = routes.some((route) => route.url === url && route.endless === true);
  if (own.includes('GET') && !endless) own.push('HEAD');
  const allow = own.join(', ');
  app.route({
    method: methods.filter((method) => !own.includes(method)),
    url,
    // Before a body is read: whatever it is, the answer is the same.
    onRequest: async (request) => {
      throw new ProblemError(405, `${request.method} is not possible here (allowed: ${allow})`, { headers: { allow } });
    },
    handler: () => undefined,
  });
}

/** What a request asked to change, for the log. */
function changeOf(request: FastifyRequest): unknown {
  const { secret } = request.routeOptions.config as { secret?: boolean };
  return secret === true ? 'not shown' : (request.body ?? undefined);
}

function lastEventId(request: FastifyRequest): string | undefined {
  const value = request.headers['last-event-id'];
  return typeof value === 'string' ? value : undefined;
}

/** Bodies under way. */
class OpenBodies {
  readonly #open = new Set<Readable>();

  add(body: Readable): void {
    this.#open.add(body);
    body.once('close', () => this.#open.delete(body));
  }

  end(): void {
    for (const body of this.#open) body.push(null);
  }
}

function answerError(error: unknown, reply: FastifyReply, log: Logger): FastifyReply {
  if (error instanceof ProblemError) {
    return sendProblem(reply.headers(error.headers), error.status, error.message, error.extra);
  }
  const status = statusOf(error);
  if (status === 415)
    return sendProblem(reply, status, 'a body is JSON here: send it with content-type: application/json');
  if (status < 500) return sendProblem(reply, status, errorMessage(error));
  log.error({ err: error }, 'admin request failed');
  return sendProblem(reply, 500, faultText);
}

/** Fastify's own errors carry a status: 413 for a body that is too large, 400 for bad JSON, 415 for other types. */
function statusOf(error: unknown): number {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : 500;
}

function sendProblem(
  reply: FastifyReply,
  status: number,
  detail: string,
  extra?: Readonly<Record<string, unknown>>,
): FastifyReply {
  return reply
    .code(status)
    .type(problemType)
    .serializer(String)
    .send(problemBody(status, detail, extra));
}

/** Who asked, for the log: `uid 0, pid 4711`, or an address. */
function clientOf(reach: Reach, request: FastifyRequest): string {
  if (reach !== 'unix') return request.ip;
  const { _handle } = request.raw.socket as Socket & { _handle?: { fd?: number } };
  const peer = peerCredentials(_handle?.fd ?? -1);
  return peer === undefined ? 'unknown' : `uid ${peer.uid}, pid ${peer.pid}`;
}

function pathOf(request: FastifyRequest): string {
  const end = request.url.indexOf('?');
  return end < 0 ? request.url : request.url.slice(0, end);
}
