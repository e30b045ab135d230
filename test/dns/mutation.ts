/**
 * Mutated messages: the operations of AFL (flipped bits, interesting values, small sums, blocks copied, cut and spliced), stacked, on a
 * corpus of real messages; what still parses may join the corpus. No coverage is measured.
 */
import { readFileSync } from 'node:fs';
import type { SeededRandom } from '../../src/core/random.ts';

/** What lengths, counts, labels and compression pointers turn on. */
const interesting = [0, 1, 2, 12, 0x28, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff];
const MAX_LENGTH = 4096;
const MAX_LEARNT = 512;

/** The messages of `fixtures/corpus.txt`. */
export function readCorpus(): Uint8Array[] {
  const text = readFileSync(new URL('./fixtures/corpus.txt', import.meta.url), 'utf8');
  return [...text.matchAll(/^[qr] ([0-9a-f]+)$/gm)].map(([, hex]) => Uint8Array.from(Buffer.from(hex!, 'hex')));
}

export class Mutator {
  readonly #random: SeededRandom;
  readonly #corpus: readonly Uint8Array[];
  readonly #learnt: Uint8Array[] = [];

  constructor(corpus: readonly Uint8Array[], random: SeededRandom) {
    this.#corpus = corpus;
    this.#random = random;
  }

  /** A message of the corpus, one in eight as it is, or of what was learnt. */
  next(): Uint8Array {
    const base = this.#draw();
    if (this.#random.below(8) === 0) return base;
    let message: Uint8Array = Uint8Array.from(base);
    // 1, 2, 4, 8 changes: half of the time one.
    for (let left = 1 << Math.clz32(this.#random.below(2 ** 31) | (2 ** 27)); left > 1; left >>= 1) {
      message = this.#change(message);
    }
    return message;
  }

  /** Keeps a message to go on from, for a while. */
  learn(message: Uint8Array): void {
    if (this.#learnt.length < MAX_LEARNT) this.#learnt.push(message);
    else this.#learnt[this.#random.below(MAX_LEARNT)] = message;
  }

  #draw(): Uint8Array {
    const learnt = this.#learnt.length > 0 && this.#random.below(4) === 0;
    const from = learnt ? this.#learnt : this.#corpus;
    return from[this.#random.below(from.length)]!;
  }

  #change(message: Uint8Array): Uint8Array {
    const random = this.#random;
    const { length } = message;
    if (length === 0) return Uint8Array.of(random.below(256));
    const at = random.below(length);
    // The header and the question decide most: half of the changes are there.
    const near = random.below(2) === 0 ? random.below(Math.min(length, 40)) : at;
    switch (random.below(10)) {
      case 0:
        message[near]! ^= 1 << random.below(8);
        return message;
      case 1:
        message[near] = interesting[random.below(interesting.length)]!;
        return message;
      case 2:
        message[near]! += random.below(33) - 16;
        return message;
      case 3:
        message[at] = random.below(256);
        return message;
      case 4: {
        // A pointer, backwards mostly.
        message[at] = 0xc0 | (random.below(8) === 0 ? random.below(64) : 0);
        if (at + 1 < length) message[at + 1] = random.below(Math.min(256, at + 2));
        return message;
      }
      case 5:
        return message.slice(0, at);
      case 6: {
        const end = Math.min(length, at + 1 + random.below(32));
        return join(message.subarray(0, at), message.subarray(end));
      }
      case 7: {
        const block = message.subarray(at, at + 1 + random.below(64));
        const to = random.below(length);
        return join(message.subarray(0, to), block, message.subarray(to));
      }
      case 8: {
        const other = this.#draw();
        const from = random.below(other.length + 1);
        return join(message.subarray(0, at), other.subarray(from));
      }
      default: {
        const filler = random.fill(new Uint8Array(1 + random.below(16)));
        return join(message.subarray(0, at), filler, message.subarray(at));
      }
    }
  }
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts).subarray(0, MAX_LENGTH));
}
