/**
 * The memory that all threads share, as the control thread holds it: made once, given to each data thread that starts, and
 * rid of what a thread that has ended had in it.
 */
import type { CounterTable } from '../core/counters.ts';
import { cryptoRandom } from '../core/random.ts';
import { newQueueTable, releaseQueues } from '../proxy/queue.ts';
import { listSources, newSourceTable, releaseSources, type SourceStatus } from '../proxy/sources.ts';
import { CommitCount } from './commit-count.ts';
import type { ThreadStart } from './protocol.ts';

export class SharedTables {
  readonly commits: CommitCount;
  readonly #counters: CounterTable;
  readonly #sources: SharedArrayBuffer;
  readonly #queues: SharedArrayBuffer;

  constructor(counters: CounterTable) {
    const { threads } = counters.layout;
    this.#counters = counters;
    this.#sources = newSourceTable(threads, cryptoRandom);
    this.#queues = newQueueTable(threads);
    this.commits = new CommitCount(threads);
  }

  /** How many data threads they are made for. */
  get threads(): number {
    return this.#counters.layout.threads;
  }

  /** What a thread that starts gets of them. */
  get start(): Pick<ThreadStart, 'threads' | 'counters' | 'sources' | 'queues' | 'commits' | 'commit'> {
    return {
      threads: this.threads,
      counters: this.#counters.buffer,
      sources: this.#sources,
      queues: this.#queues,
      commits: this.commits.buffer,
      commit: this.commits.published,
    };
  }

  /** A thread has ended: its sessions are gone, and whoever waits behind them elsewhere goes on. */
  release(thread: number): void {
    this.#counters.release(thread);
    releaseSources(this.#sources, thread);
    releaseQueues(this.#queues, thread);
  }

  /** What the proxy knows of each client, where a listener limits them. */
  listSources(nowMs: number): SourceStatus[] {
    return listSources(this.#sources, nowMs);
  }
}
