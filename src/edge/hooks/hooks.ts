/**
 * Events to whoever wants to know at once: a pager, a chat, a script (HAProxy's `email-alert` and keepalived's `notify`, in
 * one). A hook is a URL that gets them by POST, or a program that is run for each. Each is told one event after the other, in
 * order. A receiver that is slow, gone or failing costs a bounded queue and nothing else: the log has the first event it was
 * not told of, and when it is told again how many there were; counters have them all.
 */
import type { Clock, Timer } from '../../core/clock.ts';
import { errorMessage } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { EventStream, NumberedEvent } from '../events.ts';
import { type Outgoing, outgoing } from './event.ts';
import { postJson } from './post.ts';
import { runProgram } from './program.ts';

/** A receiver of events. */
export type HookConfig = (
  | {
      /** http or https; it may hold a secret, so the log has its host alone. */
      readonly url: string;
    }
  | {
      /** Absolute path of the program, and its arguments, which may hold secrets as well. */
      readonly exec: readonly string[];
    }
) & {
  /** Kinds of event. */
  readonly events: readonly string[];
  readonly timeoutMs: number;
};

/** What became of events for a receiver. */
export interface HookStatus {
  readonly receiver: string;
  readonly told: number;
  readonly missed: number;
}

export interface HooksContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly stream: EventStream;
  /** Sends; rejects unless the answer's status is 2xx. */
  readonly post?: (url: string, body: string, signal: AbortSignal) => Promise<void>;
  /** Runs a program; rejects unless it ends with 0. */
  readonly run?: (command: readonly string[], event: Outgoing, signal: AbortSignal) => Promise<void>;
}

/** Events that wait for a receiver; the oldest go first when there are more. */
const maxWaiting = 100;
/** Pauses before an event is sent to a URL again; after the last it is given up. A program may have done half of its work: it is run once. */
const retryMs: readonly number[] = [1_000, 5_000, 30_000];
/** From the start of a program to the next start of it, at least: a member that flaps is no reason to start hundreds. */
const programGapMs = 100;

export class Hooks {
  readonly #context: Required<HooksContext>;
  readonly #stopReading: () => void;
  #hooks: Hook[] = [];

  constructor(context: HooksContext) {
    this.#context = { post: postJson, run: runProgram, ...context };
    this.#stopReading = context.stream.read((event) => {
      for (const hook of this.#hooks) hook.tell(event);
    });
  }

  /** Takes over a configuration; what waits for a receiver that stays still reaches it. */
  apply(configs: readonly HookConfig[]): void {
    const before = [...this.#hooks];
    this.#hooks = configs.map((config) => {
      // One receiver may be named twice, for events of its own each.
      const at = before.findIndex((hook) => identity(hook.config) === identity(config));
      const [known = new Hook(this.#context, config)] = at < 0 ? [] : before.splice(at, 1);
      known.config = config;
      return known;
    });
    for (const hook of before) hook.stop();
  }

  /** By receiver; those that the log calls the same are one. */
  status(): HookStatus[] {
    const all = new Map<string, HookStatus>();
    for (const { receiver, told, missed } of this.#hooks) {
      const sum = all.get(receiver) ?? { told: 0, missed: 0 };
      all.set(receiver, { receiver, told: sum.told + told, missed: sum.missed + missed });
    }
    return [...all.values()];
  }

  /** Tells nobody any more. */
  stop(): void {
    this.#stopReading();
    this.apply([]);
  }
}

class Hook {
  config: HookConfig;
  told = 0;
  missed = 0;
  readonly #context: Required<HooksContext>;
  readonly #waiting: NumberedEvent[] = [];
  /** The event that is being told, or that waits to be told again. */
  #current: NumberedEvent | undefined;
  #telling: AbortController | undefined;
  #timer: Timer | undefined;
  #tries = 0;
  #stopped = false;
  #startedAt = Number.NEGATIVE_INFINITY;
  /** `missed` when it was last told of an event. */
  #missedBefore = 0;

  constructor(context: Required<HooksContext>, config: HookConfig) {
    this.#context = context;
    this.config = config;
  }

  /** As the log and metrics name it. */
  get receiver(): string {
    return 'url' in this.config ? new URL(this.config.url).host : this.config.exec[0]!;
  }

  tell(event: NumberedEvent): void {
    if (!this.config.events.includes(event.event.kind)) return;
    this.#waiting.push(event);
    if (this.#waiting.length > maxWaiting) this.#miss(this.#waiting.shift()!, 'too many events wait for it');
    if (this.#current === undefined) this.#next();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#telling?.abort(new Error('the hook is gone'));
    this.#waiting.length = 0;
  }

  #next(): void {
    this.#current = this.#waiting.shift();
    this.#tries = 0;
    if (this.#current === undefined) return;
    const gap = 'exec' in this.config ? this.#startedAt + programGapMs - this.#context.clock.now() : 0;
    if (gap > 0) this.#later(gap);
    else void this.#tell(this.#current);
  }

  #later(ms: number): void {
    this.#timer = this.#context.clock.after(ms, () => void this.#tell(this.#current!));
  }

  /** Never rejects. */
  async #tell(event: NumberedEvent): Promise<void> {
    const { clock } = this.#context;
    const telling = new AbortController();
    this.#telling = telling;
    this.#startedAt = clock.now();
    const timeout = clock.after(this.config.timeoutMs, () => telling.abort(new Error('no end in time')));
    let failure: string | undefined;
    try {
      await this.#deliver(event, telling.signal);
    } catch (error) {
      failure = errorMessage(error);
    }
    timeout.cancel();
    this.#telling = undefined;
    if (this.#stopped) return;
    const pauseMs = 'url' in this.config ? retryMs[this.#tries++] : undefined;
    if (failure !== undefined && pauseMs !== undefined) return this.#later(pauseMs);
    if (failure === undefined) this.#succeeded();
    else this.#miss(event, failure);
    this.#next();
  }

  #deliver(event: NumberedEvent, signal: AbortSignal): Promise<void> {
    const { post, run } = this.#context;
    const { config } = this;
    const message = outgoing(event);
    return 'url' in config ? post(config.url, JSON.stringify(message), signal) : run(config.exec, message, signal);
  }

  #succeeded(): void {
    this.told++;
    const missed = this.missed - this.#missedBefore;
    this.#missedBefore = this.missed;
    if (missed > 0) this.#context.log.info({ receiver: this.receiver, missed }, 'a hook is told of events again');
  }

  #miss({ id, event }: NumberedEvent, reason: string): void {
    if (this.missed++ > this.#missedBefore) return;
    this.#context.log.warn(
      { receiver: this.receiver, event: id, kind: event.kind, reason },
      'a hook was not told of an event; more of them are counted, not logged',
    );
  }
}

function identity(config: HookConfig): string {
  return JSON.stringify('url' in config ? config.url : config.exec);
}
