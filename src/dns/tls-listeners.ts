/** The TLS listeners of a data thread: opened, opened again after a failure, given another certificate. */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import type { Logger } from '../core/logger.ts';
import type { DnsTlsConfig } from './config.ts';
import type { KeptSockets } from './kept-sockets.ts';
import { Opening } from './opening.ts';
import type { TcpShared } from './tcp-server.ts';
import { TlsServer } from './tls-server.ts';
import type { ServerContext } from './udp-server.ts';

interface Listener {
  readonly endpoint: InetEndpoint;
  readonly opening: Opening;
  server: TlsServer | undefined;
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
    return [...this.#listeners.values()].map(({ endpoint, server, opening }) => ({
      endpoint,
      transport: 'tls' as const,
      bound: server?.endpoint,
      error: server === undefined ? opening.error : undefined,
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
      const { clock } = this.#context;
      const opening = new Opening({ clock, log: this.#log }, endpoint, 'tls', () => this.#open(listener));
      const listener: Listener = { endpoint, opening, server: undefined };
      this.#listeners.set(key, listener);
      this.#open(listener);
    }
  }

  quiesce(): void {
    for (const { endpoint, server, opening } of this.#listeners.values()) {
      opening.cancel();
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
    const { endpoint, opening } = listener;
    const settled = (error: Error | undefined) => {
      if (error === undefined) opening.succeeded(listener.server?.endpoint ?? endpoint);
      else this.#failed(listener, error);
    };
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

  #failed(listener: Listener, error: unknown): void {
    if (listener.server !== undefined) this.#sockets.drop('tcp', listener.endpoint);
    listener.server?.close();
    listener.server = undefined;
    listener.opening.failed(error);
  }

  #close({ endpoint, server, opening }: Listener): void {
    opening.cancel();
    if (server !== undefined) this.#sockets.drop('tcp', endpoint);
    server?.close();
  }
}
