import type { Logger } from './logger.ts';

/** A long-running part: `start` resolves when it serves, `stop` when it has let go of everything. */
export interface Task {
  readonly name: string;
  start(): Promise<void>;
  /** Idempotent; bounded in time by the task itself. */
  stop(): Promise<void>;
}

/**
 * Starts tasks in order and stops them in the reverse order; when one fails to start, those already running are
 * stopped before the failure is passed on.
 */
export class Supervisor {
  readonly #tasks: Task[] = [];
  readonly #log: Logger;
  #stopping: Promise<void> | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Starts the task and keeps it for `stop`. */
  async start(task: Task): Promise<void> {
    this.#tasks.push(task);
    try {
      await task.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Stops all tasks, the newest first; a failing stop is logged and does not keep the others running. Whoever calls
   * while that goes on waits for the same end.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll().finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (let task = this.#tasks.pop(); task !== undefined; task = this.#tasks.pop()) {
      try {
        await task.stop();
      } catch (error) {
        this.#log.error({ task: task.name, err: error }, 'task did not stop cleanly');
      }
    }
  }
}
