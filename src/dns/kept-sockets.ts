/** Sockets of a data thread's DNS server that outlive the process: those it came with, and those it leaves. */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import { closeFd } from '../linux/libc.ts';
import type { DnsSocketKeeper, KeptTransport } from './socket-keeper.ts';

export class KeptSockets {
  readonly #keepers: Readonly<Record<KeptTransport, DnsSocketKeeper>> | undefined;
  /** Of the process before, until their listener is opened. */
  readonly #adopted = new Map<string, number>();
  /** Another process follows and gets our sockets. */
  handOver = false;

  /** @param keepers without them sockets end with the process */
  constructor(keepers: Readonly<Record<KeptTransport, DnsSocketKeeper>> | undefined) {
    this.#keepers = keepers;
  }

  /** Holds a socket that is bound to an endpoint until a listener wants it; one for TCP listens as well. */
  adopt(transport: KeptTransport, endpoint: InetEndpoint, fd: number): void {
    this.#adopted.set(keyOf(transport, endpoint), fd);
  }

  /** The socket of the process before; undefined if there is none, or it was taken. */
  take(transport: KeptTransport, endpoint: InetEndpoint): number | undefined {
    const key = keyOf(transport, endpoint);
    const fd = this.#adopted.get(key);
    this.#adopted.delete(key);
    return fd;
  }

  /** Leaves a new socket to the process that follows; one of a port that the kernel chose (0) is of no use to that. */
  keep(transport: KeptTransport, endpoint: InetEndpoint, fd: number): void {
    if (endpoint.port !== 0) this.#keepers?.[transport].keep(endpoint, fd);
  }

  /** A socket ends for good: the kernel would go on giving one of an SO_REUSEPORT group its share. */
  drop(transport: KeptTransport, endpoint: InetEndpoint): void {
    if (!this.handOver) this.#keepers?.[transport].drop(endpoint);
  }

  /** Closes what no listener wanted. */
  close(): void {
    for (const fd of this.#adopted.values()) closeFd(fd);
    this.#adopted.clear();
  }
}

function keyOf(transport: KeptTransport, endpoint: InetEndpoint): string {
  return `${transport} ${formatEndpoint(endpoint)}`;
}
