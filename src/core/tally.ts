/** How many of something each key has now, such as connections of a client: a key is kept only while it has any. */
export class Tally<Key> {
  readonly #counts = new Map<Key, number>();
  #total = 0;

  /** Of all keys together. */
  get total(): number {
    return this.#total;
  }

  of(key: Key): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: Key): void {
    this.#total++;
    this.#counts.set(key, this.of(key) + 1);
  }

  /** Takes back one that was added. */
  remove(key: Key): void {
    this.#total--;
    const left = this.of(key) - 1;
    if (left === 0) this.#counts.delete(key);
    else this.#counts.set(key, left);
  }
}
