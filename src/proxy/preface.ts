/**
 * What is read of a client before a member is sought: the PROXY header of those in front, then the server name in its TLS
 * hello where the listener has routes. The hello stays in the socket, for the member.
 */
import { networksContain } from '../core/networks.ts';
import { EAGAIN } from '../linux/constants.ts';
import { peek, receive } from '../linux/tcp.ts';
import type { SessionHost, SessionState } from './host.ts';
import type { Relay } from './relay.ts';
import { routeFor } from './routes.ts';
import type { ListenerSnapshot } from './snapshot.ts';
import { spanBytes, spanOfAddress } from './span.ts';
import { Ended, type Termination } from './termination.ts';
import type { Timed } from './timers.ts';
import { maxHelloBytes, parseClientHello } from './wire/client-hello.ts';
import type { AddressSpan } from './wire/header.ts';
import { maxV2Bytes, parseProxyHeader, type Unaddressed } from './wire/parse.ts';

/** What a PROXY header from in front said besides addresses: it goes on to the member. */
export interface PassedOn {
  /** In place of addresses, when it named none. */
  readonly unaddressed: Unaddressed | undefined;
  readonly tlvs: Uint8Array;
}

/** The session whose client is listened to. */
export interface Newcomer extends Timed {
  readonly host: SessionHost;
  readonly listener: ListenerSnapshot;
  readonly acceptedAt: number;
  readonly client: Relay;
  state: SessionState;
  pool: string;
  source: AddressSpan;
  destination: AddressSpan | undefined;
  passedOn: PassedOn | undefined;
  serverName: string | undefined;
  protocols: readonly string[];
  /** False when the session ended for it. */
  watchClient(): boolean;
  /** Why the client may not come in, if so; asked once its address is known. */
  refusal(): Termination | undefined;
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
    if (!listener.acceptProxy) {
      this.#admit();
      return;
    }
    const peer = spanBytes(newcomer.source);
    if (!networksContain(listener.trusted, peer)) {
      newcomer.end(Ended.denied);
      return;
    }
    newcomer.state = 'header';
    host.wheel.set(newcomer, newcomer.acceptedAt + host.timeouts.proxyHeaderMs);
    if (newcomer.watchClient()) this.#readHeader();
  }

  /** The client has sent something, or its end. */
  read(): void {
    if (this.#newcomer.state === 'header') this.#readHeader();
    else this.#readHello();
  }

  onTimer(): void {
    const newcomer = this.#newcomer;
    if (newcomer.state === 'header') newcomer.end(Ended.proxyHeaderTimeout);
    else newcomer.onPrefaceRead();
  }

  #readHeader(): void {
    const newcomer = this.#newcomer;
    const { bytes, address } = newcomer.host.io.memory;
    const { fd } = newcomer.client;
    // Left in the socket until it is whole, so that the client's own bytes stay there.
    const count = peek(fd, address, maxV2Bytes);
    if (count === -EAGAIN) return;
    if (count <= 0) {
      newcomer.end(Ended.clientAbortedPreface);
      return;
    }
    const header = parseProxyHeader(bytes.subarray(0, count));
    if (header.kind === 'incomplete') {
      // The end has come as well: the rest never will.
      if (newcomer.client.hangUp) newcomer.end(Ended.clientAbortedPreface);
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
    const unaddressed = header.kind === 'unaddressed' ? header.what : undefined;
    if (unaddressed !== undefined || header.tlvs.length > 0) newcomer.passedOn = { unaddressed, tlvs: header.tlvs };
    this.#admit();
  }

  /** The client's address is known: is it let in, and must it say whom it wants? */
  #admit(): void {
    const newcomer = this.#newcomer;
    const { host, listener } = newcomer;
    const refusal = newcomer.refusal();
    if (refusal !== undefined) newcomer.end(refusal);
    else if (listener.routes.length === 0) newcomer.onPrefaceRead();
    else {
      newcomer.state = 'hello';
      host.wheel.set(newcomer, host.now() + host.timeouts.clientHelloMs);
      if (newcomer.watchClient()) this.#readHello();
    }
  }

  /** Whoever shows no name is served by the listener's pool: that is for the member to judge. */
  #readHello(): void {
    const newcomer = this.#newcomer;
    const { bytes, address } = newcomer.host.io.memory;
    const count = peek(newcomer.client.fd, address, maxHelloBytes);
    if (count === -EAGAIN) return;
    if (count <= 0) {
      newcomer.end(Ended.clientAbortedPreface);
      return;
    }
    const hello = parseClientHello(bytes.subarray(0, count));
    if (hello.kind === 'incomplete' && !newcomer.client.hangUp) return;
    if (hello.kind === 'hello') {
      const { name, protocols } = hello;
      newcomer.serverName = name;
      newcomer.protocols = protocols;
      newcomer.pool = routeFor(newcomer.listener.routes, name, protocols) ?? newcomer.pool;
    }
    newcomer.onPrefaceRead();
  }
}
