/** The UDP and TCP listeners of a data thread: opened, and opened again after a failure. */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import type { Timer } from '../core/clock.ts';
import { errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { KeptSockets } from './kept-sockets.ts';
import type { KeptTransport } from './socket-keeper.ts';
import { TcpServer, type TcpShared } from './tcp-server.ts';
import { type ServerContext, UdpServer } from './udp-server.ts';

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

interface Listener {
  readonly endpoint: InetEndpoint;
  readonly transport: 'udp' | 'tcp';
  server: UdpServer | TcpServer | undefined;
  error: string | undefined;
  retry: Timer | undefined;
  retryMs: number;
}

export class PlainListeners {
  readonly #context: ServerContext;
  readonly #shared: TcpShared;
  readonly #sockets: KeptSockets;
  readonly #log: Logger;
  readonly #listeners = new Map<string, Listener>();

  constructor(context: ServerContext, shared: TcpShared, sockets: KeptSockets, log: Logger) {
    this.#context = context;
    this.#shared = shared;
    this.#sockets = sockets;
    this.#log = log;
  }

  /** Each listener: where it is, or why it is not. */
  get listening() {
    return [...this.#listeners.values()].map(({ endpoint, transport, server, error }) => ({
      endpoint,
      transport,
      bound: server?.endpoint,
      error,
    }));
  }

  apply(endpoints: readonly InetEndpoint[]): void {
    const wanted = new Map<string, Listener>();
    for (const endpoint of endpoints) {
      for (const transport of ['udp', 'tcp'] as const) {
        const listener = { endpoint, transport, server: undefined, error: undefined, retry: undefined };
        wanted.set(`${transport} ${formatEndpoint(endpoint)}`, { ...listener, retryMs: FIRST_RETRY_MS });
      }
    }
    for (const [key, listener] of this.#listeners) {
      if (wanted.has(key)) continue;
      this.#close(listener);
      this.#listeners.delete(key);
    }
    for (const [key, listener] of wanted) {
      if (this.#listeners.has(key)) continue;
      this.#listeners.set(key, listener);
      this.#open(listener);
    }
  }

  /** Takes nothing new; what was asked by UDP is still answered. */
  quiesce(): void {
    for (const { server, retry, endpoint, transport } of this.#listeners.values()) {
      retry?.cancel();
      if (server instanceof UdpServer) server.quiesce();
      else if (server !== undefined) {
        this.#sockets.drop(transport, endpoint);
        server.close();
      }
    }
  }

  close(): void {
    for (const listener of this.#listeners.values()) this.#close(listener);
    this.#listeners.clear();
  }

  #open(listener: Listener): void {
    const { endpoint, transport } = listener;
    try {
      listener.server = this.#openServer(transport, endpoint);
      listener.error = undefined;
      this.#log.info({ endpoint: formatEndpoint(listener.server.endpoint), transport }, 'DNS listens');
    } catch (error) {
      const message = errorMessage(error);
      if (message !== listener.error) {
        const fields = { endpoint: formatEndpoint(endpoint), transport, error: message };
        this.#log.error(fields, 'DNS cannot listen; trying again');
      }
      listener.error = message;
      listener.retry = this.#context.clock.after(listener.retryMs, () => this.#open(listener));
      listener.retryMs = Math.min(2 * listener.retryMs, MAX_RETRY_MS);
    }
  }

  #openServer(transport: KeptTransport, endpoint: InetEndpoint): UdpServer | TcpServer {
    const adopted = this.#sockets.take(transport, endpoint);
    const server =
      transport === 'udp'
        ? new UdpServer(this.#context, endpoint, adopted)
        : new TcpServer(this.#context, this.#shared, this.#portAsUdp(endpoint), adopted);
    if (adopted === undefined) this.#sockets.keep(transport, endpoint, server.fd);
    return server;
  }

  /** For port 0 (tests): TCP takes the port that UDP was given. */
  #portAsUdp(endpoint: InetEndpoint): InetEndpoint {
    if (endpoint.port !== 0) return endpoint;
    const udp = this.#listeners.get(`udp ${formatEndpoint(endpoint)}`)?.server;
    return udp === undefined ? endpoint : { ...endpoint, port: udp.endpoint.port };
  }

  #close(listener: Listener): void {
    listener.retry?.cancel();
    const { server, endpoint, transport } = listener;
    if (server !== undefined) this.#sockets.drop(transport, endpoint);
    server?.close();
    listener.server = undefined;
  }
}
