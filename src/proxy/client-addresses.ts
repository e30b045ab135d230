/**
 * Addresses of a thread's clients, each at the place of its connection's descriptor. An array of its own for each would take V8
 * nine times the 28 bytes, in objects that its collector has to look at for as long as the session lasts.
 */
import { SOCKADDR_IN6_BYTES } from '../linux/sockaddr.ts';
import { spanOfSockaddr } from './span.ts';
import type { AddressSpan } from './wire/header.ts';

/** Descriptors whose addresses share an array; the kernel gives the lowest that is free, so arrays fill up. */
const shared = 256;

export class ClientAddresses {
  readonly #arrays: (Uint8Array | undefined)[] = [];

  /** Copies the socket address in `name`. The span holds until the descriptor is another connection's. */
  keep(fd: number, name: Uint8Array): AddressSpan {
    const index = Math.floor(fd / shared);
    let bytes = this.#arrays[index];
    if (bytes === undefined) {
      bytes = new Uint8Array(shared * SOCKADDR_IN6_BYTES);
      this.#arrays[index] = bytes;
    }
    const from = (fd % shared) * SOCKADDR_IN6_BYTES;
    bytes.set(name, from);
    return spanOfSockaddr(bytes, from);
  }
}
