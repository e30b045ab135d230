import { randomFillSync, randomInt } from 'node:crypto';

/** Randomness as a parameter: unpredictable in the daemon, seeded in tests. */
export interface Random {
  /** Uniform in [0, 1). */
  fraction(): number;
  /** Uniform integer in [0, limit); `limit` ≥ 1. */
  below(limit: number): number;
  /** Fills `bytes` and returns it. */
  fill<T extends Uint8Array>(bytes: T): T;
}

/** From the kernel's generator: for message ids, ports and tokens. */
export const cryptoRandom: Random = {
  fraction: () => randomInt(2 ** 47) / 2 ** 47,
  below: (limit) => randomInt(limit),
  fill: (bytes) => randomFillSync(bytes),
};

/** mulberry32: repeatable, for tests and for choices nobody gains by guessing (balancing, jitter). */
export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  fill<T extends Uint8Array>(bytes: T): T {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.below(256);
    return bytes;
  }
}
