/** Who asks, and how an answer gets back to him, whatever the transport. */
import type { InetEndpoint } from '../core/address.ts';
import type { ReplyWay } from './snapshot.ts';

/** Where a message came from; its fields hold while it is being answered. */
export interface Origin {
  readonly transport: 'udp' | 'tcp';
  /** What a later answer is sent by. */
  hold(): ReplySink;
  client(): InetEndpoint;
  local(): InetEndpoint;
}

/** The way back to a client. */
export interface ReplySink {
  /** How another thread can send a datagram there. */
  readonly way?: ReplyWay | undefined;
  /** Sends the `length` bytes at `start` of `bytes`. */
  send(bytes: Buffer, start: number, length: number): void;
  /** Resolves when there is room for more, with false when the client is gone. */
  drained(): Promise<boolean>;
  /** Called once, after the last `send`. */
  done(): void;
}

/** Counts answers that are owed, for whoever waits until there are none. */
export class Outstanding {
  #count = 0;
  #whenIdle: (() => void) | undefined;

  add(): void {
    this.#count++;
  }

  /** An answer was sent, or will not be. */
  settle(sink: ReplySink): void {
    sink.done();
    if (--this.#count === 0) this.#whenIdle?.();
  }

  /** Calls `run` as soon as nothing is owed. */
  whenIdle(run: () => void): void {
    if (this.#count === 0) run();
    else this.#whenIdle = run;
  }
}
