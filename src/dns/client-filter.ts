/**
 * Who may ask, and how much is answered to whom: the `allow` list, response rate limiting, and a limit of what one client asks.
 *
 * Both need nothing but the client's address, so the verdict on an address is kept in a small table and costs a few
 * comparisons a datagram. Rate limiting is a token bucket for each client network (/24, /56) and answer, as BIND's: a
 * network that is flooded in another's name gets no more than the rate, and every `slip`-th of the rest comes back
 * truncated, so that whoever really asks comes again by TCP. All that one wildcard makes is one answer, and so is all that
 * names of our zones do not exist: of both there is no end.
 */
import { type Cidr, cidrContains } from '../core/address.ts';
import type { Random } from '../core/random.ts';
import type { ClientLedger } from './client-ledger.ts';
import type { RateLimitConfig } from './config.ts';

const VERDICTS = 1024;
const VERDICT_WORDS = 10;
const FAMILY = 4;
const VERDICT = 5;
const NETWORK = 6;
const CLIENT = 7;
/** Queries since the last sweep. */
const ASKED = 8;
const EXEMPT = 9;
const ALLOWED = 1;
const DENIED = 2;
const BUCKETS = 16384;
/** Clients whose queries are counted at one time; one that comes in the place of another begins anew. */
const CLIENT_BITS = 12;
const CLIENTS = 2 ** CLIENT_BITS;

/** Answers that share a bucket of the rate limit, whatever was asked: errors, and that names of our zones do not exist. */
export const ERRORS = 0x5eed;
export const ABSENT = 0xab5e;

/** What to do with an answer. */
export const SEND = 0;
export const DROP = 1;
export const SLIP = 2;

export class ClientFilter {
  /** Hash of the last checked client's network (/24 or /56). */
  network = 0;
  /** Hash of the last checked client's address. */
  client = 0;
  /** Whether answers to the last checked client are not limited. */
  exempt = false;
  /** Whether answers are limited at all. */
  limits = false;
  /** Whether queries of each client are. */
  limitsClients = false;
  readonly #seed: number;
  readonly #verdicts = new Int32Array(VERDICTS * VERDICT_WORDS);
  readonly #scratch = new Uint8Array(16);
  readonly #scratch4 = this.#scratch.subarray(0, 4);
  readonly #scratchWords = new Int32Array(this.#scratch.buffer);
  readonly #bucketTags = new Int32Array(BUCKETS);
  readonly #bucketTokens = new Float64Array(BUCKETS);
  readonly #bucketTimes = new Float64Array(BUCKETS);
  readonly #clientTags = new Int32Array(CLIENTS);
  readonly #clientTokens = new Float64Array(CLIENTS);
  readonly #clientTimes = new Float64Array(CLIENTS);
  #allow: readonly Cidr[] = [];
  #exempt: readonly Cidr[] = [];
  #queriesPerSecond = 0;
  #perSecond = 0;
  #slip = 0;
  #limited = 0;
  readonly #ledger: ClientLedger | undefined;

  /** @param ledger is told who asked how often, at each `sweep` */
  constructor(random: Random, ledger?: ClientLedger) {
    this.#seed = random.below(2 ** 32) | 0;
    this.#ledger = ledger;
  }

  apply(
    allow: readonly Cidr[],
    rateLimit: RateLimitConfig,
    clientLimit: { readonly queriesPerSecond: number } = { queriesPerSecond: 0 },
  ): void {
    this.#queriesPerSecond = clientLimit.queriesPerSecond;
    this.limitsClients = clientLimit.queriesPerSecond > 0;
    this.#allow = allow;
    this.#exempt = rateLimit.exempt ?? [];
    this.#perSecond = rateLimit.responsesPerSecond;
    this.#slip = rateLimit.slip;
    this.limits = rateLimit.responsesPerSecond > 0;
    this.sweep();
    this.#verdicts.fill(0);
  }

  /** Brings what was counted since the last time into the ledger: a pass over the table, for about once a second. */
  sweep(): void {
    for (let slot = 0; slot < VERDICTS * VERDICT_WORDS; slot += VERDICT_WORDS) {
      if (this.#verdicts[slot + ASKED]! > 0) this.#record(slot);
    }
  }

  /** Whether the client at word `at` of `words` (an address in network order) may ask; sets `network`. */
  allows(words: Int32Array | Uint32Array, at: number, family: 4 | 6): boolean {
    const verdicts = this.#verdicts;
    const a = words[at]! | 0;
    const b = family === 6 ? words[at + 1]! | 0 : 0;
    const c = family === 6 ? words[at + 2]! | 0 : 0;
    const d = family === 6 ? words[at + 3]! | 0 : 0;
    let hash = Math.imul(a ^ this.#seed, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0xc2b2ae35);
    hash = Math.imul(hash ^ (hash >>> 16) ^ d, 0x27d4eb2f);
    const slot = ((hash ^ (hash >>> 15)) & (VERDICTS - 1)) * VERDICT_WORDS;
    if (
      verdicts[slot] !== a ||
      verdicts[slot + 1] !== b ||
      verdicts[slot + 2] !== c ||
      verdicts[slot + 3] !== d ||
      verdicts[slot + 4] !== family
    ) {
      this.#judge(slot, a, b, c, d, family);
      verdicts[slot + CLIENT] = hash;
    }
    verdicts[slot + ASKED]!++;
    this.network = verdicts[slot + NETWORK]!;
    this.client = verdicts[slot + CLIENT]!;
    this.exempt = verdicts[slot + EXEMPT] !== 0;
    return verdicts[slot + VERDICT] === ALLOWED;
  }

  /** Takes a token for one query of the last checked client. False: it has asked too much. */
  admits(nowMs: number): boolean {
    const tag = this.client | 1;
    // Addresses that differ in their last octet have hashes that differ in their upper bits alone.
    const slot = Math.imul(this.client ^ (this.client >>> 15), 0x9e3779b1) >>> (32 - CLIENT_BITS);
    const perSecond = this.#queriesPerSecond;
    let tokens = perSecond;
    if (this.#clientTags[slot] === tag) {
      const earned = ((nowMs - this.#clientTimes[slot]!) * perSecond) / 1000;
      tokens = Math.min(perSecond, this.#clientTokens[slot]! + earned);
    }
    this.#clientTags[slot] = tag;
    this.#clientTimes[slot] = nowMs;
    this.#clientTokens[slot] = tokens < 1 ? tokens : tokens - 1;
    return tokens >= 1;
  }

  /** Takes a token for one answer (told by its hash) to the last checked client's network. */
  limit(answer: number, nowMs: number): number {
    let hash = Math.imul(this.network ^ answer, 0x9e3779b1);
    hash ^= hash >>> 15;
    const tag = hash | 1;
    const bucket = (hash >>> 4) & (BUCKETS - 1);
    if (this.#bucketTags[bucket] !== tag) {
      this.#bucketTags[bucket] = tag;
      this.#bucketTokens[bucket] = this.#perSecond;
      this.#bucketTimes[bucket] = nowMs;
    }
    const earned = ((nowMs - this.#bucketTimes[bucket]!) * this.#perSecond) / 1000;
    const tokens = Math.min(this.#perSecond, this.#bucketTokens[bucket]! + earned);
    this.#bucketTimes[bucket] = nowMs;
    this.#bucketTokens[bucket] = tokens < 1 ? tokens : tokens - 1;
    if (tokens >= 1) return SEND;
    return this.#slip > 0 && ++this.#limited % this.#slip === 0 ? SLIP : DROP;
  }

  #record(slot: number): void {
    const at = this.#verdicts.subarray(slot, slot + VERDICT_WORDS);
    this.#ledger?.note(at, at[FAMILY] === 4 ? 4 : 6, at[VERDICT] === ALLOWED, at[ASKED]!);
    at[ASKED] = 0;
  }

  #judge(slot: number, a: number, b: number, c: number, d: number, family: 4 | 6): void {
    // Whoever is not allowed may have forged the address: many of them are not worth the time.
    if (this.#verdicts[slot + ASKED]! > 0 && this.#verdicts[slot + VERDICT] === ALLOWED) this.#record(slot);
    const words = this.#scratchWords;
    words[0] = a;
    words[1] = b;
    words[2] = c;
    words[3] = d;
    const bytes = family === 6 ? this.#scratch : this.#scratch4;
    let allowed = false;
    for (const cidr of this.#allow) allowed ||= cidrContains(cidr, bytes);
    const exempt = this.#exempt.some((cidr) => cidrContains(cidr, bytes)) ? 1 : 0;
    // /24 is three octets, /56 seven: of the word that holds the last, its first three (the machine is little-endian).
    const network = family === 6 ? a ^ Math.imul((b & 0xffffff) | 1, 0x85ebca6b) : a & 0xffffff;
    this.#verdicts.set([a, b, c, d, family, allowed ? ALLOWED : DENIED, network ^ this.#seed, 0, 0, exempt], slot);
  }
}
