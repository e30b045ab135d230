/**
 * DNS cookies, the client's side (RFC 7873 §5.3): each upstream gets a client cookie of its own, what it gives in return is
 * shown to it with every query, and once it is known to give cookies a datagram without the right one is not its answer.
 */
import { CLIENT_COOKIE, isCookieLength } from '../cookies.ts';

/** A client cookie is replaced after a day (RFC 7873 §7.1 allows 36). */
const LIFE_MS = 24 * 3600 * 1000;
/** How long an upstream that cannot read the option gets none. */
const REFUSED_MS = 15 * 60_000;
/** Replies in a row with a cookie: from then on they must; and as many without: it is another server, or another version. */
const SHOWN = 8;
const MISSED = 3;

export class UpstreamCookie {
  readonly #make: () => Uint8Array;
  /** The option's data: our cookie, and the upstream's if it gave one. */
  #option: Uint8Array = new Uint8Array(0);
  #madeAt = Number.NEGATIVE_INFINITY;
  #refusedUntil = Number.NEGATIVE_INFINITY;
  #shown = 0;
  #missed = 0;

  /** @param make draws a client cookie */
  constructor(make: () => Uint8Array) {
    this.#make = make;
  }

  /** The option's data for a query that leaves now; undefined = no option. */
  option(now: number): Uint8Array | undefined {
    if (now < this.#refusedUntil) return undefined;
    if (now - this.#madeAt >= LIFE_MS) {
      this.#option = this.#make();
      this.#madeAt = now;
    }
    return this.#option;
  }

  /** Whether the upstream's cookie is known. */
  get known(): boolean {
    return this.#option.length > CLIENT_COOKIE;
  }

  /**
   * Whether a reply may be that of the upstream which was asked with the option `sent`; learns the cookie it brings.
   * @param data of the reply's option, if it has one
   * @param stream whether it came by TCP, where nobody else can answer
   */
  accepts(sent: Uint8Array, data: Uint8Array | undefined, stream: boolean): boolean {
    if (data === undefined) return stream || this.#withoutOne();
    if (!isCookieLength(data.length)) return stream;
    for (let i = 0; i < CLIENT_COOKIE; i++) if (data[i] !== sent[i]) return false;
    this.#missed = 0;
    if (data.length === CLIENT_COOKIE) return true;
    this.#shown++;
    // One that was replaced meanwhile is of no use.
    for (let i = 0; i < CLIENT_COOKIE; i++) if (data[i] !== this.#option[i]) return true;
    this.#option = Uint8Array.from(data);
    return true;
  }

  /** Notes that the upstream does not understand the option. */
  refused(now: number): void {
    this.#refusedUntil = now + REFUSED_MS;
    this.#madeAt = Number.NEGATIVE_INFINITY;
    this.#shown = 0;
  }

  #withoutOne(): boolean {
    if (this.#shown < SHOWN) return true;
    if (++this.#missed < MISSED) return false;
    this.#shown = this.#missed = 0;
    return true;
  }
}
