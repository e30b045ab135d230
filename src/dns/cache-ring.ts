/**
 * A ring of memory that entries of any size are written into one after the other. What is oldest makes room for what is new;
 * its owner may have it written again at the head instead.
 *
 * The first word of an entry, or of what stays empty at the ring's end, is its size in bytes, the second is the owner's: zero where
 * nothing is. Entries begin at multiples of their owner's alignment, of which all sizes are multiples.
 */

const SIZE = 0;
const STATE = 1;
/** Entries moved to make room for one: bounds the work of an allocation. */
const MAX_MOVES = 32;

/** Whoever has its entries in a ring. */
export interface RingOwner {
  /** Whether the oldest entry (which may be none any more) is to be written again at the head: never, unless it may. */
  keeps(entry: number, mayMove: boolean): boolean;
  /** An entry is about to be copied to `target`. */
  moves(entry: number, target: number): void;
}

export class Ring {
  readonly bytes: Buffer;
  readonly words: Int32Array;
  readonly #capacity: number;
  readonly #owner: RingOwner;
  #head = 0;
  #tail = 0;
  #used = 0;

  /** @param capacity bytes, a multiple of the owner's alignment */
  constructor(capacity: number, owner: RingOwner) {
    this.#capacity = capacity;
    this.#owner = owner;
    // Zeroed by the kernel page by page as it is touched: an empty ring takes no memory.
    this.bytes = Buffer.alloc(capacity);
    this.words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset, capacity >> 2);
  }

  /** Bytes taken: by entries, by those that are none any more, and at the end. */
  get used(): number {
    return this.#used;
  }

  /** Forgets everything. */
  clear(): void {
    this.#head = this.#tail = this.#used = 0;
  }

  /** Makes room for an entry, which must be far smaller than the ring; returns where it begins in `bytes`. */
  allocate(size: number): number {
    let moves = 0;
    for (;;) {
      if (this.#used === 0) this.#head = this.#tail = 0;
      const ahead = this.#head > this.#tail || this.#used === 0;
      const free = (ahead ? this.#capacity : this.#tail) - this.#head;
      if (free >= size) {
        this.words[(this.#head >> 2) + SIZE] = size;
        return this.#advance(size);
      }
      if (ahead) {
        // The end is too short: it stays empty this time round.
        if (free > 0) {
          this.words[(this.#head >> 2) + SIZE] = free;
          this.words[(this.#head >> 2) + STATE] = 0;
          this.#advance(free);
        }
        this.#head = 0;
      } else if (this.#retire(moves < MAX_MOVES)) {
        moves++;
      }
    }
  }

  #advance(size: number): number {
    const at = this.#head;
    this.#head += size;
    this.#used += size;
    if (this.#head === this.#capacity) this.#head = 0;
    return at;
  }

  /** Takes the oldest entry out, or moves it to the head. Returns whether it was moved. */
  #retire(mayMove: boolean): boolean {
    const entry = this.#tail;
    const size = this.words[(entry >> 2) + SIZE]!;
    this.#tail += size;
    this.#used -= size;
    if (this.#tail === this.#capacity) this.#tail = 0;
    if (!this.#owner.keeps(entry, mayMove)) return false;
    const target = this.#advance(size);
    if (target !== entry) {
      this.#owner.moves(entry, target);
      this.bytes.copyWithin(target, entry, entry + size);
    }
    return true;
  }
}
