/** SipHash-2-4 (Aumasson, Bernstein 2012) in halves of 32 bits: what interoperable server cookies are made with (RFC 9018 §4.4). */

const ROUNDS_PER_WORD = 2;
const FINAL_ROUNDS = 4;

/** One key, one message after the other. */
export class SipHash {
  readonly #key: Int32Array;
  /** v0 to v3, each low half first. */
  readonly #v = new Int32Array(8);

  /** @param key 16 octets */
  constructor(key: Uint8Array) {
    const view = new DataView(key.buffer, key.byteOffset, 16);
    this.#key = Int32Array.from([0, 4, 8, 12], (at) => view.getInt32(at, true));
  }

  /** Writes the eight octets of the hash of `message` to `out`. */
  hash(message: Uint8Array, out: Uint8Array, at: number): void {
    const v = this.#v;
    const [k0 = 0, k0High = 0, k1 = 0, k1High = 0] = this.#key;
    v[0] = k0 ^ 0x70736575;
    v[1] = k0High ^ 0x736f6d65;
    v[2] = k1 ^ 0x6e646f6d;
    v[3] = k1High ^ 0x646f7261;
    v[4] = k0 ^ 0x6e657261;
    v[5] = k0High ^ 0x6c796765;
    v[6] = k1 ^ 0x79746573;
    v[7] = k1High ^ 0x74656462;
    const whole = message.length & ~7;
    for (let i = 0; i < whole; i += 8) this.#absorb(word(message, i), word(message, i + 4));
    // What is left, and the length in the highest octet.
    this.#absorb(word(message, whole), word(message, whole + 4) | (message.length << 24));
    v[4] = v[4]! ^ 0xff;
    for (let i = 0; i < FINAL_ROUNDS; i++) this.#round();
    const low = v[0]! ^ v[2]! ^ v[4]! ^ v[6]!;
    const high = v[1]! ^ v[3]! ^ v[5]! ^ v[7]!;
    for (let i = 0; i < 4; i++) {
      out[at + i] = low >>> (8 * i);
      out[at + 4 + i] = high >>> (8 * i);
    }
  }

  #absorb(low: number, high: number): void {
    const v = this.#v;
    v[6] = v[6]! ^ low;
    v[7] = v[7]! ^ high;
    for (let i = 0; i < ROUNDS_PER_WORD; i++) this.#round();
    v[0] = v[0]! ^ low;
    v[1] = v[1]! ^ high;
  }

  #round(): void {
    this.#add(0, 2);
    this.#rotateXor(2, 13, 0);
    this.#swap(0);
    this.#add(4, 6);
    this.#rotateXor(6, 16, 4);
    this.#add(0, 6);
    this.#rotateXor(6, 21, 0);
    this.#add(4, 2);
    this.#rotateXor(2, 17, 4);
    this.#swap(4);
  }

  /** a += b */
  #add(a: number, b: number): void {
    const v = this.#v;
    const low = (v[a]! >>> 0) + (v[b]! >>> 0);
    v[a + 1] = v[a + 1]! + v[b + 1]! + (low > 0xffffffff ? 1 : 0);
    v[a] = low;
  }

  /** a = (a <<< by) ^ b, `by` less than 32 */
  #rotateXor(a: number, by: number, b: number): void {
    const v = this.#v;
    const low = v[a]!;
    const high = v[a + 1]!;
    v[a] = ((low << by) | (high >>> (32 - by))) ^ v[b]!;
    v[a + 1] = ((high << by) | (low >>> (32 - by))) ^ v[b + 1]!;
  }

  /** a <<<= 32 */
  #swap(a: number): void {
    const v = this.#v;
    const low = v[a]!;
    v[a] = v[a + 1]!;
    v[a + 1] = low;
  }
}

/** Four octets, low first; those past the end are zero. */
function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
}
