/** Sockets of the DNS server that outlive the process. */
import type { InetEndpoint } from '../core/address.ts';

export type KeptTransport = 'udp' | 'tcp';

/** Keeps sockets beyond the process, so that queries and connections wait for the next one and are not refused. */
export interface DnsSocketKeeper {
  keep(endpoint: InetEndpoint, fd: number): void;
  /** It is about to be closed for good. */
  drop(endpoint: InetEndpoint): void;
}
