/**
 * Queries to one upstream by UDP. To make a forged reply unlikely (RFC 5452 §9.2) a query leaves from a socket drawn from a
 * pool, with an id drawn at random; the kernel drew each socket's port at random, hears the upstream alone, and a socket is
 * replaced after a while, or at once when it gets replies that match nothing.
 */
import { errorCode } from '../../core/errors.ts';
import type { Random } from '../../core/random.ts';
import { EAGAIN, EINTR } from '../../linux/constants.ts';
import { errnoName, isShortage } from '../../linux/errors.ts';
import { EPOLLIN, type EventHandler, type Reactor } from '../../linux/reactor.ts';
import { UdpSocket } from '../../linux/udp.ts';
import type { UdpBatch } from '../../linux/udp-batch.ts';
import {
  type Attempt,
  type AttemptHandler,
  type AttemptSocket,
  type Departure,
  matchesQuestion,
  repeatsCase,
} from './exchange.ts';
import type { Upstream } from './upstream.ts';

const POOL_SOCKETS = 8;
const SOCKET_USES = 64;
const MAX_UNMATCHED = 8;
const MAX_ON_SOCKET = 2048;
const BATCHES_PER_TURN = 4;

/** What the sockets of a thread share. */
export interface UdpExchangeContext {
  readonly reactor: Reactor;
  readonly random: Random;
  readonly batch: UdpBatch;
  readonly handler: AttemptHandler;
}

export class UdpExchange {
  readonly #context: UdpExchangeContext;
  readonly #upstream: Upstream;
  readonly #pool: SourceSocket[] = [];
  readonly #retired = new Set<SourceSocket>();

  constructor(context: UdpExchangeContext, upstream: Upstream) {
    this.#context = context;
    this.#upstream = upstream;
  }

  /** Sends `query`, writing the attempt's id into it. */
  send(attempt: Attempt, query: Uint8Array): Departure {
    const socket = this.#draw();
    return typeof socket === 'string' ? socket : socket.send(attempt, query);
  }

  close(): void {
    for (const socket of [...this.#pool, ...this.#retired]) socket.close();
    this.#pool.length = 0;
    this.#retired.clear();
  }

  #draw(): SourceSocket | Departure {
    const { random } = this.#context;
    const at = random.below(POOL_SOCKETS);
    const drawn = this.#pool[at];
    if (drawn?.usable) return drawn;
    const { address, port } = this.#upstream.config.endpoint;
    let socket: UdpSocket;
    try {
      socket = UdpSocket.connect(address, port);
    } catch (error) {
      // No route, no interface of that zone, no descriptor left: what is open serves if it can.
      const open = this.#pool.find((other) => other.usable);
      return open ?? (isShortage(errorCode(error)) ? 'short' : 'unreachable');
    }
    const fresh = new SourceSocket(this.#context, this.#upstream, socket, (idle) => this.#retired.delete(idle));
    if (drawn !== undefined) {
      this.#retired.add(drawn);
      drawn.retire();
    }
    if (at < this.#pool.length) this.#pool[at] = fresh;
    else this.#pool.push(fresh);
    return fresh;
  }
}

/** One connected socket and what waits for a reply on it. */
class SourceSocket implements EventHandler, AttemptSocket {
  readonly #context: UdpExchangeContext;
  readonly #upstream: Upstream;
  readonly #socket: UdpSocket;
  readonly #closed: (self: SourceSocket) => void;
  readonly #pending = new Map<number, Attempt>();
  #uses = 0;
  #unmatched = 0;
  #retired = false;
  #open = true;

  constructor(
    context: UdpExchangeContext,
    upstream: Upstream,
    socket: UdpSocket,
    closed: (self: SourceSocket) => void,
  ) {
    this.#context = context;
    this.#upstream = upstream;
    this.#socket = socket;
    this.#closed = closed;
    context.reactor.add(socket.fd, EPOLLIN, this);
  }

  get usable(): boolean {
    return this.#uses < SOCKET_USES && this.#unmatched < MAX_UNMATCHED && this.#pending.size < MAX_ON_SOCKET;
  }

  send(attempt: Attempt, query: Uint8Array): Departure {
    let id = this.#context.random.below(65536);
    while (this.#pending.has(id)) id = this.#context.random.below(65536);
    query[0] = id >> 8;
    query[1] = id;
    this.#uses++;
    // A send may also report that an earlier datagram was refused; this one is tried once more then.
    let sent = this.#socket.send(query);
    if (sent < 0) sent = this.#socket.send(query);
    if (sent < 0) return isShortage(errnoName(-sent)) ? 'short' : 'unreachable';
    attempt.id = id;
    attempt.socket = this;
    this.#pending.set(id, attempt);
    return 'left';
  }

  forget(attempt: Attempt): void {
    this.#pending.delete(attempt.id);
    if (this.#retired && this.#pending.size === 0) this.close();
  }

  retire(): void {
    this.#retired = true;
    if (this.#pending.size === 0) this.close();
  }

  look(): void {
    this.onEvents();
  }

  onEvents(): void {
    const { batch } = this.#context;
    for (let turn = 0; turn < BATCHES_PER_TURN && this.#open; turn++) {
      const got = batch.receive(this.#socket);
      if (got === -EAGAIN) return;
      if (got < 0) {
        if (got !== -EINTR) this.#refuse();
        continue;
      }
      for (let i = 0; i < got && this.#open; i++) {
        this.#read(batch.bytes.subarray(batch.offset(i), batch.offset(i) + batch.length(i)), batch.truncated(i));
      }
      if (got < batch.count) return;
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#context.reactor.forget(this.#socket.fd);
    this.#socket.close();
    this.#closed(this);
  }

  #read(reply: Uint8Array, cutOff: boolean): void {
    const attempt = reply.length < 12 || cutOff ? undefined : this.#pending.get((reply[0]! << 8) | reply[1]!);
    if (attempt === undefined || !matchesQuestion(reply, attempt.question)) {
      this.#unmatched++;
      this.#context.handler.unmatched(this.#upstream);
      return;
    }
    if (this.#upstream.keepsCase && !repeatsCase(reply, attempt.question)) {
      this.#upstream.sawCase(false);
      if (this.#upstream.keepsCase) {
        this.#unmatched++;
        this.#context.handler.unmatched(this.#upstream);
        return;
      }
    }
    this.#context.handler.replied(attempt, reply);
  }

  /** An ICMP error came: nobody listens there, or nothing gets there. */
  #refuse(): void {
    for (const attempt of [...this.#pending.values()]) this.#context.handler.failed(attempt, 'refused');
  }
}
