/** The TLS listeners of a data thread: opened, opened again after a failure, given another certificate. */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import type { Timer } from '../core/clock.ts';
import { errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { DnsTlsConfig } from './config.ts';
import type { KeptSockets } from './kept-sockets.ts';
import type { TcpShared } from './tcp-server.ts';
import { TlsServer } from './tls-server.ts';
import type { ServerContext } from './udp-server.ts';

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

interface Listener {
  readonly endpoint: InetEndpoint;
  server: TlsServer | undefined;
  error: string | undefined;
  retry: Timer | undefined;
  retryMs: number;
}

export class TlsListeners {
  readonly #context: ServerContext;
  readonly #shared: TcpShared;
  readonly #sockets: KeptSockets;
  readonly #log: Logger;
  readonly #listeners = new Map<string, Listener>();
  #config: DnsTlsConfig | undefined;

  constructor(context: ServerContext, shared: TcpShared, sockets: KeptSockets, log: Logger) {
    this.#context = context;
    this.#shared = shared;
    this.#sockets = sockets;
    this.#log = log;
  }

  /** Each listener: where it is, or why it is not. */
  get listening() {
    return [...this.#listeners.values()].map(({ endpoint, server, error }) => ({
      endpoint,
      transport: 'tls' as const,
      bound: server?.endpoint,
      error: server === undefined ? error : undefined,
    }));
  }

  apply(config: DnsTlsConfig | undefined): void {
    const before = this.#config;
    this.#config = config;
    const wanted = new Map(config?.listen.map((endpoint) => [formatEndpoint(endpoint), endpoint]));
    for (const [key, listener] of this.#listeners) {
      if (wanted.has(key)) continue;
      this.#close(listener);
      this.#listeners.delete(key);
    }
    if (config === undefined) return;
    const renewed = before?.certificate !== config.certificate || before.key !== config.key;
    for (const [key, endpoint] of wanted) {
      const known = this.#listeners.get(key);
      if (known !== undefined) {
        if (renewed) known.server?.renew(config);
        continue;
      }
      const listener = { endpoint, server: undefined, error: undefined, retry: undefined, retryMs: FIRST_RETRY_MS };
      this.#listeners.set(key, listener);
      this.#open(listener);
    }
  }

  quiesce(): void {
    for (const { endpoint, server, retry } of this.#listeners.values()) {
      retry?.cancel();
      if (server !== undefined) this.#sockets.drop('tcp', endpoint);
      server?.quiesce();
    }
  }

  close(): void {
    for (const listener of this.#listeners.values()) this.#close(listener);
    this.#listeners.clear();
  }

  #open(listener: Listener): void {
    if (this.#config === undefined) return;
    const settled = (error: Error | undefined) => {
      if (error === undefined) this.#opened(listener);
      else this.#failed(listener, error);
    };
    const { endpoint } = listener;
    const adopted = this.#sockets.take('tcp', endpoint);
    try {
      listener.server = new TlsServer(this.#context, this.#shared, endpoint, this.#config, settled, adopted);
      if (adopted === undefined) this.#sockets.keep('tcp', endpoint, listener.server.fd);
    } catch (error) {
      // It was closed; nobody is to wait for the one that is kept.
      if (adopted !== undefined) this.#sockets.drop('tcp', endpoint);
      this.#failed(listener, error);
    }
  }

  #opened(listener: Listener): void {
    listener.error = undefined;
    const { endpoint = listener.endpoint } = listener.server ?? {};
    this.#log.info({ endpoint: formatEndpoint(endpoint), transport: 'tls' }, 'DNS listens');
  }

  #failed(listener: Listener, error: unknown): void {
    const message = errorMessage(error);
    if (listener.server !== undefined) this.#sockets.drop('tcp', listener.endpoint);
    listener.server?.close();
    listener.server = undefined;
    if (message !== listener.error) {
      const endpoint = formatEndpoint(listener.endpoint);
      this.#log.error({ endpoint, transport: 'tls', error: message }, 'DNS cannot listen; trying again');
    }
    listener.error = message;
    listener.retry = this.#context.clock.after(listener.retryMs, () => this.#open(listener));
    listener.retryMs = Math.min(2 * listener.retryMs, MAX_RETRY_MS);
  }

  #close({ endpoint, server, retry }: Listener): void {
    retry?.cancel();
    if (server !== undefined) this.#sockets.drop('tcp', endpoint);
    server?.close();
  }
}
