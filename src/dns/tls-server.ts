/**
 * DNS over TLS on one address (RFC 7858): framing, limits and manners as over TCP (tcp-connection.ts), by Node's own TLS; answers
 * are padded. Each data thread has a socket of its own; clients outside `allow` are let go before the handshake.
 */
import type { Server, Socket } from 'node:net';
import { createServer, type Server as NodeTlsServer, type TLSSocket } from 'node:tls';
import { type InetEndpoint, parseAddress } from '../core/address.ts';
import type { Timer } from '../core/clock.ts';
import { observe } from '../core/histogram.ts';
import { closeFd } from '../linux/libc.ts';
import { listenTcp, setUnsentLimit } from '../linux/tcp.ts';
import type { DnsTlsConfig } from './config.ts';
import { COUNT, GAUGE } from './counters.ts';
import type { Origin, ReplySink } from './origin.ts';
import { Padding } from './padding.ts';
import { LOCAL_WAIT } from './slot-counters.ts';
import { IDLE_MS, KERNEL_UNSENT, MAX_PENDING, MAX_UNSENT, TAKE_MS } from './tcp-connection.ts';
import { KEEPALIVE_SECONDS, MAX_PER_CLIENT, type TcpShared } from './tcp-server.ts';
import type { ServerContext } from './udp-server.ts';

const BACKLOG = 256;
const MAX_CONNECTIONS = 512;
/** A handshake costs us much and a client little: it gets less time than a query. */
const HANDSHAKE_MS = 3000;
const LENGTH_BYTES = 2;

export class TlsServer {
  readonly #context: ServerContext;
  readonly #shared: TcpShared;
  readonly #server: NodeTlsServer;
  readonly #connections = new Set<TlsConnection>();
  readonly #raw = new Set<Socket>();
  /** What it listens on; Node's server closes it. */
  readonly fd: number;

  /**
   * Begins to listen; `settled` hears once whether it does.
   * @param adopted a socket that listens there already; the server's from now on, also if this throws
   * @throws {Error} certificate or key cannot be used
   * @throws {SystemError} when the address cannot be bound
   */
  constructor(
    context: ServerContext,
    shared: TcpShared,
    endpoint: InetEndpoint,
    config: DnsTlsConfig,
    settled: (error: Error | undefined) => void,
    adopted?: number,
  ) {
    this.#context = context;
    this.#shared = shared;
    // Bound here and not by Node: Node tells nobody the descriptor of what it listens on.
    this.fd = adopted ?? listenTcp(endpoint, { backlog: BACKLOG, keepaliveSeconds: KEEPALIVE_SECONDS });
    setUnsentLimit(this.fd, KERNEL_UNSENT);
    try {
      this.#server = createServer({
        cert: config.certificate,
        key: config.key,
        minVersion: 'TLSv1.2',
        ALPNProtocols: ['dot'],
        handshakeTimeout: HANDSHAKE_MS,
        allowHalfOpen: true,
      });
    } catch (error) {
      closeFd(this.fd);
      throw error;
    }
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('connection', (socket) => this.#connected(socket));
    this.#server.on('secureConnection', (socket) => this.#accepted(socket));
    this.#server.on('tlsClientError', () => context.counters.add(COUNT.TLS_FAILED));
    this.#server.once('error', settled);
    this.#server.listen({ fd: this.fd, backlog: BACKLOG }, () => {
      this.#server.off('error', settled);
      // Out of descriptors, say: the next connection may be accepted.
      this.#server.on('error', () => context.counters.add(COUNT.TLS_FAILED));
      settled(undefined);
    });
    this.#server.unref();
  }

  /** Where it listens, once it does. */
  get endpoint(): InetEndpoint | undefined {
    const bound = (this.#server as Server).address();
    if (bound === null || typeof bound === 'string') return undefined;
    return { kind: 'inet', address: parseAddress(bound.address), port: bound.port };
  }

  /** Takes another certificate for connections to come. */
  renew(config: DnsTlsConfig): void {
    this.#server.setSecureContext({ cert: config.certificate, key: config.key, minVersion: 'TLSv1.2' });
  }

  /** Stops accepting; connections stay. */
  quiesce(): void {
    this.#server.close();
  }

  close(): void {
    this.#server.close();
    for (const connection of [...this.#connections]) connection.close();
    for (const socket of this.#raw) socket.destroy();
  }

  #connected(socket: Socket): void {
    const { counters, filter } = this.#context;
    const address = clientAddress(socket);
    const key = address === undefined ? '' : Buffer.from(address.bytes).toString('latin1');
    const { perClient } = this.#shared;
    counters.add(COUNT.TCP_ACCEPTED);
    const words = new Uint32Array(4);
    if (address !== undefined) new Uint8Array(words.buffer).set(address.bytes);
    if (address === undefined || !filter.allows(words, 0, address.family)) {
      counters.add(COUNT.NOT_ALLOWED);
      socket.destroy();
      return;
    }
    if (perClient.of(key) >= MAX_PER_CLIENT) {
      counters.add(COUNT.TCP_REJECTED);
      socket.destroy();
      return;
    }
    perClient.add(key);
    counters.gaugeAdd(GAUGE.TCP_CONNECTIONS, 1);
    this.#raw.add(socket);
    socket.once('close', () => {
      this.#raw.delete(socket);
      perClient.remove(key);
      counters.gaugeAdd(GAUGE.TCP_CONNECTIONS, -1);
    });
  }

  #accepted(socket: TLSSocket): void {
    const address = clientAddress(socket);
    if (address === undefined) {
      socket.destroy();
      return;
    }
    const client: InetEndpoint = { kind: 'inet', address, port: socket.remotePort ?? 0 };
    const local = this.endpoint ?? client;
    const connection = new TlsConnection(this.#context, this.#shared, socket, client, local, () =>
      this.#connections.delete(connection),
    );
    this.#connections.add(connection);
  }
}

/** One client's connection. */
class TlsConnection implements Origin, ReplySink {
  readonly transport = 'tcp';
  readonly #context: ServerContext;
  readonly #shared: TcpShared;
  readonly #socket: TLSSocket;
  readonly #client: InetEndpoint;
  readonly #clientWords = new Uint32Array(4);
  readonly #local: InetEndpoint;
  readonly #closed: () => void;
  readonly #padding = new Padding();
  /** What has come of messages not answered yet: whole to `#need` octets at least, or in pieces that are not put together before. */
  #received: Buffer = Buffer.alloc(0);
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #need = LENGTH_BYTES;
  #pending = 0;
  #answering = false;
  #idle: Timer | undefined;
  /** The client has sent its last: it still gets its answers. */
  #ended = false;
  #open = true;

  constructor(
    context: ServerContext,
    shared: TcpShared,
    socket: TLSSocket,
    client: InetEndpoint,
    local: InetEndpoint,
    closed: () => void,
  ) {
    this.#context = context;
    this.#shared = shared;
    this.#socket = socket;
    this.#client = client;
    this.#local = local;
    this.#closed = closed;
    new Uint8Array(this.#clientWords.buffer).set(client.address.bytes);
    socket.setNoDelay(true);
    socket.on('data', (data: Buffer) => this.#take(data));
    socket.on('drain', () => {
      this.#touch();
      this.#go();
    });
    socket.on('end', () => {
      this.#ended = true;
      this.#go();
    });
    socket.on('error', () => this.close());
    socket.on('close', () => this.close());
    this.#touch();
  }

  hold(): ReplySink {
    this.#pending++;
    return this;
  }

  client(): InetEndpoint {
    return this.#client;
  }

  local(): InetEndpoint {
    return this.#local;
  }

  send(bytes: Buffer, start: number, length: number): void {
    if (!this.#open) return;
    this.#write(bytes, start, length);
    // It took all of it at once.
    if (!this.#socket.writableNeedDrain) this.#touch();
  }

  #write(bytes: Buffer, start: number, length: number): void {
    const extra = this.#padding.extra(bytes.subarray(start, start + length));
    const frame = Buffer.alloc(LENGTH_BYTES + length + extra);
    frame.writeUInt16BE(length + extra, 0);
    bytes.copy(frame, LENGTH_BYTES, start, start + length);
    if (extra > 0) this.#padding.write(frame.subarray(LENGTH_BYTES), extra);
    const caughtUp = !this.#socket.writableNeedDrain;
    if (!this.#socket.write(frame) && caughtUp) this.#touch();
  }

  async drained(): Promise<boolean> {
    if (this.#open && this.#socket.writableNeedDrain) {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#socket.off('drain', done).off('close', done);
          resolve();
        };
        this.#socket.on('drain', done).on('close', done);
      });
    }
    return this.#open;
  }

  done(): void {
    this.#pending--;
    this.#go();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#idle?.cancel();
    this.#received = Buffer.alloc(0);
    this.#pieces = [];
    this.#socket.destroy();
    this.#closed();
  }

  #take(data: Buffer): void {
    this.#pieces.push(data);
    this.#pieceBytes += data.length;
    if (this.#received.length + this.#pieceBytes < this.#need) return;
    this.#received = Buffer.concat([this.#received, ...this.#pieces]);
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#go();
  }

  /** Answers what has come as far as the limits allow; then waits, or lets the client go that has all it asked for. */
  #go(): void {
    // An answer that is there at once ends its wait while it is being written, in memory that all messages share.
    if (this.#answering) return;
    this.#answering = true;
    while (this.#open && this.#wantsQueries && this.#received.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + this.#received.readUInt16BE(0);
      this.#need = end;
      if (this.#received.length < end) break;
      this.#need = LENGTH_BYTES;
      const message = this.#received.subarray(LENGTH_BYTES, end);
      this.#received = this.#received.subarray(end);
      this.#message(message);
    }
    this.#answering = false;
    if (!this.#open) return;
    if (!this.#wantsQueries) this.#socket.pause();
    else if (this.#ended && this.#pending === 0) this.#socket.end();
    else this.#socket.resume();
  }

  get #wantsQueries(): boolean {
    return this.#pending < MAX_PENDING && this.#socket.writableLength < MAX_UNSENT;
  }

  #message(message: Buffer): void {
    const { responder, filter, clock, counters } = this.#context;
    const { view, out, outWords } = this.#shared;
    // Who has answers to take does not stay by asking for more.
    if (!this.#socket.writableNeedDrain) this.#touch();
    counters.add(COUNT.TLS);
    view.bytes.set(message, 0);
    const now = clock.now();
    const allowed = filter.allows(this.#clientWords, 0, this.#client.address.family);
    const length = responder.respond(view, 0, message.length, allowed, this, out.bytes, outWords, 4, now);
    if (length === 0) return;
    this.#write(out.bytes, 4, length);
    observe(counters, LOCAL_WAIT, clock.now() - now);
  }

  #touch(): void {
    this.#idle?.cancel();
    this.#idle = this.#context.clock.after(this.#socket.writableNeedDrain ? TAKE_MS : IDLE_MS, () => {
      this.#context.counters.add(COUNT.TCP_TIMEOUT);
      this.close();
    });
  }
}

/** The other side's address; undefined when it is gone already. */
function clientAddress({ remoteAddress }: Socket) {
  return remoteAddress === undefined ? undefined : parseAddress(remoteAddress.replace(/^::ffff:(?=\d+\.)/, ''));
}
