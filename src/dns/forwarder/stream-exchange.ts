/**
 * Queries to one upstream by TCP (RFC 7766) or TLS (RFC 7858): a few connections, opened as they are needed, many queries on
 * each at a time, closed when they have been idle, left for another when they stay silent. Node's own sockets do: these are few, and what they carry is bounded.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import { formatAddress } from '../../core/address.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { assert } from '../../core/errors.ts';
import type { Random } from '../../core/random.ts';
import {
  type Attempt,
  type AttemptHandler,
  brokenBy,
  type Departure,
  type Exchange,
  matchesQuestion,
  SILENT_MS,
} from './exchange.ts';
import type { Upstream } from './upstream.ts';

const IDLE_MS = 10_000;
/** Queries under way on a connection before another is opened, and how many there may be of both. */
const BUSY = 32;
const MAX_CONNECTIONS = 4;
const MAX_PENDING = 1024;

/** What a stream needs from its thread. */
export interface StreamContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly handler: AttemptHandler;
}

export class StreamExchange implements Exchange {
  readonly #context: StreamContext;
  readonly #upstream: Upstream;
  readonly #connections = new Set<Connection>();
  /** Made once: reading the system's certificates takes a while that no query should wait for. */
  readonly #secureContext: SecureContext | undefined;
  /** Of the last TLS connection: with it the next takes a round trip less of computing (RFC 8446 §2.2). */
  #session: Buffer | undefined;

  /** @param ca certificates to check against, in PEM; else those of the runtime */
  constructor(context: StreamContext, upstream: Upstream, ca: string | undefined) {
    this.#context = context;
    this.#upstream = upstream;
    if (upstream.config.transport !== 'tls') return;
    this.#secureContext = createSecureContext({ minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) });
  }

  /** Sends `query`, writing the attempt's id into it; `short` when too many wait already. */
  send(attempt: Attempt, query: Uint8Array): Departure {
    const connection = this.#choose();
    if (connection === undefined) return 'short';
    connection.send(attempt, query);
    return 'left';
  }

  close(): void {
    for (const connection of [...this.#connections]) connection.close();
  }

  /** The least busy connection, or a new one where all have enough to do. */
  #choose(): Connection | undefined {
    let best: Connection | undefined;
    for (const connection of this.#connections) {
      if (connection.retired) continue;
      if (best === undefined || connection.pending < best.pending) best = connection;
    }
    if (best !== undefined && (best.pending < BUSY || this.#connections.size >= MAX_CONNECTIONS)) {
      return best.pending < MAX_PENDING ? best : undefined;
    }
    const fresh = new Connection(this.#context, this.#upstream, this.#connect(), (gone) =>
      this.#connections.delete(gone),
    );
    this.#connections.add(fresh);
    return fresh;
  }

  #connect(): Socket {
    const { transport, endpoint, serverName } = this.#upstream.config;
    const host = formatAddress(endpoint.address);
    const { port } = endpoint;
    if (transport !== 'tls') return connectTcp({ host, port });
    assert(this.#secureContext !== undefined, 'a TLS upstream has a context');
    const socket = connectTls({
      host,
      port,
      ALPNProtocols: ['dot'],
      secureContext: this.#secureContext,
      // Without a name the certificate must be for the address.
      ...(serverName === undefined ? {} : { servername: serverName }),
      ...(this.#session === undefined ? {} : { session: this.#session }),
    });
    socket.on('session', (session) => {
      this.#session = session;
    });
    // What was refused once is not shown again.
    socket.on('error', () => {
      this.#session = undefined;
    });
    return socket;
  }
}

/** One connection and what waits for a reply on it. */
class Connection {
  readonly #context: StreamContext;
  readonly #upstream: Upstream;
  readonly #socket: Socket;
  readonly #closed: (self: Connection) => void;
  readonly #waiting = new Map<number, Attempt>();
  #received: Buffer = Buffer.alloc(0);
  #heardAt = 0;
  #idle: Timer | undefined;
  /** It gets no more queries. */
  retired = false;
  #open = true;

  constructor(context: StreamContext, upstream: Upstream, socket: Socket, closed: (self: Connection) => void) {
    this.#context = context;
    this.#upstream = upstream;
    this.#socket = socket;
    this.#closed = closed;
    socket.setNoDelay(true);
    socket.unref();
    let cause: NodeJS.ErrnoException | undefined;
    socket.on('data', (data: Buffer) => this.#read(data));
    socket.on('error', (error) => {
      cause = error;
    });
    socket.on('close', () => this.#broke(cause));
  }

  get pending(): number {
    return this.#waiting.size;
  }

  send(attempt: Attempt, query: Uint8Array): void {
    const { random } = this.#context;
    let id = random.below(65536);
    while (this.#waiting.has(id)) id = random.below(65536);
    attempt.id = id;
    attempt.socket = this;
    this.#waiting.set(id, attempt);
    // Length and message in one write (RFC 7766 §8).
    const frame = Buffer.alloc(2 + query.length);
    frame.writeUInt16BE(query.length, 0);
    frame.set(query, 2);
    frame.writeUInt16BE(id, 2);
    this.#socket.write(frame);
    this.#idle?.cancel();
    this.#idle = undefined;
  }

  forget(attempt: Attempt): void {
    const { clock } = this.#context;
    this.#waiting.delete(attempt.id);
    this.retired ||= this.#heardAt < attempt.sentAt && clock.now() - attempt.sentAt >= SILENT_MS;
    if (this.#waiting.size > 0 || !this.#open) return;
    if (this.retired) {
      this.close();
      return;
    }
    this.#idle?.cancel();
    this.#idle = clock.after(IDLE_MS, () => this.close());
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#idle?.cancel();
    this.#socket.destroy();
    this.#closed(this);
  }

  #broke(cause: NodeJS.ErrnoException | undefined): void {
    if (!this.#open) return;
    this.close();
    const failure = brokenBy(cause);
    // The other side may close what was idle at any time; what TLS says against a certificate is worth telling.
    const detail = cause === undefined || failure === 'refused' ? undefined : cause.message;
    for (const attempt of [...this.#waiting.values()]) this.#context.handler.failed(attempt, failure, detail);
    this.#waiting.clear();
  }

  #read(data: Buffer): void {
    this.#heardAt = this.#context.clock.now();
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    while (this.#open && this.#received.length >= 2) {
      const end = 2 + this.#received.readUInt16BE(0);
      if (this.#received.length < end) return;
      const reply = this.#received.subarray(2, end);
      this.#received = this.#received.subarray(end);
      const attempt = reply.length < 12 ? undefined : this.#waiting.get(reply.readUInt16BE(0));
      if (attempt === undefined || !matchesQuestion(reply, attempt.question)) {
        this.#context.handler.unmatched(this.#upstream);
      } else {
        this.#context.handler.replied(attempt, reply);
      }
    }
  }
}
