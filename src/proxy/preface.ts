/** What a client must say before a member is sought: the PROXY header of those in front. */
import { cidrContains } from '../core/address.ts';
import { EAGAIN } from '../linux/constants.ts';
import { peek, receive } from '../linux/tcp.ts';
import type { SessionHost, SessionState } from './host.ts';
import type { Relay } from './relay.ts';
import type { ListenerSnapshot } from './snapshot.ts';
import { spanBytes, spanOfAddress } from './span.ts';
import { Ended, type Termination } from './termination.ts';
import type { Timed } from './timers.ts';
import type { AddressSpan } from './wire/header.ts';
import { maxV2Bytes, parseProxyHeader } from './wire/parse.ts';

/** The session whose client is listened to. */
export interface Newcomer extends Timed {
  readonly host: SessionHost;
  readonly listener: ListenerSnapshot;
  readonly acceptedAt: number;
  readonly client: Relay;
  state: SessionState;
  source: AddressSpan;
  destination: AddressSpan | undefined;
  /** False when the session ended for it. */
  watchClient(): boolean;
  /** All that had to be said is said. */
  onPrefaceRead(): void;
  end(termination: Termination): void;
}

export class Preface {
  readonly #newcomer: Newcomer;

  constructor(newcomer: Newcomer) {
    this.#newcomer = newcomer;
  }

  start(): void {
    const newcomer = this.#newcomer;
    const { host, listener } = newcomer;
    const peer = spanBytes(newcomer.source);
    if (!listener.trusted.some((cidr) => cidrContains(cidr, peer))) {
      newcomer.end(Ended.denied);
      return;
    }
    newcomer.state = 'header';
    host.wheel.set(newcomer, newcomer.acceptedAt + host.timeouts.proxyHeaderMs);
    if (newcomer.watchClient()) this.read();
  }

  /** The client has sent something, or its end. */
  read(): void {
    this.#readHeader();
  }

  onTimer(): void {
    this.#newcomer.end(Ended.proxyHeaderTimeout);
  }

  #readHeader(): void {
    const newcomer = this.#newcomer;
    const { bytes, address } = newcomer.host.io.memory;
    const { fd } = newcomer.client;
    // Left in the socket until it is whole, so that the client's own bytes stay there for the member.
    const count = peek(fd, address, maxV2Bytes);
    if (count === -EAGAIN) return;
    if (count <= 0) {
      newcomer.end(Ended.clientAbortedEarly);
      return;
    }
    const header = parseProxyHeader(bytes.subarray(0, count));
    if (header.kind === 'incomplete') {
      // The end has come as well: the rest never will.
      if (newcomer.client.hangUp) newcomer.end(Ended.clientAbortedEarly);
      return;
    }
    if (header.kind === 'invalid') {
      newcomer.end(Ended.badProxyHeader);
      return;
    }
    receive(fd, address, header.bytes);
    if (header.kind === 'proxied') {
      const { source, sourcePort, destination, destinationPort } = header.addresses;
      newcomer.source = spanOfAddress(source, sourcePort);
      newcomer.destination = spanOfAddress(destination, destinationPort);
    }
    newcomer.onPrefaceRead();
  }
}
