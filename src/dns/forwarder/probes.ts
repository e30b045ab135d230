/** Asks upstreams that are down, less often each time, until one answers. */
import type { Clock } from '../../core/clock.ts';
import type { Random } from '../../core/random.ts';
import { CLASS, TYPE } from '../wire/types.ts';
import type { Channel, Channels } from './channels.ts';

/** How long a probe may take. */
export const PROBE_WAIT_MS = 1000;
/** The root's name servers: any reply will do. */
export const PROBE_QUESTION: Uint8Array = Uint8Array.of(0, 0, TYPE.NS, 0, CLASS.IN);

export class Probes {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #channels: Channels;
  readonly #ask: (channel: Channel) => void;
  #closed = false;

  /** @param ask sends a probe */
  constructor(clock: Clock, random: Random, channels: Channels, ask: (channel: Channel) => void) {
    this.#clock = clock;
    this.#random = random;
    this.#channels = channels;
    this.#ask = ask;
  }

  /** Sets the next probe of an upstream that is down. */
  schedule(channel: Channel): void {
    if (this.#closed) return;
    channel.probe?.cancel();
    const delay = channel.upstream.nextProbeMs(this.#random.fraction());
    channel.probe = this.#clock.after(delay, () => this.#probe(channel));
  }

  close(): void {
    this.#closed = true;
  }

  #probe(channel: Channel): void {
    const { upstream } = channel;
    if (upstream.state !== 'down' || this.#channels.of(upstream) !== channel) return;
    this.#ask(channel);
    this.schedule(channel);
  }
}
