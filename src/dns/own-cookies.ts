/**
 * Client cookies of our own (RFC 7873 §4.1), made so that any of our threads knows one when it sees it: a query that comes
 * in with a cookie we sent out has gone round in a circle.
 */
import type { Random } from '../core/random.ts';
import { CLIENT_COOKIE } from './cookies.ts';
import { SipHash } from './siphash.ts';

/** Octets drawn at random, octets that show the cookie is ours, and what these are made with beside the drawn ones. */
const DRAWN = 4;
const SHOWN = CLIENT_COOKIE - DRAWN;
const LABEL = Uint8Array.of(0x6c, 0x6f, 0x6f, 0x70);

export class OwnCookies {
  readonly #hash: SipHash;
  readonly #random: Random;
  readonly #input = new Uint8Array(DRAWN + LABEL.length);
  readonly #output = new Uint8Array(8);

  /** @param secret 16 octets, the same in all threads */
  constructor(secret: Uint8Array, random: Random) {
    this.#hash = new SipHash(secret);
    this.#random = random;
    this.#input.set(LABEL, DRAWN);
  }

  /** A new client cookie. */
  make(): Uint8Array {
    const cookie = new Uint8Array(CLIENT_COOKIE);
    this.#random.fill(cookie.subarray(0, DRAWN));
    this.#show(cookie, 0);
    cookie.set(this.#output.subarray(0, SHOWN), DRAWN);
    return cookie;
  }

  /** Whether the client cookie at `at` is one of ours. */
  isOurs(bytes: Uint8Array, at: number): boolean {
    this.#show(bytes, at);
    for (let i = 0; i < SHOWN; i++) if (bytes[at + DRAWN + i] !== this.#output[i]) return false;
    return true;
  }

  #show(bytes: Uint8Array, at: number): void {
    for (let i = 0; i < DRAWN; i++) this.#input[i] = bytes[at + i]!;
    this.#hash.hash(this.#input, this.#output, 0);
  }
}
