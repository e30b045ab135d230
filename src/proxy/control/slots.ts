import { ProxyError } from '../errors.ts';

/** What to know of the shared counters that slots index. */
export interface SlotUse {
  readonly capacity: number;
  /** Whether sessions of the slot's last owner still count in it: it gets no new owner then. */
  busy?(slot: number): boolean;
  /** Called before a slot gets an owner: its counters start from zero. */
  clear?(slot: number): void;
}

/** Numbers from 0 that stay with their owner for its life; the one freed longest ago is given out first. */
export class SlotAllocator {
  readonly #what: string;
  readonly #use: SlotUse;
  readonly #freed: number[] = [];
  #next = 0;

  /** @param what of whom these are, for the error message */
  constructor(what: string, use: SlotUse) {
    this.#what = what;
    this.#use = use;
  }

  /** @throws {ProxyError} code V6_PROXY_SLOTS when all are in use */
  take(): number {
    const at = this.#freed.findIndex((slot) => this.#use.busy?.(slot) !== true);
    const slot = this.#next < this.#use.capacity ? this.#next++ : this.#freed.splice(at, at < 0 ? 0 : 1)[0];
    if (slot === undefined) this.#full();
    this.#use.clear?.(slot);
    return slot;
  }

  /** Whether `count` more can be taken. */
  has(count: number): boolean {
    const idle = this.#freed.filter((slot) => this.#use.busy?.(slot) !== true).length;
    return this.#use.capacity - this.#next + idle >= count;
  }

  /** @throws {ProxyError} code V6_PROXY_SLOTS unless `count` more can be taken */
  require(count: number): void {
    if (!this.has(count)) this.#full();
  }

  free(slot: number): void {
    this.#freed.push(slot);
  }

  #full(): never {
    throw new ProxyError(
      'V6_PROXY_SLOTS',
      `there is room for ${this.#use.capacity} ${this.#what}s, and all are in use`,
    );
  }
}
