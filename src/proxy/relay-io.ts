/** What all relays of a thread share: memory, pipes, and the order in which their work is done. */
import type { PipePool } from '../linux/pipes.ts';
import { Memory } from '../linux/tcp.ts';
import type { Relay } from './relay.ts';

/** Room before the received bytes for a PROXY header with all it may pass on, so that both leave in one send. */
export const headerRoom = 4096;
/** The most that is read at once. */
export const chunkBytes = 65536;
/** Messages that are read before the first of them is written, and the room for each; a longer one is read on after it. */
const slots = 64;
export const slotBytes = 8192;
/** Ends that are seen to before events get a look again. */
const endsAtOnce = 4;
/** An array of ends that was longer gives up its memory. */
const keptEnds = 1024;

export class RelayIo {
  readonly memory = Memory.lasting(headerRoom + chunkBytes);
  readonly pipes: PipePool;
  readonly slots = Memory.lasting(slots * slotBytes);
  /** The first `#collectedCount` of it: an array that is emptied gives up its memory each time. */
  readonly #collected: Relay[] = [];
  #collectedCount = 0;
  #deferred: Relay[] = [];
  #scheduled = false;
  /** Those from `#endsAt` up to `#endsCount` came to their end, which is to be seen to. */
  #ends: (Relay | undefined)[] = [];
  #endsAt = 0;
  #endsCount = 0;
  readonly #runDeferred = () => {
    this.#scheduled = false;
    const relays = this.#deferred;
    this.#deferred = [];
    for (const relay of relays) relay.pump();
    // No batch of events ends here.
    while (this.runEnds());
  };

  constructor(pipes: PipePool) {
    this.pipes = pipes;
  }

  /** Reads from the relay with others of its batch. */
  collect(relay: Relay): void {
    this.#collected[this.#collectedCount++] = relay;
    if (this.#collectedCount === slots) this.runCollected();
  }

  /** Reads from what was collected, then writes; to be called when a batch of events ends. */
  runCollected(): void {
    const relays = this.#collected;
    const count = this.#collectedCount;
    if (count === 0) return;
    if (count === 1) relays[0]!.pump();
    else {
      for (let i = 0; i < count; i++) relays[i]!.readSlot(i * slotBytes);
      for (let i = 0; i < count; i++) relays[i]!.writeSlot();
    }
    this.#collectedCount = 0;
  }

  /** Sees to the end of a relay, one of this batch of events, when there is time. */
  endLater(relay: Relay): void {
    this.#ends[this.#endsCount++] = relay;
  }

  /** Sees to a few ends. Returns whether there are more. */
  runEnds(): boolean {
    const ends = this.#ends;
    const until = Math.min(this.#endsCount, this.#endsAt + endsAtOnce);
    while (this.#endsAt < until) {
      const relay = ends[this.#endsAt]!;
      ends[this.#endsAt++] = undefined;
      relay.endNow();
    }
    if (this.#endsAt < this.#endsCount) return true;
    if (ends.length > keptEnds) this.#ends = [];
    this.#endsAt = 0;
    this.#endsCount = 0;
    return false;
  }

  /** Goes on with a relay after events and timers had their turn. */
  defer(relay: Relay): void {
    this.#deferred.push(relay);
    if (!this.#scheduled) setImmediate(this.#runDeferred);
    this.#scheduled = true;
  }
}
