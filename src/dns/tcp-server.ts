/**
 * DNS over TCP on one address (RFC 7766): messages with their length before them, several at a time on a connection, each
 * answered when its answer is there, so out of order. A connection holds the message it is receiving and the answers its
 * client has not taken, both bounded; one that is silent or does not take its answers is closed.
 */
import type { InetEndpoint } from '../core/address.ts';
import type { Timer } from '../core/clock.ts';
import { observe } from '../core/histogram.ts';
import { EAGAIN, ECONNRESET, EINTR, EMFILE, ENFILE } from '../linux/constants.ts';
import { check } from '../linux/errors.ts';
import { closeFd } from '../linux/libc.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, type EventHandler } from '../linux/reactor.ts';
import { decodeSockaddr } from '../linux/sockaddr.ts';
import { acceptTcp, listenTcp, localAddress, Memory, receive, SockaddrSlot, send } from '../linux/tcp.ts';
import { COUNT, GAUGE } from './counters.ts';
import type { Origin, ReplySink } from './origin.ts';
import { QueryView } from './query-view.ts';
import { LOCAL_WAIT } from './slot-counters.ts';
import type { ServerContext } from './udp-server.ts';

const BACKLOG = 256;
export const KEEPALIVE_SECONDS = 30;
/** Connections of a thread, and of one client: the oldest idle one makes room (RFC 7766 §6.2.2, §10). */
const MAX_CONNECTIONS = 1024;
export const MAX_PER_CLIENT = 128;
/** RFC 7766 §6.2.3: a few seconds. */
export const IDLE_MS = 10_000;
/** Queries of one connection that wait for their answers; more are read when these are done. */
export const MAX_PENDING = 64;
/** Answers a client has not taken: beyond that no more queries are read. */
export const MAX_UNSENT = 256 * 1024;
/** Below that, more of a long answer is made: a zone transfer is no further ahead of its client than this and a message. */
const LOW_UNSENT = 64 * 1024;
const ACCEPTS_PER_TURN = 64;
const READS_PER_TURN = 8;
/** So many bytes hold so few queries that one read does not overrun the bound on pending ones by much. */
const READ_BYTES = 8192;
const LENGTH_BYTES = 2;
const MAX_MESSAGE = 65535;
/** What connections start with: most queries fit. */
const SMALL = 1024;

/** What the servers of a thread share: connections are counted over all of them. */
export class TcpShared {
  readonly read = Memory.lasting(READ_BYTES);
  /** Where a message is put to begin at a multiple of four, and where its answer is written. */
  readonly view = new QueryView(Buffer.alloc(MAX_MESSAGE + 1));
  readonly out = Memory.lasting(4 + MAX_MESSAGE + 1);
  readonly outWords = new Uint32Array(this.out.bytes.buffer, this.out.bytes.byteOffset, this.out.bytes.length >> 2);
  readonly peer = new SockaddrSlot();
  readonly connections = new Set<TcpConnection>();
  readonly perClient = new Map<string, number>();
}

export class TcpServer implements EventHandler {
  readonly endpoint: InetEndpoint;
  readonly context: ServerContext;
  readonly shared: TcpShared;
  readonly fd: number;
  #open = true;

  /**
   * @param adopted a socket that listens there already; the server's from now on
   * @throws {SystemError} when the address cannot be bound
   */
  constructor(context: ServerContext, shared: TcpShared, endpoint: InetEndpoint, adopted?: number) {
    this.context = context;
    this.shared = shared;
    this.fd = adopted ?? listenTcp(endpoint, { backlog: BACKLOG, keepaliveSeconds: KEEPALIVE_SECONDS });
    check(localAddress(this.fd, shared.peer), 'getsockname');
    this.endpoint = decodeSockaddr(shared.peer.bytes)!;
    context.reactor.add(this.fd, EPOLLIN, this);
  }

  onEvents(): void {
    for (let i = 0; i < ACCEPTS_PER_TURN && this.#open; i++) {
      const fd = acceptTcp(this.fd, this.shared.peer);
      if (fd >= 0) this.#accepted(fd);
      else if (fd === -EMFILE || fd === -ENFILE) {
        // Somebody has to go, or the event would come again and again.
        if (!this.#evictOldest()) return;
      } else if (fd !== -EINTR && fd !== -ECONNRESET) return;
    }
  }

  /** Stops accepting; connections stay. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.context.reactor.forget(this.fd);
    closeFd(this.fd);
  }

  #accepted(fd: number): void {
    const { shared, context } = this;
    const client = decodeSockaddr(shared.peer.bytes);
    if (client === undefined) {
      closeFd(fd);
      return;
    }
    context.counters.add(COUNT.TCP_ACCEPTED);
    const key = Buffer.from(client.address.bytes).toString('latin1');
    if ((shared.perClient.get(key) ?? 0) >= MAX_PER_CLIENT) {
      context.counters.add(COUNT.TCP_REJECTED);
      closeFd(fd);
      return;
    }
    if (shared.connections.size >= MAX_CONNECTIONS) this.#evictOldest();
    shared.connections.add(new TcpConnection(this, fd, client, key));
  }

  /** Closes the connection that has been there longest; those that do something move to the end. */
  #evictOldest(): boolean {
    for (const connection of this.shared.connections) {
      this.context.counters.add(COUNT.TCP_REJECTED);
      connection.close();
      return true;
    }
    return false;
  }
}

/** One client's connection. */
export class TcpConnection implements EventHandler, Origin, ReplySink {
  readonly transport = 'tcp';
  readonly #server: TcpServer;
  readonly #fd: number;
  readonly #client: InetEndpoint;
  readonly #clientKey: string;
  /** The address bytes as the filter reads them. */
  readonly #clientWords = new Uint32Array(4);
  /** What has come of a message that is not whole yet. */
  #partial: Buffer = Buffer.alloc(0);
  #partialLength = 0;
  /** Answers that the socket did not take. */
  #unsent: Buffer[] = [];
  #unsentBytes = 0;
  /** Told when the client has taken answers, or is gone. */
  #drained: ((open: boolean) => void)[] = [];
  #pending = 0;
  #idle: Timer | undefined;
  #events = EPOLLIN | EPOLLRDHUP;
  /** The client has sent its last (half-close): it still gets its answers. */
  #ended = false;
  #open = true;

  constructor(server: TcpServer, fd: number, client: InetEndpoint, key: string) {
    this.#server = server;
    this.#fd = fd;
    this.#client = client;
    this.#clientKey = key;
    new Uint8Array(this.#clientWords.buffer).set(client.address.bytes);
    const { perClient } = server.shared;
    perClient.set(key, (perClient.get(key) ?? 0) + 1);
    server.context.counters.gaugeAdd(GAUGE.TCP_CONNECTIONS, 1);
    server.context.reactor.add(fd, this.#events, this);
    this.#touch();
  }

  /** Whether nothing is under way: no answer owed, none untaken. */
  get quiet(): boolean {
    return this.#pending === 0 && this.#unsentBytes === 0;
  }

  onEvents(events: number): void {
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) {
      this.close();
      return;
    }
    if ((events & EPOLLOUT) !== 0) this.#sendUnsent();
    if (this.#open && (events & (EPOLLIN | EPOLLRDHUP)) !== 0) this.#read();
    this.#watch();
  }

  hold(): ReplySink {
    this.#pending++;
    return this;
  }

  client(): InetEndpoint {
    return this.#client;
  }

  local(): InetEndpoint {
    const { peer } = this.#server.shared;
    return localAddress(this.#fd, peer) < 0 ? this.#server.endpoint : decodeSockaddr(peer.bytes)!;
  }

  /** Sends an answer that took its time. */
  send(bytes: Buffer, start: number, length: number): void {
    if (!this.#open) return;
    bytes.copy(this.#server.shared.out.bytes, 4, start, start + length);
    this.#send(length);
  }

  drained(): Promise<boolean> {
    if (!this.#open || this.#unsentBytes <= LOW_UNSENT) return Promise.resolve(this.#open);
    this.#watch();
    return new Promise((resolve) => void this.#drained.push(resolve));
  }

  /** All answers to one of the queries on hold were sent. */
  done(): void {
    this.#pending--;
    this.#watch();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const { shared, context } = this.#server;
    this.#idle?.cancel();
    this.#unsent = [];
    this.#release();
    shared.connections.delete(this);
    const left = shared.perClient.get(this.#clientKey)! - 1;
    if (left === 0) shared.perClient.delete(this.#clientKey);
    else shared.perClient.set(this.#clientKey, left);
    context.counters.gaugeAdd(GAUGE.TCP_CONNECTIONS, -1);
    context.reactor.forget(this.#fd);
    closeFd(this.#fd);
  }

  #read(): void {
    const { read } = this.#server.shared;
    for (let i = 0; i < READS_PER_TURN && this.#open && this.#wantsQueries(); i++) {
      const got = receive(this.#fd, read.address, read.bytes.length);
      if (got === -EINTR) continue;
      if (got === -EAGAIN) return;
      if (got < 0) {
        this.close();
        return;
      }
      if (got === 0) {
        this.#ended = true;
        return;
      }
      this.#take(read.bytes.subarray(0, got));
      if (got < read.bytes.length) return;
    }
  }

  /** Takes bytes that may begin and end anywhere in a message. */
  #take(data: Uint8Array): void {
    let at = 0;
    if (this.#partialLength > 0) {
      at = this.#complete(data);
      if (at < 0) return;
    }
    while (this.#open && data.length - at >= LENGTH_BYTES) {
      const length = (data[at]! << 8) | data[at + 1]!;
      if (data.length - at - LENGTH_BYTES < length) break;
      this.#message(data, at + LENGTH_BYTES, length);
      at += LENGTH_BYTES + length;
    }
    if (this.#open && at < data.length) this.#keep(data.subarray(at));
  }

  /** Completes the message begun earlier. Returns how many bytes of `data` it took, -1 if it is still not whole. */
  #complete(data: Uint8Array): number {
    let at = 0;
    if (this.#partialLength < LENGTH_BYTES) {
      this.#keep(data.subarray(0, 1));
      at = 1;
    }
    const end = LENGTH_BYTES + this.#partial.readUInt16BE(0);
    const take = Math.min(data.length - at, end - this.#partialLength);
    if (take > 0) this.#keep(data.subarray(at, at + take));
    at += take;
    if (this.#partialLength < end) return -1;
    const message = this.#partial;
    this.#partial = Buffer.alloc(0);
    this.#partialLength = 0;
    this.#message(message, LENGTH_BYTES, end - LENGTH_BYTES);
    return at;
  }

  /** Keeps bytes of a message that is not whole; memory grows with what really came, not with what was announced. */
  #keep(data: Uint8Array): void {
    const length = this.#partialLength + data.length;
    if (length > this.#partial.length) {
      const larger = Buffer.alloc(Math.max(SMALL, Math.min(2 * length, LENGTH_BYTES + MAX_MESSAGE)));
      this.#partial.copy(larger, 0, 0, this.#partialLength);
      this.#partial = larger;
    }
    this.#partial.set(data, this.#partialLength);
    this.#partialLength = length;
  }

  #message(data: Uint8Array, start: number, length: number): void {
    const { context, shared } = this.#server;
    const { responder, filter, clock, counters } = context;
    this.#touch();
    counters.add(COUNT.TCP);
    shared.view.bytes.set(data.subarray(start, start + length), 0);
    const { family } = this.#client.address;
    const allowed = filter.allows(this.#clientWords, 0, family);
    const now = clock.now();
    const written = responder.respond(shared.view, 0, length, allowed, this, shared.out.bytes, shared.outWords, 4, now);
    if (written === 0) return;
    this.#send(written);
    observe(counters, LOCAL_WAIT, clock.now() - now);
  }

  /** Sends the answer of `length` bytes at 4 of the shared output: its length goes before it, in the same segment. */
  #send(length: number): void {
    const { out } = this.#server.shared;
    out.bytes.writeUInt16BE(length, 2);
    let sent = 0;
    if (this.#unsentBytes === 0) {
      sent = send(this.#fd, out.address + 2, LENGTH_BYTES + length);
      if (sent === LENGTH_BYTES + length) return;
      if (sent < 0 && sent !== -EAGAIN && sent !== -EINTR) {
        this.close();
        return;
      }
      sent = Math.max(0, sent);
    }
    const rest = Buffer.from(out.bytes.subarray(2 + sent, 4 + length));
    this.#unsent.push(rest);
    this.#unsentBytes += rest.length;
  }

  #sendUnsent(): void {
    const { out } = this.#server.shared;
    while (this.#unsent.length > 0) {
      const first = this.#unsent[0]!;
      first.copy(out.bytes);
      const sent = send(this.#fd, out.address, first.length);
      if (sent === -EINTR) continue;
      if (sent === -EAGAIN) return;
      if (sent < 0) {
        this.close();
        return;
      }
      this.#touch();
      this.#unsentBytes -= sent;
      if (this.#unsentBytes <= LOW_UNSENT) this.#release();
      if (sent < first.length) {
        this.#unsent[0] = first.subarray(sent);
        return;
      }
      this.#unsent.shift();
    }
  }

  /** Lets those go on who wait for room. */
  #release(): void {
    const waiting = this.#drained;
    this.#drained = [];
    for (const resolve of waiting) resolve(this.#open);
  }

  #wantsQueries(): boolean {
    return !this.#ended && this.#pending < MAX_PENDING && this.#unsentBytes < MAX_UNSENT;
  }

  /** Watches for what can happen next; a client that will ask no more and has got everything is let go. */
  #watch(): void {
    if (!this.#open) return;
    if (this.#ended && this.quiet) {
      this.close();
      return;
    }
    const events = (this.#wantsQueries() ? EPOLLIN | EPOLLRDHUP : 0) | (this.#unsentBytes > 0 ? EPOLLOUT : 0);
    if (events === this.#events) return;
    this.#events = events;
    this.#server.context.reactor.modify(this.#fd, events);
  }

  /** A whole message came, or the client took an answer: the connection is no longer the one idle longest. */
  #touch(): void {
    const { context, shared } = this.#server;
    if (shared.connections.delete(this)) shared.connections.add(this);
    this.#idle?.cancel();
    this.#idle = context.clock.after(IDLE_MS, () => this.#timedOut());
  }

  #timedOut(): void {
    this.#server.context.counters.add(COUNT.TCP_TIMEOUT);
    this.close();
  }
}
