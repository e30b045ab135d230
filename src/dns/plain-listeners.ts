/** The UDP and TCP listeners of a data thread: opened, and opened again after a failure. */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import type { Logger } from '../core/logger.ts';
import type { KeptSockets } from './kept-sockets.ts';
import { Opening } from './opening.ts';
import type { KeptTransport } from './socket-keeper.ts';
import { TcpServer, type TcpShared } from './tcp-server.ts';
import { type ServerContext, UdpServer } from './udp-server.ts';

interface Listener {
  readonly endpoint: InetEndpoint;
  readonly transport: KeptTransport;
  readonly opening: Opening;
  server: UdpServer | TcpServer | undefined;
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
    return [...this.#listeners.values()].map(({ endpoint, transport, server, opening }) => ({
      endpoint,
      transport,
      bound: server?.endpoint,
      error: opening.error,
    }));
  }

  apply(endpoints: readonly InetEndpoint[]): void {
    const wanted = new Map<string, { endpoint: InetEndpoint; transport: KeptTransport }>();
    for (const endpoint of endpoints) {
      for (const transport of ['udp', 'tcp'] as const) {
        wanted.set(`${transport} ${formatEndpoint(endpoint)}`, { endpoint, transport });
      }
    }
    for (const [key, listener] of this.#listeners) {
      if (wanted.has(key)) continue;
      this.#close(listener);
      this.#listeners.delete(key);
    }
    for (const [key, { endpoint, transport }] of wanted) {
      if (this.#listeners.has(key)) continue;
      const { clock } = this.#context;
      const opening = new Opening({ clock, log: this.#log }, endpoint, transport, () => this.#open(listener));
      const listener: Listener = { endpoint, transport, opening, server: undefined };
      this.#listeners.set(key, listener);
      this.#open(listener);
    }
  }

  /** Takes nothing new; what was asked by UDP is still answered. */
  quiesce(): void {
    for (const { server, opening, endpoint, transport } of this.#listeners.values()) {
      opening.cancel();
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
    try {
      listener.server = this.#openServer(listener);
      listener.opening.succeeded(listener.server.endpoint);
    } catch (error) {
      listener.opening.failed(error);
    }
  }

  #openServer({ transport, endpoint }: Listener): UdpServer | TcpServer {
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
    const { server, opening, endpoint, transport } = listener;
    opening.cancel();
    if (server !== undefined) this.#sockets.drop(transport, endpoint);
    server?.close();
    listener.server = undefined;
  }
}
