/**
 * The join listener: HTTP for nodes that are nobody yet, on the private network. Everything they send is bounded in size, time and
 * number, and whoever has no good token gets one and the same refusal: whether it is wrong, used or expired is for our log.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import {
  type Address,
  cidrContains,
  formatAddress,
  formatEndpoint,
  type InetEndpoint,
  parseAddress,
  unmapAddress,
} from '../../core/address.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import type { CounterStripe } from '../../core/counters.ts';
import { errorMessage } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { Tally } from '../../core/tally.ts';
import { CONNECTIONS_REFUSED, type JoinResult, joinCounter } from './counters.ts';
import type { JoinConfig } from './settings.ts';

/** What is asked for. */
export interface JoinRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly url: string;
  /** Where the request came from, as `formatAddress` writes it. */
  readonly source: string;
  /** `http://[fd00:6:6::1]:8654`: where it came to. */
  readonly base: string;
  /** What stands behind `Bearer`. */
  readonly secret: string | undefined;
  readonly body: string;
}

export interface JoinAnswer {
  readonly result: JoinResult;
  readonly status: number;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface JoinServerContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: CounterStripe;
  readonly handle: (request: JoinRequest) => JoinAnswer;
}

const maxHeaderOctets = 4 * 1024;
const maxBodyOctets = 16 * 1024;
const headersTimeoutMs = 5_000;
const requestTimeoutMs = 10_000;
/** For a reader that takes nothing, and for one that takes ever so little. */
const idleTimeoutMs = 15_000;
const connectionMs = 180_000;
const maxConnections = 64;
const maxConnectionsOfSource = 8;
/** An address may not be there yet when we start: it is tried again so often. */
const retryMs = 2_000;

export class JoinServer {
  readonly #context: JoinServerContext;
  readonly #listeners = new Map<string, Listener>();
  #allow: JoinConfig['allow'] = [];

  constructor(context: JoinServerContext) {
    this.#context = context;
  }

  /** Listens where the configuration says, and nowhere else; listeners that stay are not touched. Resolves once each was tried. */
  async apply({ listen, allow }: Pick<JoinConfig, 'listen' | 'allow'>): Promise<void> {
    this.#allow = allow;
    const wanted = new Map(listen.map((endpoint) => [formatEndpoint(endpoint), endpoint]));
    const gone = [...this.#listeners].filter(([name]) => !wanted.has(name));
    for (const [name] of gone) this.#listeners.delete(name);
    await Promise.all(gone.map(([, listener]) => listener.close()));
    for (const [name, endpoint] of wanted) {
      if (!this.#listeners.has(name)) {
        this.#listeners.set(name, new Listener(this.#context, endpoint, (source) => this.#isAllowed(source)));
      }
    }
    await Promise.all([...this.#listeners.values()].map((listener) => listener.tried));
  }

  /** Endpoints, and why one cannot be listened on. */
  status(): { readonly endpoint: string; readonly error: string | undefined }[] {
    return [...this.#listeners.values()].map(({ name, error }) => ({ endpoint: name, error }));
  }

  /** Answers nobody any more. */
  close(): Promise<void> {
    return this.apply({ listen: [], allow: [] });
  }

  #isAllowed(source: Address): boolean {
    return this.#allow.some((prefix) => cidrContains(prefix, source.bytes));
  }
}

class Listener {
  readonly name: string;
  /** Resolves when it listens, or when the first try failed. */
  readonly tried: Promise<void>;
  error: string | undefined;
  readonly #context: JoinServerContext;
  readonly #endpoint: InetEndpoint;
  readonly #server: Server;
  readonly #isAllowed: (source: Address) => boolean;
  readonly #perSource = new Tally<string>();
  #retry: Timer | undefined;

  constructor(context: JoinServerContext, endpoint: InetEndpoint, isAllowed: (source: Address) => boolean) {
    this.#context = context;
    this.#endpoint = endpoint;
    this.#isAllowed = isAllowed;
    this.name = formatEndpoint(endpoint);
    this.#server = createServer(
      {
        maxHeaderSize: maxHeaderOctets,
        headersTimeout: headersTimeoutMs,
        requestTimeout: requestTimeoutMs,
        connectionsCheckingInterval: 1_000,
        requireHostHeader: false,
      },
      (request, response) => this.#answer(request, response),
    );
    this.#server.maxConnections = maxConnections;
    this.#server.maxRequestsPerSocket = 1;
    this.#server.setTimeout(idleTimeoutMs, (socket) => socket.destroy());
    this.#server.on('connection', (socket) => this.#admit(socket));
    this.#server.on('drop', () => this.#context.counters.add(CONNECTIONS_REFUSED));
    this.#server.on('checkContinue', (request, response) => {
      response.writeContinue();
      this.#answer(request, response);
    });
    // Of accepting, once it listens: one connection is lost, the others go on.
    this.#server.on('error', (error) => {
      if (this.#server.listening)
        this.#context.log.warn({ endpoint: this.name, reason: errorMessage(error) }, 'a node could not connect');
    });
    this.#server.on('clientError', (error, socket) => this.#malformed(error, socket as Socket));
    this.tried = this.#listen();
  }

  async close(): Promise<void> {
    this.#retry?.cancel();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeAllConnections();
    await promise;
  }

  #listen(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { address, port } = this.#endpoint;
    const fail = (error: Error) => {
      this.#server.off('listening', listening);
      if (this.error === undefined) {
        this.#context.log.warn(
          { endpoint: this.name, reason: errorMessage(error) },
          'cannot listen for nodes that join; trying again',
        );
      }
      this.error = errorMessage(error);
      this.#retry = this.#context.clock.after(retryMs, () => void this.#listen());
      resolve();
    };
    const listening = () => {
      this.#server.off('error', fail);
      if (this.error !== undefined) this.#context.log.info({ endpoint: this.name }, 'listening for nodes that join');
      this.error = undefined;
      resolve();
    };
    this.#server.once('error', fail).once('listening', listening);
    this.#server.listen({ host: formatAddress(address), port, ipv6Only: true });
    return promise;
  }

  #admit(socket: Socket): void {
    const source = sourceOf(socket);
    const key = source === undefined ? '' : formatAddress(source);
    if (source === undefined || !this.#isAllowed(source) || this.#perSource.of(key) >= maxConnectionsOfSource) {
      this.#context.counters.add(CONNECTIONS_REFUSED);
      this.#context.log.debug({ source: key }, 'connection to the join listener refused');
      socket.destroy();
      return;
    }
    this.#perSource.add(key);
    const timer = this.#context.clock.after(connectionMs, () => socket.destroy());
    socket.once('close', () => {
      timer.cancel();
      this.#perSource.remove(key);
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const source = sourceOf(socket);
    // Gone meanwhile.
    if (source === undefined || socket.destroyed) return;
    const chunks: Buffer[] = [];
    let octets = 0;
    request.on('data', (chunk: Buffer) => {
      octets += chunk.length;
      if (octets <= maxBodyOctets) chunks.push(chunk);
      else if (!response.headersSent)
        this.#send(response, { result: 'malformed', status: 413, body: 'this is too large\n' });
    });
    request.on('error', () => undefined);
    request.on('end', () => {
      if (response.headersSent) return;
      const { localAddress = '', localPort = 0 } = socket as Socket &
        AddressInfo & { localAddress?: string; localPort?: number };
      const local: InetEndpoint = { kind: 'inet', address: unmapAddress(parseAddress(localAddress)), port: localPort };
      const asked: JoinRequest = {
        method: request.method ?? '',
        url: request.url ?? '',
        source: formatAddress(source),
        base: `http://${formatEndpoint(local)}`,
        secret: /^Bearer +([\w-]{1,128})$/i.exec(request.headers.authorization ?? '')?.[1],
        body: Buffer.concat(chunks).toString('utf8'),
      };
      let answer: JoinAnswer;
      try {
        answer = this.#context.handle(asked);
      } catch (error) {
        this.#context.log.error({ err: error, source: asked.source }, 'a request of a node failed');
        answer = { result: 'failed', status: 500, body: 'this is a fault of the edge; its log has the details\n' };
      }
      this.#send(response, answer);
    });
  }

  #send(
    response: ServerResponse,
    { result, status, type = 'text/plain; charset=utf-8', headers, body }: JoinAnswer,
  ): void {
    this.#context.counters.add(joinCounter(result));
    const content = Buffer.from(body as string);
    response.writeHead(status, {
      'content-type': type,
      'content-length': content.length,
      'cache-control': 'no-store',
      connection: 'close',
      ...headers,
    });
    response.end(content);
  }

  #malformed(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    this.#context.counters.add(joinCounter('malformed'));
    socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  }
}

function sourceOf(socket: Socket): Address | undefined {
  const { remoteAddress } = socket;
  return remoteAddress === undefined ? undefined : unmapAddress(parseAddress(remoteAddress));
}
