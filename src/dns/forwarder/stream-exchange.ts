/**
 * Queries to one upstream by TCP (RFC 7766) or TLS (RFC 7858): one connection, many queries on it at a time, closed when it
 * has been idle. Node's own sockets do: these are few, and what they carry is bounded.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import { formatAddress } from '../../core/address.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import type { Random } from '../../core/random.ts';
import { type Attempt, type AttemptHandler, matchesQuestion } from './exchange.ts';
import type { Upstream } from './upstream.ts';

const IDLE_MS = 10_000;
const MAX_PENDING = 1024;

/** What a stream needs from its thread. */
export interface StreamContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly handler: AttemptHandler;
}

export class StreamExchange {
  readonly #context: StreamContext;
  readonly #upstream: Upstream;
  readonly #pending = new Map<number, Attempt>();
  /** Made once: reading the system's certificates takes a while that no query should wait for. */
  readonly #secureContext: SecureContext | undefined;
  #socket: Socket | undefined;
  #received: Buffer = Buffer.alloc(0);
  #idle: Timer | undefined;

  constructor(context: StreamContext, upstream: Upstream) {
    this.#context = context;
    this.#upstream = upstream;
    if (upstream.config.transport === 'tls') this.#secureContext = createSecureContext({ minVersion: 'TLSv1.2' });
  }

  /** Sends `query`, writing the attempt's id into it. False when too many wait already. */
  send(attempt: Attempt, query: Uint8Array): boolean {
    if (this.#pending.size >= MAX_PENDING) return false;
    const { random } = this.#context;
    let id = random.below(65536);
    while (this.#pending.has(id)) id = random.below(65536);
    attempt.id = id;
    attempt.socket = this;
    this.#pending.set(id, attempt);
    // Length and message in one write (RFC 7766 §8).
    const frame = Buffer.alloc(2 + query.length);
    frame.writeUInt16BE(query.length, 0);
    frame.set(query, 2);
    frame.writeUInt16BE(id, 2);
    this.#socket ??= this.#connect();
    this.#socket.write(frame);
    this.#idle?.cancel();
    this.#idle = undefined;
    return true;
  }

  forget(attempt: Attempt): void {
    this.#pending.delete(attempt.id);
    if (this.#pending.size > 0 || this.#socket === undefined) return;
    this.#idle?.cancel();
    this.#idle = this.#context.clock.after(IDLE_MS, () => this.close());
  }

  close(): void {
    this.#idle?.cancel();
    this.#idle = undefined;
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#received = Buffer.alloc(0);
  }

  #connect(): Socket {
    const { transport, endpoint, serverName } = this.#upstream.config;
    const host = formatAddress(endpoint.address);
    const { port } = endpoint;
    // Without a name the certificate must be for the address.
    const name = serverName === undefined ? {} : { servername: serverName };
    const socket =
      transport === 'tls'
        ? connectTls({ host, port, ALPNProtocols: ['dot'], secureContext: this.#secureContext!, ...name })
        : connectTcp({ host, port });
    socket.setNoDelay(true);
    socket.unref();
    let reason = 'closed';
    socket.on('data', (data: Buffer) => {
      if (this.#socket === socket) this.#read(data);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reason = error.code ?? error.message;
    });
    socket.on('close', () => {
      if (this.#socket === socket) this.#broke(reason === 'ECONNREFUSED' ? 'refused' : 'closed');
    });
    return socket;
  }

  #broke(failure: 'refused' | 'closed'): void {
    this.close();
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    for (const attempt of lost) this.#context.handler.failed(attempt, failure);
  }

  #read(data: Buffer): void {
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    while (this.#received.length >= 2) {
      const end = 2 + this.#received.readUInt16BE(0);
      if (this.#received.length < end) return;
      const reply = this.#received.subarray(2, end);
      this.#received = this.#received.subarray(end);
      const attempt = reply.length < 12 ? undefined : this.#pending.get(reply.readUInt16BE(0));
      if (attempt === undefined || !matchesQuestion(reply, attempt.question)) {
        this.#context.handler.unmatched(this.#upstream);
      } else {
        this.#context.handler.replied(attempt, reply);
      }
    }
  }
}
