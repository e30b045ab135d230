/** A binary heap of values by time: the earliest on top. */

interface Item<T> {
  readonly at: number;
  readonly value: T;
}

export class ExpiryHeap<T> {
  #items: Item<T>[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The earliest time; Infinity when it is empty. */
  get next(): number {
    return this.#items[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  push(at: number, value: T): void {
    const items = this.#items;
    let i = items.push({ at, value }) - 1;
    const item = items[i]!;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (items[parent]!.at <= at) break;
      items[i] = items[parent]!;
      i = parent;
    }
    items[i] = item;
  }

  /** Takes out the value with the earliest time. */
  pop(): T | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (last !== undefined && items.length > 0) this.#sink(0, last);
    return first?.value;
  }

  /** Leaves out what `keep` says no to. */
  rebuild(keep: (at: number, value: T) => boolean): void {
    this.#items = this.#items.filter(({ at, value }) => keep(at, value)).sort((a, b) => a.at - b.at);
  }

  #sink(from: number, item: Item<T>): void {
    const items = this.#items;
    let i = from;
    for (let child = 2 * i + 1; child < items.length; child = 2 * i + 1) {
      if (child + 1 < items.length && items[child + 1]!.at < items[child]!.at) child++;
      if (items[child]!.at >= item.at) break;
      items[i] = items[child]!;
      i = child;
    }
    items[i] = item;
  }
}
