/** Slots of the shared counters for things that have names, such as zones: a name keeps its slot while it is configured. */
export class NamedSlots {
  readonly #clear: (slot: number) => void;
  #held = new Map<string, number>();
  /** The one freed longest ago comes first. */
  readonly #free: number[];

  /** @param clear called before a slot gets a name: its counters start from zero */
  constructor(capacity: number, clear: (slot: number) => void) {
    this.#free = Array.from({ length: capacity }, (_, slot) => slot);
    this.#clear = clear;
  }

  /** Takes the names there are now; those that find no free slot have none. */
  apply(names: readonly string[]): void {
    const wanted = new Set(names);
    for (const [name, slot] of this.#held) {
      if (wanted.has(name)) continue;
      this.#held.delete(name);
      this.#free.push(slot);
    }
    for (const name of wanted) {
      if (this.#held.has(name)) continue;
      const slot = this.#free.shift();
      if (slot === undefined) return;
      this.#clear(slot);
      this.#held.set(name, slot);
    }
  }

  /** The slot of each name that has one. */
  get slots(): ReadonlyMap<string, number> {
    return this.#held;
  }
}
