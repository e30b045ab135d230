/**
 * DNS cookies, the server's side (RFC 7873, RFC 9018): a client that shows the cookie it was given is where it says it is, so
 * its answers need no rate limit. Nothing is kept of clients; threads that share the secret know each other's cookies.
 */
import { SipHash } from './siphash.ts';

/** The option's code, and how long its parts are: a client's own, and ours. */
export const COOKIE_OPTION = 10;
export const CLIENT_COOKIE = 8;
export const SERVER_COOKIE = 16;
/** What the option may hold (RFC 7873 §5.2.2): a client's cookie alone, or with a server's. */
const MIN_WITH_SERVER = 16;
const MAX_WITH_SERVER = 40;
const VERSION = 1;
/** RFC 9018 §4.3: good for an hour, and five minutes ahead for clocks that differ. */
const MAX_AGE_SECONDS = 3600;
const MAX_AHEAD_SECONDS = 300;
/** Version, reserved, time: what stands before the hash. */
const STAMPED = 8;

/** Whether the option may be this long; otherwise the message is malformed. */
export function isCookieLength(length: number): boolean {
  return length === CLIENT_COOKIE || (length >= MIN_WITH_SERVER && length <= MAX_WITH_SERVER);
}

export class CookieJar {
  readonly #hash: SipHash;
  /** Client cookie, version, reserved, time, address. */
  readonly #input = new Uint8Array(CLIENT_COOKIE + STAMPED + 16);
  readonly #expected = new Uint8Array(STAMPED);

  /** @param secret 16 octets */
  constructor(secret: Uint8Array) {
    this.#hash = new SipHash(secret);
  }

  /** Writes the cookie that the client at `address` gets for its own, at `client` of `bytes`. */
  make(bytes: Uint8Array, client: number, address: Uint8Array, nowSeconds: number, out: Uint8Array): void {
    const input = this.#input;
    out[0] = VERSION;
    out[1] = out[2] = out[3] = 0;
    for (let i = 0; i < 4; i++) out[4 + i] = nowSeconds >>> (24 - 8 * i);
    for (let i = 0; i < CLIENT_COOKIE; i++) input[i] = bytes[client + i]!;
    for (let i = 0; i < STAMPED; i++) input[CLIENT_COOKIE + i] = out[i]!;
    this.#finish(address, out, STAMPED);
  }

  /** Whether the option of `length` octets at `option` of `bytes` has a cookie that we gave to this address lately. */
  knows(bytes: Uint8Array, option: number, length: number, address: Uint8Array, nowSeconds: number): boolean {
    const server = option + CLIENT_COOKIE;
    if (length !== CLIENT_COOKIE + SERVER_COOKIE || bytes[server] !== VERSION) return false;
    const at = server + 4;
    const stamp = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
    // Serial arithmetic (RFC 1982): the time is 32 bits.
    const age = (nowSeconds - stamp) | 0;
    if (age > MAX_AGE_SECONDS || age < -MAX_AHEAD_SECONDS) return false;
    this.#input.set(bytes.subarray(option, option + CLIENT_COOKIE + STAMPED));
    this.#finish(address, this.#expected, 0);
    let difference = 0;
    for (let i = 0; i < STAMPED; i++) difference |= this.#expected[i]! ^ bytes[server + STAMPED + i]!;
    return difference === 0;
  }

  #finish(address: Uint8Array, out: Uint8Array, at: number): void {
    this.#input.set(address, CLIENT_COOKIE + STAMPED);
    this.#hash.hash(this.#input.subarray(0, CLIENT_COOKIE + STAMPED + address.length), out, at);
  }
}
