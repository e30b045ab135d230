/**
 * When multicast advertisements go out (RFC 4861 §6.2.4, §6.2.6): one timer, which always stands for the next one.
 *
 * Unsolicited ones follow each other after a random time between Min- and MaxRtrAdvInterval, the first three at most
 * 16 s apart. Everything else that wants one (a solicitation, a change, a failed send) moves the timer forward, never
 * back, and never closer than 3 s to the one before.
 */
import type { Clock, Timer } from '../core/clock.ts';
import type { Random } from '../core/random.ts';
import {
  MAX_INITIAL_RTR_ADVERT_INTERVAL_MS,
  MAX_INITIAL_RTR_ADVERTISEMENTS,
  MIN_DELAY_BETWEEN_RAS_MS,
} from './constants.ts';

export class MulticastSchedule {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #send: () => void;
  #interval: { readonly minMs: number; readonly maxMs: number };
  #timer: Timer | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #lastSent = Number.NEGATIVE_INFINITY;
  /** Advertisements of the initial burst still to come. */
  #initial = 0;

  /** @param send is called when one is due; it reports back with `sent` */
  constructor(clock: Clock, random: Random, interval: { minMs: number; maxMs: number }, send: () => void) {
    this.#clock = clock;
    this.#random = random;
    this.#interval = interval;
    this.#send = send;
  }

  set interval(interval: { readonly minMs: number; readonly maxMs: number }) {
    this.#interval = interval;
  }

  /** Begins, or begins anew after a change: the first at once, and an initial burst. */
  begin(): void {
    this.#initial = MAX_INITIAL_RTR_ADVERTISEMENTS;
    this.within(0);
  }

  /** One is wanted after `delayMs` at the latest, or as soon after it as the minimum distance allows. */
  within(delayMs: number): void {
    const now = this.#clock.now();
    // "[…] scheduled to be sent at a time corresponding to MIN_DELAY_BETWEEN_RAS plus the random value after the previous".
    const tooSoon = now < this.#lastSent + MIN_DELAY_BETWEEN_RAS_MS;
    this.#arm(tooSoon ? this.#lastSent + MIN_DELAY_BETWEEN_RAS_MS + delayMs : now + delayMs);
  }

  /** One was sent: the next unsolicited one follows after a new random time, whatever this one was for. */
  sent(): void {
    this.#lastSent = this.#clock.now();
    if (this.#initial > 0) this.#initial--;
    const { minMs, maxMs } = this.#interval;
    const random = minMs + this.#random.fraction() * (maxMs - minMs);
    const delay = this.#initial > 0 ? Math.min(random, MAX_INITIAL_RTR_ADVERT_INTERVAL_MS) : random;
    this.#disarm();
    this.#arm(this.#lastSent + Math.max(delay, MIN_DELAY_BETWEEN_RAS_MS));
  }

  /** One could not be sent: tries again after `delayMs`. */
  failed(delayMs: number): void {
    this.#disarm();
    this.#arm(this.#clock.now() + delayMs);
  }

  stop(): void {
    this.#disarm();
  }

  /** Milliseconds until the next one; undefined while stopped. */
  get nextInMs(): number | undefined {
    return this.#timer === undefined ? undefined : Math.max(0, this.#dueAt - this.#clock.now());
  }

  #arm(at: number): void {
    if (at >= this.#dueAt) return;
    this.#disarm();
    this.#dueAt = at;
    this.#timer = this.#clock.after(Math.max(0, at - this.#clock.now()), () => {
      this.#disarm();
      this.#send();
    });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#dueAt = Number.POSITIVE_INFINITY;
  }
}
