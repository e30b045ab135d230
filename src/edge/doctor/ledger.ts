/**
 * What the control thread's engines hear of nodes: solicitations, updates and their refusals, by address. Bounded: the address
 * that was not heard of for longest makes room.
 */
import { type Address, formatAddress, unmapAddress } from '../../core/address.ts';
import type { Clock } from '../../core/clock.ts';
import type { UpdateSighting } from '../../dns/control.ts';
import { readNeighbours } from '../../linux/neighbours.ts';

/** More addresses than the links of one edge have. */
const maxAddresses = 2048;
/** Names of one address that are remembered. */
const maxNames = 16;

/** Solicitations of one address. */
export interface Solicitations {
  /** The interface they came in on. */
  interface: string;
  count: number;
  /** Wall-clock milliseconds. */
  readonly first: number;
  last: number;
}

/** Updates of one address. */
export interface Updates {
  accepted: number;
  refused: number;
  lastAccepted: number | undefined;
  /** The last one that was refused, and why. */
  lastRefused: { readonly at: number; readonly sighting: UpdateSighting } | undefined;
  /** By how much its clock was behind ours when it last signed something that says so. */
  clockBehindSeconds: number | undefined;
}

/** What is known of one address. */
export interface LedgerEntry {
  readonly address: string;
  /** As `formatMac` writes it. */
  mac: string | undefined;
  solicitations: Solicitations | undefined;
  updates: Updates | undefined;
  /** Owner names that it tried to change. */
  readonly names: Set<string>;
}

export class NodeLedger {
  readonly #clock: Clock;
  /** Wall-clock milliseconds of the moment since when things are counted. */
  readonly since: number;
  readonly #entries = new Map<string, LedgerEntry>();
  readonly #macs = new Map<string, string>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.since = clock.wall();
  }

  /** A valid router solicitation came. */
  solicited(on: string, source: Address, mac: Uint8Array | undefined): void {
    const entry = this.#entry(source);
    const now = this.#clock.wall();
    if (mac !== undefined) entry.mac = formatMac(mac);
    entry.solicitations ??= { interface: on, count: 0, first: now, last: now };
    entry.solicitations.interface = on;
    entry.solicitations.count++;
    entry.solicitations.last = now;
  }

  /** An update came, or something whose signature is refused. */
  updated(sighting: UpdateSighting): void {
    const entry = this.#entry(sighting.client);
    const now = this.#clock.wall();
    entry.updates ??= {
      accepted: 0,
      refused: 0,
      lastAccepted: undefined,
      lastRefused: undefined,
      clockBehindSeconds: undefined,
    };
    const { updates } = entry;
    if (sighting.reason === undefined) {
      updates.accepted++;
      updates.lastAccepted = now;
    } else {
      updates.refused++;
      updates.lastRefused = { at: now, sighting };
    }
    updates.clockBehindSeconds = sighting.clockBehindSeconds ?? updates.clockBehindSeconds;
    for (const name of sighting.names) if (entry.names.size < maxNames) entry.names.add(name);
  }

  /** MACs by address, as the neighbour cache had them: it forgets who does not answer. */
  get macs(): ReadonlyMap<string, string> {
    return this.#macs;
  }

  /** Remembers what the neighbour cache has now. */
  learn(neighbours: readonly { readonly address: string; readonly mac: string | undefined }[]): void {
    for (const { address, mac } of neighbours) {
      if (mac === undefined) continue;
      this.#macs.delete(address);
      if (this.#macs.size >= maxAddresses) this.#macs.delete(this.#macs.keys().next().value!);
      this.#macs.set(address, mac);
    }
  }

  get(address: string): LedgerEntry | undefined {
    return this.#entries.get(address);
  }

  /** Whoever was heard of last is last. */
  all(): readonly LedgerEntry[] {
    return [...this.#entries.values()];
  }

  #entry(address: Address): LedgerEntry {
    const text = addressText(address);
    const known = this.#entries.get(text);
    if (known !== undefined) this.#entries.delete(text);
    else if (this.#entries.size >= maxAddresses) this.#entries.delete(this.#entries.keys().next().value!);
    const entry = known ?? {
      address: text,
      mac: undefined,
      solicitations: undefined,
      updates: undefined,
      names: new Set<string>(),
    };
    this.#entries.set(text, entry);
    return entry;
  }
}

/** As all of the doctor's parts write it: without zone id, IPv4 as such. */
export function addressText(address: Address): string {
  const { family, bytes } = unmapAddress(address);
  return formatAddress({ family, bytes });
}

/** `02:00:00:00:00:09`; undefined for what is no Ethernet address. */
export function formatMac(mac: Uint8Array): string | undefined {
  return mac.length === 6
    ? Buffer.from(mac)
        .toString('hex')
        .replace(/..(?=.)/g, '$&:')
    : undefined;
}

/** What the neighbour cache has now, for `learn`; nothing where it cannot be read. */
export function readNeighbourMacs(): { address: string; mac: string | undefined }[] {
  try {
    return readNeighbours().map(({ address, mac }) => ({ address: addressText(address), mac: formatMac(mac) }));
  } catch {
    return [];
  }
}
