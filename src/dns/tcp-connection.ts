/**
 * One client's connection (RFC 7766): messages with their length before them, several at a time, each answered when its answer is
 * there, so out of order. It holds the message it is receiving and the answers its client has not taken, both bounded, and as
 * little of them lies in the kernel; a client that is silent, or takes its answers too slowly, whatever it asks meanwhile, is let go.
 */
import type { InetEndpoint } from '../core/address.ts';
import type { Timer } from '../core/clock.ts';
import { observe } from '../core/histogram.ts';
import { EAGAIN, EINTR } from '../linux/constants.ts';
import { closeFd } from '../linux/libc.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, type EventHandler } from '../linux/reactor.ts';
import { decodeSockaddr } from '../linux/sockaddr.ts';
import { localAddress, receive, resetTcp, send } from '../linux/tcp.ts';
import { COUNT, GAUGE } from './counters.ts';
import type { Origin, ReplySink } from './origin.ts';
import { LOCAL_WAIT } from './slot-counters.ts';
import type { TcpServer } from './tcp-server.ts';

/** RFC 7766 §6.2.3: a few seconds. */
export const IDLE_MS = 10_000;
/** Queries of one connection that wait for their answers; more are read when these are done. */
export const MAX_PENDING = 64;
/** Answers a client has not taken: beyond that no more queries are read. */
export const MAX_UNSENT = 256 * 1024;
/** Below that, more of a long answer is made: a zone transfer is no further ahead of its client than this and a message. */
const LOW_UNSENT = 64 * 1024;
/** What the kernel takes beside that of a client that reads no more. */
export const KERNEL_UNSENT = 64 * 1024;
/** In so long a client must take so much, or all there is for it: it has a zone transfer's place, which others want. */
export const TAKE_MS = 30_000;
const MIN_TAKEN = 64 * 1024;
const READS_PER_TURN = 8;
const LENGTH_BYTES = 2;
export const MAX_MESSAGE = 65535;
/** What connections start with: most queries fit. */
const SMALL = 1024;

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
  /** Of these, what the client took lately. */
  #taken = 0;
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
    server.shared.perClient.add(key);
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
    // It took all of it at once.
    if (this.#open && this.#unsentBytes === 0) this.#touch();
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
    const untaken = this.#unsentBytes > 0;
    this.#unsent = [];
    this.#release();
    shared.connections.delete(this);
    shared.perClient.remove(this.#clientKey);
    context.counters.gaugeAdd(GAUGE.TCP_CONNECTIONS, -1);
    context.reactor.forget(this.#fd);
    // Otherwise the kernel would go on for minutes to offer the rest to who takes nothing.
    if (untaken) resetTcp(this.#fd);
    else closeFd(this.#fd);
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
    // Who has answers to take does not stay by asking for more.
    if (this.#unsentBytes === 0) this.#touch();
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
    if (this.#unsent.length === 1) this.#touch();
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
      this.#unsentBytes -= sent;
      this.#taken += sent;
      if (this.#unsentBytes === 0 || this.#taken >= MIN_TAKEN) this.#touch();
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

  /** A whole message came, or the client took what there was for it: the connection is no longer the one idle longest. */
  #touch(): void {
    const { context, shared } = this.#server;
    this.#taken = 0;
    if (shared.connections.delete(this)) shared.connections.add(this);
    this.#idle?.cancel();
    this.#idle = context.clock.after(this.#unsentBytes > 0 ? TAKE_MS : IDLE_MS, () => this.#timedOut());
  }

  #timedOut(): void {
    this.#server.context.counters.add(COUNT.TCP_TIMEOUT);
    this.close();
  }
}
