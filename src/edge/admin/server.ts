/**
 * The admin API's servers, one a listening endpoint: bound at the start, so that an operator hears at once what cannot be. Probes
 * are answered here (probes.ts); what serves all else (app.ts) is loaded with the first request for it, which waits.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { type Endpoint, formatAddress, formatEndpoint, type InetEndpoint } from '../../core/address.ts';
import { errorCode, errorMessage, V6edgeError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { AdminConfig } from '../config/types.ts';
import { reachOf } from './access.ts';
import { Gate } from './gate.ts';
import { answerProbe, probeOf } from './probes.ts';
import { faultText, problemBody, problemType } from './problem.ts';
import type { AdminSource } from './source.ts';

/** An endpoint cannot be listened on; the message names it and says why. */
export class AdminListenError extends V6edgeError {}

export interface AdminServer {
  /** Endpoints as they are, ports filled in. */
  readonly listening: readonly string[];
  /** Stops accepting, lets requests under way end, and removes the socket. */
  close(): Promise<void>;
}

/** An answer is due at once. */
const requestTimeoutMs = 10_000;
const keepAliveMs = 5000;
const maxConnections = 128;

/**
 * Listens on every endpoint of the configuration, or on none.
 * @throws {AdminListenError}
 */
export async function startAdmin(config: AdminConfig, source: AdminSource, log: Logger): Promise<AdminServer> {
  const fronts: Front[] = [];
  const listening: string[] = [];
  const close = async () => {
    await Promise.all(fronts.map((front) => front.close()));
  };
  try {
    for (const endpoint of config.listen) {
      const front = new Front(new Gate(reachOf(endpoint), config.token), source, log);
      fronts.push(front);
      const { server } = front;
      listening.push(
        endpoint.kind === 'unix' ? await listenUnix(server, endpoint.path) : await listenTcp(server, endpoint),
      );
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { listening, close };
}

/** A server, and the API behind it once somebody has asked for it. */
class Front {
  readonly server: Server;
  readonly #gate: Gate;
  readonly #source: AdminSource;
  readonly #log: Logger;
  #app: Promise<FastifyInstance> | undefined;

  constructor(gate: Gate, source: AdminSource, log: Logger) {
    this.#gate = gate;
    this.#source = source;
    this.#log = log;
    this.server = createServer((request, response) => void this.#onRequest(request, response));
    this.server.keepAliveTimeout = keepAliveMs;
    this.server.requestTimeout = requestTimeoutMs;
    this.server.maxConnections = maxConnections;
    this.server.setTimeout(requestTimeoutMs).on('clientError', refuseMalformed);
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    // An error says that it did not listen.
    this.server.close(() => resolve());
    // Bodies without end are ended now.
    const app = await this.#app?.catch(() => undefined);
    await app?.close();
    this.server.closeIdleConnections();
    await promise;
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const probe = probeOf(request);
    if (probe !== undefined) {
      const parts = { gate: this.#gate, source: this.#source, log: this.#log };
      await answerProbe(probe, { request, response }, parts);
      return;
    }
    let app: FastifyInstance;
    try {
      this.#app ??= this.#load();
      app = await this.#app;
    } catch (error) {
      // The next request tries again.
      this.#app = undefined;
      this.#log.error({ err: error }, `the admin API cannot be loaded: ${errorMessage(error)}`);
      response.writeHead(500, { 'content-type': problemType }).end(problemBody(500, faultText));
      return;
    }
    app.routing(request, response);
  }

  async #load(): Promise<FastifyInstance> {
    const { buildApp } = await import('./app.ts');
    const app = buildApp(this.#gate, this.#source, this.#log);
    await app.ready();
    return app;
  }
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

async function listenTcp(server: Server, endpoint: InetEndpoint): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('listening', resolve).once('error', (error) => reject(listenError(endpoint, errorMessage(error), error)));
  server.listen({ host: formatAddress(endpoint.address), port: endpoint.port, ipv6Only: true });
  await promise;
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : endpoint.port;
  return formatEndpoint({ ...endpoint, port });
}

async function listenUnix(server: Server, path: string): Promise<string> {
  const endpoint: Endpoint = { kind: 'unix', path };
  await removeStaleSocket(path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('listening', resolve).once('error', (error) => reject(listenError(endpoint, errorMessage(error), error)));
  // The file must never be there with more rights than it is to have: bind happens within this call.
  const mask = process.umask(0o117);
  try {
    server.listen(path);
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
