/**
 * The data threads as the control thread sees them: started, fed with state, asked, restarted when one ends by itself.
 *
 * A new thread gets the whole present state first (`initial`), then everything that changes, in order. What is sent with a
 * ticket is answered once by each thread that lived when it was sent; a thread that ends answers all its tickets.
 */
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../core/clock.ts';
import type { CounterTable } from '../core/counters.ts';
import type { Logger } from '../core/logger.ts';
import type { ZonePublication } from '../dns/control.ts';
import type { Handoff } from '../dns/snapshot.ts';
import type { ProxyEvent } from '../proxy/engine.ts';
import type { SessionInfo } from '../proxy/session.ts';
import type { Down, ThreadReport, ThreadStart, Up } from './protocol.ts';

/** A thread that ends within this time of its start is started again only after a pause, doubling up to the longest. */
const steadyMs = 10_000;
const longestPauseMs = 5_000;
/** How long a thread may take to answer; one that is late is left out of the answer, not waited for. */
const answerMs = 1_000;

interface Pending {
  readonly waiting: Set<DataThread>;
  readonly values: unknown[];
  readonly timer: Timer;
  readonly resolve: (values: unknown[]) => void;
}

interface DataThread {
  readonly index: number;
  readonly worker: Worker;
  readonly startedAt: number;
  ready: boolean;
}

export interface DataThreadsContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: CounterTable;
  readonly logSettings: ThreadStart['log'];
  /** The whole present state, for a thread that starts. */
  readonly initial: () => readonly (Extract<Down, { kind: 'proxy' | 'dns' }> | ZonePublication)[];
  readonly handoff: Handoff;
  readonly onProxyEvent: (event: ProxyEvent) => void;
}

export class DataThreads {
  readonly #context: DataThreadsContext;
  readonly #threads = new Map<number, DataThread>();
  readonly #pending = new Map<number, Pending>();
  readonly #restarts = new Map<number, { pauseMs: number; count: number; timer?: Timer }>();
  readonly #readyWaiters: (() => void)[] = [];
  #tickets = 0;
  #restartCount = 0;
  #stopping = false;

  constructor(context: DataThreadsContext) {
    this.#context = context;
  }

  /** How often a thread was started again. */
  get restarts(): number {
    return this.#restartCount;
  }

  /** Each thread, for people. */
  list(): { name: string; state: 'starting' | 'running' | 'restarting' | 'stopping'; restarts: number }[] {
    return Array.from({ length: this.#context.counters.layout.threads }, (_, index) => {
      const thread = this.#threads.get(index);
      const state = thread === undefined ? 'restarting' : thread.ready ? 'running' : 'starting';
      return {
        name: `data-${index}`,
        state: this.#stopping ? 'stopping' : state,
        restarts: this.#restarts.get(index)?.count ?? 0,
      };
    });
  }

  /** Threads that have taken in the state they were started with. */
  get alive(): number {
    return [...this.#threads.values()].filter((thread) => thread.ready).length;
  }

  /** Starts `count` threads; resolves when all serve. */
  async start(count: number): Promise<void> {
    for (let index = 0; index < count; index++) this.#spawn(index);
    await new Promise<void>((resolve) => {
      this.#readyWaiters.push(() => {
        if (this.alive === count) resolve();
      });
    });
  }

  /** Tells every thread. */
  broadcast(message: Exclude<Down, { ticket: number }>): void {
    for (const { worker } of this.#threads.values()) worker.postMessage(message);
  }

  /** Tells every thread of a change of zones; resolves when all have taken it in, or after a second. */
  async publish(publication: ZonePublication): Promise<void> {
    await this.#ask((ticket) => ({ kind: 'publish', publication, ticket }));
  }

  /** What every thread says of itself. */
  async reports(): Promise<ThreadReport[]> {
    return (await this.#ask((ticket) => ({ kind: 'ask', ticket, question: 'report' }))) as ThreadReport[];
  }

  /** The live sessions of all threads. */
  async sessions(): Promise<SessionInfo[]> {
    const lists = await this.#ask((ticket) => ({ kind: 'ask', ticket, question: 'sessions' }));
    return (lists as SessionInfo[][]).flat();
  }

  /** Stops accepting, lets sessions finish for `graceMs`, then ends the threads. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    for (const { timer } of this.#restarts.values()) timer?.cancel();
    const ends = [...this.#threads.values()].map(async ({ worker }) => {
      const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      worker.postMessage({ kind: 'stop', graceMs } satisfies Down);
      // The thread closes what is left after the grace time by itself; one that does not answer is ended.
      const force = this.#context.clock.after(graceMs + 2_000, () => void worker.terminate());
      await ended;
      force.cancel();
    });
    await Promise.all(ends);
  }

  #spawn(index: number): void {
    const { clock, counters, log, logSettings } = this.#context;
    const start: ThreadStart = {
      thread: index,
      threads: counters.layout.threads,
      counters: counters.buffer,
      log: logSettings,
    };
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: start, name: `data-${index}` });
    const thread: DataThread = { index, worker, startedAt: clock.now(), ready: false };
    this.#threads.set(index, thread);
    worker.on('message', (message: Up) => this.#onMessage(thread, message));
    worker.on('error', (error) => log.error({ thread: index, err: error }, 'data thread failed'));
    worker.on('exit', (code) => this.#onExit(thread, code));
    for (const state of this.#context.initial()) {
      const ticket = this.#tickets++;
      worker.postMessage(
        state.kind === 'proxy' || state.kind === 'dns' ? state : { kind: 'publish', publication: state, ticket },
      );
    }
    worker.postMessage({ kind: 'ask', ticket: -1, question: 'report' } satisfies Down);
  }

  #onMessage(thread: DataThread, message: Up): void {
    switch (message.kind) {
      case 'ready':
        thread.ready = true;
        for (const waiter of this.#readyWaiters) waiter();
        return;
      case 'done':
        this.#settle(message.ticket, thread, message.value);
        return;
      case 'handoff':
        void this.#answerHandoff(thread, message);
        return;
      case 'proxy-event':
        this.#context.onProxyEvent(message.event);
        return;
    }
  }

  async #answerHandoff(thread: DataThread, { id, request }: Extract<Up, { kind: 'handoff' }>): Promise<void> {
    let messages: readonly Uint8Array[] = [];
    try {
      messages = await this.#context.handoff(request);
    } catch (error) {
      this.#context.log.error({ err: error }, 'a handed-over DNS message failed');
    }
    thread.worker.postMessage({ kind: 'replies', id, messages } satisfies Down);
  }

  #ask(message: (ticket: number) => Down): Promise<unknown[]> {
    const ticket = this.#tickets++;
    const threads = [...this.#threads.values()];
    if (threads.length === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      const timer = this.#context.clock.after(answerMs, () => {
        this.#pending.delete(ticket);
        resolve(pending.values);
      });
      const pending: Pending = { waiting: new Set(threads), values: [], timer, resolve };
      this.#pending.set(ticket, pending);
      for (const { worker } of threads) worker.postMessage(message(ticket));
    });
  }

  #settle(ticket: number, thread: DataThread, value: unknown): void {
    const pending = this.#pending.get(ticket);
    if (pending === undefined || !pending.waiting.delete(thread)) return;
    if (value !== undefined) pending.values.push(value);
    if (pending.waiting.size > 0) return;
    pending.timer.cancel();
    this.#pending.delete(ticket);
    pending.resolve(pending.values);
  }

  #onExit(thread: DataThread, code: number): void {
    this.#threads.delete(thread.index);
    this.#context.counters.release(thread.index);
    for (const ticket of [...this.#pending.keys()]) this.#settle(ticket, thread, undefined);
    if (this.#stopping) return;
    const { clock, log } = this.#context;
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
