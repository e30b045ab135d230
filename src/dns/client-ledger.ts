/**
 * Who asked queries, how often and when, for people who look for what is wrong with a node. Bounded: whoever has not asked
 * for longest makes room.
 */
import { type Address, formatAddress } from '../core/address.ts';
import type { Clock } from '../core/clock.ts';

/** Clients of one thread. */
const maxClients = 1024;

/** A client, as one thread saw it. */
export interface ClientSighting {
  readonly address: string;
  readonly queries: number;
  /** Those that `dns.allow` refused. */
  readonly refused: number;
  /** Wall-clock milliseconds, exact to about a second. */
  readonly first: number;
  readonly last: number;
}

interface Entry {
  readonly address: Address;
  queries: number;
  refused: number;
  readonly first: number;
  last: number;
}

export class ClientLedger {
  readonly #clock: Clock;
  /** The one that asked last is last. */
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param words the address in network order, its first word alone for IPv4 */
  note(words: Int32Array, family: 4 | 6, allowed: boolean, queries: number): void {
    const key = family === 4 ? `${words[0]}` : `${words[0]} ${words[1]} ${words[2]} ${words[3]}`;
    const now = this.#clock.wall();
    const known = this.#entries.get(key);
    const entry = known ?? { address: addressOf(words, family), queries: 0, refused: 0, first: now, last: now };
    if (allowed) entry.queries += queries;
    else entry.refused += queries;
    entry.last = now;
    if (known !== undefined) this.#entries.delete(key);
    else if (this.#entries.size >= maxClients) this.#entries.delete(this.#entries.keys().next().value!);
    this.#entries.set(key, entry);
  }

  list(): ClientSighting[] {
    return [...this.#entries.values()].map(({ address, ...rest }) => ({ address: formatAddress(address), ...rest }));
  }
}

function addressOf(words: Int32Array, family: 4 | 6): Address {
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  bytes.set(new Uint8Array(words.buffer, words.byteOffset, bytes.length));
  return { family, bytes };
}
