import { type Clock, systemClock, type Timer } from '../core/clock.ts';

const slotCount = 1024;

/** Something with at most one deadline at a time, linked into the wheel without an object of its own. */
export abstract class Timed {
  /** Position in the wheel; -1 when no deadline is set. Written by the wheel alone. */
  wheelSlot = -1;
  wheelAt = 0;
  wheelPrevious: Timed | undefined = undefined;
  wheelNext: Timed | undefined = undefined;

  /** The deadline is over; it is no longer set. */
  abstract onTimer(now: number): void;
}

/**
 * A timer wheel: setting and clearing a deadline costs a few assignments however many there are. Deadlines are met to the
 * tick, never early. The clock's own timer runs only while a deadline is set.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: (Timed | undefined)[] = new Array<Timed | undefined>(slotCount).fill(undefined);
  #now: number;
  /** Ticks up to and including this one have been run. */
  #tick: number;
  #count = 0;
  #running = false;
  #timer: Timer | undefined;
  readonly #onTick = () => {
    this.#timer = undefined;
    this.#run();
    if (this.#count > 0) this.#arm();
  };

  constructor(clock: Clock = systemClock, tickMs = 50) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#now = clock.now();
    this.#tick = Math.floor(this.#now / tickMs);
  }

  /** The clock's time as of the last tick: for stamps that need no more precision, at no cost. */
  get now(): number {
    return this.#now;
  }

  /** How many deadlines are set. */
  get size(): number {
    return this.#count;
  }

  /** Sets the deadline, in the place of an earlier one. */
  set(timed: Timed, at: number): void {
    if (timed.wheelSlot >= 0) this.clear(timed);
    if (this.#count === 0 && !this.#running) this.#wake();
    this.#count++;
    this.#link(timed, at);
  }

  /** Takes the deadline away; nothing happens when there is none. */
  clear(timed: Timed): void {
    if (timed.wheelSlot < 0) return;
    if (timed.wheelPrevious === undefined) this.#slots[timed.wheelSlot] = timed.wheelNext;
    else timed.wheelPrevious.wheelNext = timed.wheelNext;
    if (timed.wheelNext !== undefined) timed.wheelNext.wheelPrevious = timed.wheelPrevious;
    timed.wheelSlot = -1;
    timed.wheelPrevious = undefined;
    timed.wheelNext = undefined;
    this.#count--;
  }

  /** Stops ticking; deadlines still set never come. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#slots.fill(undefined);
    this.#count = 0;
  }

  #wake(): void {
    this.#now = this.#clock.now();
    this.#tick = Math.floor(this.#now / this.#tickMs);
    if (this.#timer === undefined) this.#arm();
  }

  #arm(): void {
    this.#timer = this.#clock.after(this.#tickMs, this.#onTick);
  }

  #link(timed: Timed, at: number): void {
    // Beyond one turn of the wheel: looked at once a turn.
    const tick = Math.max(this.#tick + 1, Math.min(Math.ceil(at / this.#tickMs), this.#tick + slotCount - 1));
    const slot = tick % slotCount;
    const first = this.#slots[slot];
    timed.wheelSlot = slot;
    timed.wheelAt = at;
    timed.wheelNext = first;
    if (first !== undefined) first.wheelPrevious = timed;
    this.#slots[slot] = timed;
  }

  #run(): void {
    this.#running = true;
    this.#now = this.#clock.now();
    const end = Math.floor(this.#now / this.#tickMs);
    // After a long sleep one turn visits every slot.
    if (end - this.#tick > slotCount) this.#tick = end - slotCount;
    while (this.#tick < end) {
      this.#tick++;
      this.#runSlot(this.#tick % slotCount);
    }
    this.#running = false;
  }

  #runSlot(slot: number): void {
    // Taken out one after the other before any callback runs: callbacks set and clear deadlines, also in this slot.
    const due: Timed[] = [];
    let timed = this.#slots[slot];
    this.#slots[slot] = undefined;
    while (timed !== undefined) {
      const next: Timed | undefined = timed.wheelNext;
      timed.wheelSlot = -1;
      timed.wheelPrevious = undefined;
      timed.wheelNext = undefined;
      if (timed.wheelAt > this.#now) this.#link(timed, timed.wheelAt);
      else {
        this.#count--;
        due.push(timed);
      }
      timed = next;
    }
    // One that got a new deadline from another's callback is no longer due.
    for (const each of due) if (each.wheelSlot < 0) each.onTimer(this.#now);
  }
}
