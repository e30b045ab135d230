/** Packs zones that have changed a lot, a slice a turn of the event loop: neither updates nor advertisements wait for it. */
import type { Zone } from './zone.ts';

export class ZonePacking {
  readonly #packed: (zone: Zone) => void;
  #running: NodeJS.Immediate | undefined;

  /** @param packed called when a zone was packed: the data threads may have it anew */
  constructor(packed: (zone: Zone) => void) {
    this.#packed = packed;
  }

  /** Told of every zone that changed; one is packed at a time. */
  note(zone: Zone): void {
    if (this.#running !== undefined || !zone.wantsPacking) return;
    this.#step(zone, zone.pack());
  }

  /** Ends at once; a zone that is being packed is as good as before. */
  stop(): void {
    clearImmediate(this.#running);
    this.#running = undefined;
  }

  #step(zone: Zone, slices: Iterator<void>): void {
    this.#running = setImmediate(() => {
      this.#running = undefined;
      if (slices.next().done === true) this.#packed(zone);
      else this.#step(zone, slices);
    });
  }
}
