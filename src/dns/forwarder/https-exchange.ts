/**
 * Queries to one upstream by HTTPS (RFC 8484): one connection, opened when it is needed and closed when it has been idle, a
 * stream of it for each query. A connection that the server is done with (GOAWAY), or that has been silent while it owed an
 * answer, gets no more queries: the next opens another, and what is under way ends on the old one.
 */
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Clock, Timer } from '../../core/clock.ts';
import { type DohSession, openSession, type Posted, post } from './doh.ts';
import { type Attempt, type AttemptHandler, brokenBy, type Departure, type Exchange, SILENT_MS } from './exchange.ts';
import type { Upstream } from './upstream.ts';

const IDLE_MS = 10_000;
/** Queries that wait for their answers; what the server does not take at once of them waits for others to end. */
const MAX_PENDING = 1024;

/** What the way needs from its thread. */
export interface HttpsContext {
  readonly clock: Clock;
  readonly handler: AttemptHandler;
}

export class HttpsExchange implements Exchange {
  readonly #context: HttpsContext;
  readonly #upstream: Upstream;
  /** Made once: reading the system's certificates takes a while that no query should wait for. */
  readonly #secureContext: SecureContext;
  readonly #connections = new Set<Connection>();
  #current: Connection | undefined;
  /** Of the last connection: with it the next takes less computing (RFC 8446 §2.2). */
  #resume: Buffer | undefined;

  /** @param ca certificates to check against, in PEM; else those of the runtime */
  constructor(context: HttpsContext, upstream: Upstream, ca: string | undefined) {
    this.#context = context;
    this.#upstream = upstream;
    this.#secureContext = createSecureContext({ minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) });
  }

  send(attempt: Attempt, query: Uint8Array): Departure {
    let pending = 0;
    for (const connection of this.#connections) pending += connection.pending;
    if (pending >= MAX_PENDING) return 'short';
    if (this.#current === undefined || !this.#current.usable) {
      this.#current?.retire();
      this.#current = this.#open();
    }
    this.#current.send(attempt, query);
    return 'left';
  }

  close(): void {
    for (const connection of [...this.#connections]) connection.close();
  }

  #open(): Connection {
    const opened = openSession(this.#upstream.config, this.#secureContext, this.#resume);
    opened.socket.on('session', (session) => {
      this.#resume = session;
    });
    // What was refused once is not shown again.
    opened.socket.on('error', () => {
      this.#resume = undefined;
    });
    const connection = new Connection(this.#context, this.#upstream, opened, () => {
      this.#connections.delete(connection);
      if (this.#current === connection) this.#current = undefined;
    });
    this.#connections.add(connection);
    return connection;
  }
}

/** One connection and what waits for an answer on it. */
class Connection {
  readonly #context: HttpsContext;
  readonly #upstream: Upstream;
  readonly #session: DohSession['session'];
  readonly #closed: () => void;
  readonly #waiting = new Map<Attempt, Posted>();
  #heardAt = 0;
  #idle: Timer | undefined;
  #retired = false;
  #open = true;
  /** Why it broke, if it did. */
  #cause: NodeJS.ErrnoException | undefined;

  constructor(context: HttpsContext, upstream: Upstream, { session, socket }: DohSession, closed: () => void) {
    this.#context = context;
    this.#upstream = upstream;
    this.#session = session;
    this.#closed = closed;
    socket.setNoDelay(true);
    socket.unref();
    socket.on('error', (error) => {
      this.#cause ??= error;
    });
    session.on('error', (error: NodeJS.ErrnoException) => {
      this.#cause ??= error;
    });
    session.on('goaway', () => this.retire());
    session.on('close', () => this.#broke());
  }

  get pending(): number {
    return this.#waiting.size;
  }

  get usable(): boolean {
    return this.#open && !this.#retired && !this.#session.closed && !this.#session.destroyed;
  }

  send(attempt: Attempt, query: Uint8Array): void {
    const { handler } = this.#context;
    attempt.id = 0;
    attempt.socket = this;
    const posted = post(
      this.#session,
      this.#upstream.config,
      query,
      attempt.question,
      (reply) => {
        this.#heardAt = this.#context.clock.now();
        handler.replied(attempt, reply);
      },
      (reason, answered) => {
        if (answered) this.#heardAt = this.#context.clock.now();
        if (answered) handler.failed(attempt, 'answer', reason);
        // Why a connection broke is known at its end, which tells all that wait on it.
        else if (!this.#session.destroyed) handler.failed(attempt, 'closed', reason);
      },
    );
    this.#waiting.set(attempt, posted);
    this.#idle?.cancel();
    this.#idle = undefined;
  }

  forget(attempt: Attempt): void {
    const posted = this.#waiting.get(attempt);
    if (posted === undefined) return;
    this.#waiting.delete(attempt);
    const { clock } = this.#context;
    const silent = this.#heardAt < attempt.sentAt && clock.now() - attempt.sentAt >= SILENT_MS;
    if (posted.cancel() && silent) this.retire();
    if (this.#waiting.size > 0 || !this.#open) return;
    if (this.#retired) {
      this.close();
      return;
    }
    this.#idle?.cancel();
    this.#idle = clock.after(IDLE_MS, () => this.close());
  }

  /** No more queries go this way. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    if (this.#waiting.size === 0) this.close();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#idle?.cancel();
    this.#session.destroy();
    this.#closed();
  }

  #broke(): void {
    const cause = this.#cause;
    if (this.#open) this.close();
    const failure = brokenBy(cause);
    // What TLS says against a certificate is worth telling.
    const detail = cause === undefined || failure === 'refused' ? undefined : cause.message;
    for (const attempt of [...this.#waiting.keys()]) this.#context.handler.failed(attempt, failure, detail);
    this.#waiting.clear();
  }
}
