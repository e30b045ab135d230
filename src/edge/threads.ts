/**
 * The data threads as the control thread sees them: started, fed with state, asked, restarted when one ends by itself.
 *
 * A new thread gets the whole present state first (`initial`), then everything that changes, in order. What is sent with a
 * ticket is answered once by each thread that lived when it was sent; a thread that ends answers all its tickets.
 * One that could not close its sockets takes the process with it.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../core/clock.ts';
import type { CounterTable } from '../core/counters.ts';
import { V6edgeError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { ClientSighting } from '../dns/client-ledger.ts';
import type { ZonePublication } from '../dns/control.ts';
import type { Handoff, HandoffRequest, SendReplies } from '../dns/snapshot.ts';
import { Borrower, newLoans } from '../linux/lent-fd.ts';
import type { ProxyEvent } from '../proxy/engine.ts';
import type { SessionQuery } from '../proxy/session-list.ts';
import type { SourceStatus } from '../proxy/sources.ts';
import { DirectReply } from './direct-reply.ts';
import { buffersOf, type Mailbox, post } from './mailbox.ts';
import {
  failedExit,
  type OneDown,
  type ThreadReport,
  type ThreadSessions,
  type ThreadStart,
  type Up,
} from './protocol.ts';
import { SharedTables } from './shared-tables.ts';
import type { PassedSocket } from './sockets.ts';
import { Tickets } from './tickets.ts';

/** A thread that ends within this time of its start is started again only after a pause, doubling up to the longest. */
const steadyMs = 10_000;
const longestPauseMs = 5_000;
/** How long a thread may take to answer; one that is late is left out of the answer, not waited for. */
const answerMs = 1_000;
/** A thread that owes an answer for so long hangs; its share of the traffic waits with it. */
const silentMs = 5_000;
/** How long a thread may take to close what is left when the grace time is over. */
const closeMs = 2_000;

/** A data thread cannot run at all. */
export class ThreadError extends V6edgeError {}

interface DataThread extends Mailbox {
  readonly index: number;
  readonly startedAt: number;
  /** Sockets that it lends. */
  readonly borrower: Borrower;
  ready: boolean;
  /** When the oldest question was asked that has no answer yet. */
  askedAt: number | undefined;
  /** Handed-over messages whose replies go out piece by piece, by id: told when there is room. */
  readonly streams: Map<number, (open: boolean) => void>;
}

/** How a data thread is, for people. */
export interface ThreadState {
  readonly name: string;
  readonly state: 'starting' | 'running' | 'silent' | 'restarting' | 'stopping';
  readonly restarts: number;
}

export interface DataThreadsContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: CounterTable;
  readonly logSettings: ThreadStart['log'];
  /** The whole present state, for a thread that starts. */
  readonly initial: () => readonly (Extract<OneDown, { kind: 'proxy' | 'dns' }> | ZonePublication)[];
  readonly handoff: (request: HandoffRequest, send: SendReplies) => ReturnType<Handoff>;
  /** Listening sockets for a thread that starts. */
  readonly sockets: (thread: number) => readonly PassedSocket[];
  readonly onProxyEvent: (event: ProxyEvent) => void;
  /** The thread's program; tests have others. */
  readonly program?: URL;
}

export class DataThreads {
  readonly #context: DataThreadsContext;
  readonly #tables: SharedTables;
  readonly #threads = new Map<number, DataThread>();
  readonly #tickets: Tickets<DataThread>;
  readonly #directReply = new DirectReply();
  readonly #restarts = new Map<number, { pauseMs: number; count: number; timer?: Timer }>();
  /** Set until every thread has served for the first time. */
  #starting: { resolve(): void; reject(error: unknown): void } | undefined;
  #restartCount = 0;
  #stopping = false;

  constructor(context: DataThreadsContext) {
    this.#context = context;
    this.#tables = new SharedTables(context.counters);
    this.#tickets = new Tickets(context.clock);
  }

  /** How often a thread was started again. */
  get restarts(): number {
    return this.#restartCount;
  }

  /** Each thread, for people. */
  list(): ThreadState[] {
    return Array.from({ length: this.#count }, (_, index) => ({
      name: `data-${index}`,
      state: this.#stopping ? 'stopping' : this.#stateOf(this.#threads.get(index)),
      restarts: this.#restarts.get(index)?.count ?? 0,
    }));
  }

  /** Threads that have taken in the state they were started with. */
  get alive(): number {
    return [...this.#threads.values()].filter((thread) => thread.ready).length;
  }

  /**
   * Starts the threads; resolves when all serve.
   * @throws {ThreadError} code V6_THREAD when one ends before it has served: it would end again and again
   */
  async start(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#starting = { resolve, reject };
    for (let index = 0; index < this.#count; index++) this.#spawn(index);
    try {
      await promise;
    } finally {
      this.#starting = undefined;
    }
  }

  /** Tells every thread. */
  broadcast(message: Exclude<OneDown, { ticket: number }>): void {
    for (const thread of this.#threads.values()) post(thread, message);
  }

  /** Tells every thread of a change of zones, which is in the answers to all queries that come after this turn. */
  publish(publication: ZonePublication): void {
    const commit = this.#tables.commits.publish();
    for (const thread of this.#threads.values()) post(thread, { kind: 'publish', publication, commit });
  }

  /** So many changes are published in this turn: who is told of them before finds them in answers to queries. */
  announce(publications: number): void {
    this.#tables.commits.announce(publications);
  }

  /** Resolves when every thread has taken in what was published, or after `answerMs`. */
  async taken(): Promise<void> {
    await this.#ask((ticket) => ({ kind: 'ask', ticket, question: 'taken' }));
  }

  /** What every thread says of itself. */
  async reports(): Promise<ThreadReport[]> {
    return (await this.#ask((ticket) => ({ kind: 'ask', ticket, question: 'report' }))) as ThreadReport[];
  }

  /** Who asked DNS queries, by thread. */
  async clients(): Promise<(readonly ClientSighting[])[]> {
    return (await this.#ask((ticket) => ({ kind: 'ask', ticket, question: 'clients' }))) as ClientSighting[][];
  }

  /** Live sessions, by thread. */
  async sessions(query: SessionQuery): Promise<ThreadSessions[]> {
    return (await this.#ask((ticket) => ({ kind: 'sessions', ticket, ...query }))) as ThreadSessions[];
  }

  /** What the proxy knows of each client, where a listener limits them. */
  sources(): SourceStatus[] {
    return this.#tables.listSources(this.#context.clock.wall());
  }

  /** Closes one session. False when no thread has one of that id. */
  async closeSession(id: string): Promise<boolean> {
    return (await this.#ask((ticket) => ({ kind: 'close-session', ticket, id }))).includes(true);
  }

  /** Waits until the sessions of this moment have ended, `graceMs` at most; new ones are accepted meanwhile. */
  async settle(graceMs: number): Promise<void> {
    if (graceMs > 0) await this.#ask((ticket) => ({ kind: 'settle', ticket, graceMs }), graceMs + answerMs);
  }

  /**
   * Stops accepting, lets sessions finish for `graceMs`, then ends the threads; one that does not answer is not waited for.
   * @param handOver whether listening sockets stay with the service manager, for a process that follows at once
   */
  async stop(graceMs: number, handOver = false): Promise<void> {
    this.#stopping = true;
    for (const { timer } of this.#restarts.values()) timer?.cancel();
    await Promise.all([...this.#threads.values()].map((thread) => this.#end(thread, graceMs, handOver)));
  }

  async #end(thread: DataThread, graceMs: number, handOver: boolean): Promise<void> {
    const { clock, log } = this.#context;
    const { worker, index } = thread;
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    const force = () => {
      log.error({ thread: index }, 'data thread does not stop: it is ended');
      void worker.terminate();
    };
    let timer = clock.after(this.#isSilent(thread) ? 0 : silentMs, force);
    // The thread closes what is left after the grace time by itself.
    worker.on('message', ({ kind }: Up) => {
      if (kind !== 'stopping') return;
      timer.cancel();
      timer = clock.after(graceMs + closeMs, force);
    });
    post(thread, { kind: 'stop', graceMs, handOver });
    await ended;
    timer.cancel();
  }

  get #count(): number {
    return this.#tables.threads;
  }

  #stateOf(thread: DataThread | undefined): ThreadState['state'] {
    if (thread === undefined) return 'restarting';
    if (this.#isSilent(thread)) return 'silent';
    return thread.ready ? 'running' : 'starting';
  }

  #isSilent({ askedAt }: DataThread): boolean {
    return askedAt !== undefined && this.#context.clock.now() - askedAt >= silentMs;
  }

  #spawn(index: number): void {
    const { clock, log, logSettings } = this.#context;
    const loans = newLoans();
    const start: ThreadStart = {
      thread: index,
      ...this.#tables.start,
      loans,
      log: logSettings,
      sockets: this.#context.sockets(index),
    };
    // As this file: TypeScript in a checkout, JavaScript in the bundle.
    const program = this.#context.program ?? new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    const worker = new Worker(program, { workerData: start, name: `data-${index}` });
    const thread: DataThread = {
      index,
      worker,
      startedAt: clock.now(),
      borrower: new Borrower(loans),
      ready: false,
      askedAt: clock.now(),
      streams: new Map(),
      outbox: [],
      passed: [],
      sending: () => this.#tables.commits.announce(),
      sent: () => this.#tables.commits.sent(index),
    };
    this.#threads.set(index, thread);
    worker.on('message', (message: Up) => this.#onMessage(thread, message));
    worker.on('error', (error) => log.error({ thread: index, err: error }, 'data thread failed'));
    worker.on('exit', (code) => this.#onExit(thread, code));
    for (const state of this.#context.initial()) {
      const isZone = state.kind !== 'proxy' && state.kind !== 'dns';
      post(thread, isZone ? { kind: 'publish', publication: state, commit: start.commit } : state);
    }
    post(thread, { kind: 'ask', ticket: -1, question: 'report' });
  }

  #onMessage(thread: DataThread, message: Up): void {
    thread.askedAt = undefined;
    switch (message.kind) {
      case 'ready':
        thread.ready = true;
        if (this.alive === this.#count) this.#starting?.resolve();
        return;
      case 'stopping':
        return;
      case 'done':
        this.#tickets.settle(message.ticket, thread, message.value);
        return;
      case 'handoff':
        void this.#answerHandoff(thread, message);
        return;
      case 'handoff-more':
        thread.streams.get(message.id)?.(message.open);
        thread.streams.delete(message.id);
        return;
      case 'proxy-event':
        this.#context.onProxyEvent(message.event);
        return;
    }
  }

  async #answerHandoff(thread: DataThread, { id, request }: Extract<Up, { kind: 'handoff' }>): Promise<void> {
    const left: number[] = [];
    const reply = (messages: readonly Uint8Array[], last: boolean) =>
      post(thread, { kind: 'replies', id, messages, last, left: left.splice(0) }, buffersOf(messages));
    const send: SendReplies = (messages) => {
      if (this.#threads.get(thread.index) !== thread) return Promise.resolve(false);
      const [first, ...others] = messages;
      if (first !== undefined && others.length === 0 && this.#sendsByItself(thread, request, first)) {
        left.push(first[3]! & 15);
        return Promise.resolve(true);
      }
      return new Promise((resolve) => {
        thread.streams.set(id, resolve);
        reply(messages, false);
      });
    };
    let messages: readonly Uint8Array[] = [];
    try {
      messages = await this.#context.handoff(request, send);
    } catch (error) {
      this.#context.log.error({ err: error }, 'a handed-over DNS message failed');
    }
    reply(messages, true);
  }

  #sendsByItself(thread: DataThread, { way }: HandoffRequest, reply: Uint8Array): boolean {
    return way !== undefined && this.#directReply.send(thread.borrower, way, reply);
  }

  #ask(message: (ticket: number) => OneDown, limitMs = answerMs): Promise<unknown[]> {
    return this.#tickets.open([...this.#threads.values()], limitMs, (thread, ticket) => {
      // An answer that takes its time is no sign of a thread that hangs.
      if (limitMs === answerMs) thread.askedAt ??= this.#context.clock.now();
      post(thread, message(ticket));
    });
  }

  #onExit(thread: DataThread, code: number): void {
    this.#threads.delete(thread.index);
    this.#tables.release(thread.index);
    this.#tickets.ended(thread);
    for (const resolve of thread.streams.values()) resolve(false);
    if (this.#stopping) return;
    const { clock, log } = this.#context;
    if (this.#starting !== undefined && !thread.ready) {
      const error = new ThreadError(
        'V6_THREAD',
        `data thread ${thread.index} ended with code ${code} before it served`,
      );
      this.#starting.reject(error);
      return;
    }
    // One that V8 ended closed nothing: the kernel would go on to give its sockets their share of clients, whom nobody serves.
    if (code !== failedExit) {
      throw new ThreadError(
        'V6_THREAD_LOST',
        `data thread ${thread.index} ended with code ${code} and its sockets open: only another process helps`,
      );
    }
    const restart = this.#restarts.get(thread.index) ?? { pauseMs: 0, count: 0 };
    const pauseMs = clock.now() - thread.startedAt > steadyMs ? 0 : restart.pauseMs;
    log.error({ thread: thread.index, code, pauseMs }, 'data thread ended, starting it again');
    this.#restartCount++;
    this.#restarts.set(thread.index, {
      count: restart.count + 1,
      pauseMs: Math.min(longestPauseMs, Math.max(100, pauseMs * 2)),
      timer: clock.after(pauseMs, () => this.#spawn(thread.index)),
    });
  }
}
