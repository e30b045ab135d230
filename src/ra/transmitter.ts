/** Sends what an interface says, counts it, and remembers what came of it. */
import { type Address, formatAddress } from '../core/address.ts';
import { EINVAL } from '../linux/constants.ts';
import { errnoName } from '../linux/errors.ts';
import type { Icmp6Sender } from '../linux/icmp6.ts';
import { ALL_NODES, neighbourWarningMs } from './constants.ts';
import type { RaContext } from './context.ts';
import { RaCounter } from './counters.ts';
import type { RaInterfaceCounters } from './status.ts';

/** Where packets go out, and what from. */
export interface Outlet {
  readonly ifindex: number;
  readonly source: Address;
}

export class Transmitter {
  readonly #context: RaContext;
  readonly #socket: Icmp6Sender;
  readonly #counters: RaInterfaceCounters;
  #last: { readonly at: number; readonly to: Address } | undefined;
  #lastMulticastAt: number | undefined;
  #lastError: string | undefined;
  #warnedAt = Number.NEGATIVE_INFINITY;

  /** @param counters the interface's own, beside those of the engine */
  constructor(context: RaContext, socket: Icmp6Sender, counters: RaInterfaceCounters) {
    this.#context = context;
    this.#socket = socket;
    this.#counters = counters;
  }

  /** Sends the packets of one advertisement; stops at one that the kernel does not take, and returns whether it took all. */
  send(packets: readonly Uint8Array[], to: Address, { ifindex, source }: Outlet): boolean {
    // By number, as in `RaControl`: the first scrape of metrics has V8 give up code that was compiled with an iterator.
    const past = this.#socket.pastNeighbours;
    for (let i = 0; i < packets.length; i++) {
      const result = this.#socket.send(packets[i]!, to, ifindex, source);
      if (result < 0) {
        this.#failed(-result);
        return false;
      }
      if (to === ALL_NODES) this.#count('sentMulticast', RaCounter.sentMulticast);
      else this.#count('sentUnicast', RaCounter.sentUnicast);
    }
    if (this.#socket.pastNeighbours !== past) this.#past(this.#socket.pastNeighbours - past);
    if (this.#lastError !== undefined) this.#context.log.info({}, 'router advertisements can be sent again');
    this.#lastError = undefined;
    const at = this.#context.clock.wall();
    this.#last = { at, to };
    if (to === ALL_NODES) this.#lastMulticastAt = at;
    return true;
  }

  /** Sends from an address that this host has no more; nothing else waits for it. */
  sendForeign(packets: readonly Uint8Array[], to: Address, { ifindex, source }: Outlet): void {
    const past = this.#socket.pastNeighbours;
    for (const packet of packets) {
      const result = this.#socket.send(packet, to, ifindex, source, true);
      if (result < 0) this.#failed(-result);
    }
    if (this.#socket.pastNeighbours !== past) this.#past(this.#socket.pastNeighbours - past);
  }

  /** The last advertisement that left. */
  get last(): { readonly at: number; readonly to: string } | undefined {
    return this.#last === undefined ? undefined : { at: this.#last.at, to: formatAddress(this.#last.to) };
  }

  /** When all nodes were last told, wall-clock milliseconds. */
  get lastMulticastAt(): number | undefined {
    return this.#lastMulticastAt;
  }

  /** errno's name of the last send if that failed. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  #failed(errno: number): void {
    this.#count('sendFailures', RaCounter.sendFailures);
    const error = errnoName(errno);
    const hint =
      errno === EINVAL
        ? "; the kernel's neighbour table may be full (dmesg: neighbor table overflow), see docs/troubleshooting.md"
        : '';
    if (this.#lastError !== error) this.#context.log.warn({ error }, `a router advertisement could not be sent${hint}`);
    this.#lastError = error;
  }

  /** Told of once a minute: under a flood it is so with each. */
  #past(packets: number): void {
    this.#counters.pastNeighbours += packets;
    this.#context.counters.add(RaCounter.pastNeighbours, packets);
    const now = this.#context.clock.now();
    if (now - this.#warnedAt >= neighbourWarningMs) {
      this.#warnedAt = now;
      this.#context.log.warn(
        {},
        "the kernel's neighbour table is full (net.ipv6.neigh.default.gc_thresh3), the private network may be flooded: all nodes are told past it, single ones may not be answered",
      );
    }
  }

  #count(own: keyof RaInterfaceCounters, shared: number): void {
    this.#counters[own]++;
    this.#context.counters.add(shared);
  }
}
