/** The admin API's servers: one Fastify instance a listening endpoint, because each has its own rules of access. */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Endpoint, formatAddress, formatEndpoint, type InetEndpoint } from '../../core/address.ts';
import { systemClock } from '../../core/clock.ts';
import { assert, errorCode, errorMessage, V6edgeError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { peerCredentials } from '../../linux/peer-credentials.ts';
import type { AdminConfig } from '../config/types.ts';
import { checkAccess, type Reach, reachOf } from './access.ts';
import { toJson } from './json.ts';
import { ProblemError, problemBody, problemType } from './problem.ts';
import { RequestRate } from './rate.ts';
import { type Route, type RouteAnswer, readBody, readParameters } from './route.ts';
import { routes } from './routes.ts';
import type { AdminSource } from './source.ts';

/** An endpoint cannot be listened on; the message names it and says why. */
export class AdminListenError extends V6edgeError {}

export interface AdminServer {
  /** Endpoints as they are, ports filled in. */
  readonly listening: readonly string[];
  /** Stops accepting, lets requests under way end, and removes the socket. */
  close(): Promise<void>;
}

/** Requests are small; an answer is due at once. */
const maxBodyBytes = 64 * 1024;
const requestTimeoutMs = 10_000;
const keepAliveMs = 5000;
const maxConnections = 128;
/** A domain name in text, every byte escaped, is longer than this; no name people use is. */
const maxParamLength = 512;

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/**
 * Listens on every endpoint of the configuration, or on none.
 * @throws {AdminListenError}
 */
export async function startAdmin(config: AdminConfig, source: AdminSource, log: Logger): Promise<AdminServer> {
  const apps: FastifyInstance[] = [];
  const listening: string[] = [];
  const close = async () => {
    await Promise.all(apps.map((app) => app.close()));
  };
  try {
    for (const endpoint of config.listen) {
      const app = buildApp(reachOf(endpoint), config.token, source, log);
      apps.push(app);
      listening.push(endpoint.kind === 'unix' ? await listenUnix(app, endpoint.path) : await listenTcp(app, endpoint));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { listening, close };
}

/** The API with one kind of access; without a socket yet. */
export function buildApp(reach: Reach, token: string | undefined, source: AdminSource, log: Logger): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: maxBodyBytes,
    requestTimeout: requestTimeoutMs,
    connectionTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveMs,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength, ignoreTrailingSlash: false },
    clientErrorHandler: refuseMalformed,
    frameworkErrors: (error, _request, reply) => sendProblem(reply, error.statusCode ?? 400, error.message),
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
  });
  app.server.maxConnections = maxConnections;
  app.removeContentTypeParser('text/plain');
  const rate = new RequestRate(systemClock);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
    if (reach !== 'unix') rate.take(request.ip);
    try {
      checkAccess(reach, token, {
        method: request.method,
        path: pathOf(request),
        host: request.headers.host,
        authorization: request.headers.authorization,
      });
    } catch (error) {
      if (request.headers.authorization !== undefined) rate.punish(request.ip);
      throw error;
    }
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
  return sendProblem(reply, 500, 'this is a fault of v6edge; its log has the details');
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

/** For bytes that are no HTTP request, and for those that come too slowly. */
function refuseMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
  const body = problemBody(status, 'this is no HTTP request that can be answered');
  const head = `HTTP/1.1 ${status} Bad\r\nconnection: close\r\ncontent-type: ${problemType}\r\ncontent-length: ${body.length}`;
  socket.end(`${head}\r\n\r\n${body}`);
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

async function listenTcp(app: FastifyInstance, endpoint: InetEndpoint): Promise<string> {
  try {
    await app.listen({ host: formatAddress(endpoint.address), port: endpoint.port, ipv6Only: true });
  } catch (error) {
    throw listenError(endpoint, errorMessage(error), error);
  }
  const bound = app.server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : endpoint.port;
  return formatEndpoint({ ...endpoint, port });
}

async function listenUnix(app: FastifyInstance, path: string): Promise<string> {
  const endpoint: Endpoint = { kind: 'unix', path };
  await removeStaleSocket(path);
  await app.ready();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  app.server
    .once('listening', resolve)
    .once('error', (error) => reject(listenError(endpoint, errorMessage(error), error)));
  // The file must never be there with more rights than it is to have: bind happens within this call.
  const mask = process.umask(0o117);
  try {
    app.server.listen(path);
  } finally {
    process.umask(mask);
  }
  await promise;
  chmodSync(path, 0o660);
  return formatEndpoint(endpoint);
}

/**
 * Removes a socket whose server is gone; one that answers, or a file of another kind, stays.
 * @throws {AdminListenError}
 */
async function removeStaleSocket(path: string): Promise<void> {
  const endpoint: Endpoint = { kind: 'unix', path };
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw listenError(endpoint, 'a file that is no socket is in its place');
  const code = await connectFailure(path);
  if (code === undefined) throw listenError(endpoint, 'something listens there already; is v6edge running?');
  if (code !== 'ECONNREFUSED') throw listenError(endpoint, code);
  unlinkSync(path);
}

/** The code with which a connect fails; undefined if it succeeds. */
function connectFailure(path: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = connect(path);
  socket.once('connect', () => {
    socket.destroy();
    resolve(undefined);
  });
  socket.once('error', (error) => resolve(errorCode(error) ?? error.message));
  return promise;
}

function listenError(endpoint: Endpoint, reason: string, cause?: unknown): AdminListenError {
  return new AdminListenError('V6_ADMIN_LISTEN', `admin.listen ${formatEndpoint(endpoint)}: ${reason}`, { cause });
}
