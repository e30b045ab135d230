/**
 * Events by HTTP to whoever wants to know at once: a pager, a chat, a script (HAProxy's `email-alert` and keepalived's `notify`,
 * in one). Each hook is told one event after the other, in order. A receiver that is slow or gone costs a bounded queue and
 * nothing else; what was left out for it stands in the log.
 */
import { hostname } from 'node:os';
import type { Clock, Timer } from '../core/clock.ts';
import { errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { EventStream, NumberedEvent } from './events.ts';

/** A receiver of events. */
export interface HookConfig {
  /** http or https; it may hold a secret, so the log has its host alone. */
  readonly url: string;
  /** Kinds of event. */
  readonly events: readonly string[];
  readonly timeoutMs: number;
}

export interface HooksContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly stream: EventStream;
  /** Sends; rejects unless the answer's status is 2xx. */
  readonly post?: (url: string, body: string, signal: AbortSignal) => Promise<void>;
}

/** Events that wait for a receiver; the oldest go first when there are more. */
const maxWaiting = 100;
/** Pauses before an event is sent again; after the last it is given up. */
const retryMs: readonly number[] = [1_000, 5_000, 30_000];

export class Hooks {
  readonly #context: Required<HooksContext>;
  readonly #stopReading: () => void;
  #hooks: Hook[] = [];

  constructor(context: HooksContext) {
    this.#context = { post: postJson, ...context };
    this.#stopReading = context.stream.read((event) => {
      for (const hook of this.#hooks) hook.tell(event);
    });
  }

  /** Takes over a configuration; what waits for a receiver that stays still reaches it. */
  apply(configs: readonly HookConfig[]): void {
    const before = this.#hooks;
    this.#hooks = configs.map((config) => {
      const known = before.find((hook) => hook.config.url === config.url) ?? new Hook(this.#context, config);
      known.config = config;
      return known;
    });
    for (const hook of before) if (!this.#hooks.includes(hook)) hook.stop();
  }

  /** Tells nobody any more. */
  stop(): void {
    this.#stopReading();
    this.apply([]);
  }
}

class Hook {
  config: HookConfig;
  readonly #context: Required<HooksContext>;
  readonly #waiting: NumberedEvent[] = [];
  #sending: AbortController | undefined;
  #timer: Timer | undefined;
  #failures = 0;

  constructor(context: Required<HooksContext>, config: HookConfig) {
    this.#context = context;
    this.config = config;
  }

  tell(event: NumberedEvent): void {
    if (!this.config.events.includes(event.event.kind)) return;
    this.#waiting.push(event);
    if (this.#waiting.length > maxWaiting) this.#giveUp('too many events wait for it');
    if (this.#sending === undefined && this.#timer === undefined) void this.#send();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#sending?.abort();
    this.#waiting.length = 0;
  }

  async #send(): Promise<void> {
    const { clock, post } = this.#context;
    const next = this.#waiting[0];
    if (next === undefined) return;
    const { id, at, cause, event } = next;
    const sending = new AbortController();
    this.#sending = sending;
    const timeout = clock.after(this.config.timeoutMs, () => sending.abort(new Error('no answer in time')));
    let failure: string | undefined;
    try {
      await post(this.config.url, JSON.stringify({ ...event, id, at, cause, host: hostname() }), sending.signal);
    } catch (error) {
      failure = errorMessage(error);
    }
    timeout.cancel();
    this.#sending = undefined;
    // Stopped, or pushed out of the queue meanwhile.
    if (this.#waiting[0] !== next) return void this.#send();
    if (failure === undefined) {
      this.#waiting.shift();
      this.#failures = 0;
      return void this.#send();
    }
    const pauseMs = retryMs[this.#failures];
    if (pauseMs === undefined) {
      this.#giveUp(failure);
      return void this.#send();
    }
    this.#failures++;
    this.#timer = clock.after(pauseMs, () => {
      this.#timer = undefined;
      void this.#send();
    });
  }

  #giveUp(reason: string): void {
    this.#failures = 0;
    const event = this.#waiting.shift()!;
    const receiver = new URL(this.config.url).host;
    this.#context.log.warn(
      { receiver, event: event.id, kind: event.event.kind, reason },
      'a hook was not told of an event',
    );
  }
}

async function postJson(url: string, body: string, signal: AbortSignal): Promise<void> {
  const headers = { 'content-type': 'application/json', 'user-agent': 'v6edge' };
  const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' });
  // Read and thrown away, so that the connection is free again.
  await response.body?.cancel();
  if (!response.ok) throw new Error(`status ${response.status}`);
}
