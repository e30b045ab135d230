/** DNS over UDP on one address: a batch of queries in, a batch of answers out. */
import type { InetEndpoint } from '../core/address.ts';
import type { Clock } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import { observe } from '../core/histogram.ts';
import { EINTR } from '../linux/constants.ts';
import type { Lender, Loan } from '../linux/lent-fd.ts';
import { EPOLLIN, type EventHandler, type Reactor } from '../linux/reactor.ts';
import { UdpSocket } from '../linux/udp.ts';
import { type ReturnPath, UdpBatch } from '../linux/udp-batch.ts';
import type { ClientFilter } from './client-filter.ts';
import { COUNT } from './counters.ts';
import type { Origin, ReplySink } from './origin.ts';
import { QueryView } from './query-view.ts';
import type { Responder } from './responder.ts';
import { LOCAL_WAIT } from './slot-counters.ts';
import type { ReplyWay } from './snapshot.ts';
import { MAX_UDP_SIZE } from './wire/query.ts';

const BATCH = 64;
/** Updates may be larger than what we say we take; what is larger still is told to come by TCP. */
const MAX_QUERY = 4096;
/** Then other work of the thread gets its turn. */
const BATCHES_PER_TURN = 8;
/**
 * When so many queries come at once there is load: a rest lets more come together, for small batches cost a sixth more. It goes on
 * as long as it gathers a few; and a batch that is large without needs none.
 */
const REST_FROM = 8;
const GATHERED = 3;
const LARGE = 32;
/** At the end: more than the socket's buffer holds. */
const MAX_DRAIN_TURNS = 64;
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

/** What a server needs from its thread. */
export interface ServerContext {
  readonly reactor: Reactor;
  readonly clock: Clock;
  readonly counters: CounterStripe;
  readonly filter: ClientFilter;
  readonly responder: Responder;
  /** Unless given, no other thread sends on our sockets. */
  readonly lender?: Lender | undefined;
}

export class UdpServer implements EventHandler, Origin {
  readonly transport = 'udp';
  readonly endpoint: InetEndpoint;
  readonly #context: ServerContext;
  readonly #socket: UdpSocket;
  readonly #batch = new UdpBatch({ count: BATCH, receiveBytes: MAX_QUERY, sendBytes: MAX_UDP_SIZE });
  readonly #view = new QueryView(this.#batch.bytes);
  /** For who answers a message by himself that we hand over. */
  readonly #loan: Loan | undefined;
  #current = 0;
  #open = true;
  /** The most queries that came at once since the last event. */
  #largest = 0;

  /**
   * @param adopted a socket that is bound to the address already; the server's from now on
   * @throws {SystemError} when the address cannot be bound
   */
  constructor(context: ServerContext, endpoint: InetEndpoint, adopted?: number) {
    this.#context = context;
    const { address, port } = endpoint;
    this.#socket =
      adopted === undefined
        ? UdpSocket.listen(address, port, { receiveBufferBytes: RECEIVE_BUFFER_BYTES })
        : UdpSocket.adopt(adopted, address);
    this.endpoint = this.#socket.local;
    this.#loan = context.lender?.lend(this.#socket.fd);
    context.reactor.add(this.#socket.fd, EPOLLIN, this);
  }

  /** Of the socket, for whoever keeps it beyond this process. */
  get fd(): number {
    return this.#socket.fd;
  }

  onEvents(events: number): void {
    this.#largest = 0;
    if (this.#answerBatches() || !this.#open) return;
    if (this.#largest >= (events === 0 ? GATHERED : REST_FROM)) this.#context.reactor.rest(this.#socket.fd);
  }

  /** The way back to the client whose query is being answered. */
  hold(): ReplySink {
    return new UdpReply(this, this.#batch.returnPath(this.#current), this.#loan);
  }

  client(): InetEndpoint {
    return this.#batch.source(this.#current);
  }

  local(): InetEndpoint {
    const address = this.#batch.destination(this.#current);
    return address === undefined ? this.endpoint : { kind: 'inet', address, port: this.endpoint.port };
  }

  /** Sends an answer that took its time. */
  send(path: ReturnPath, bytes: Buffer, start: number, length: number): void {
    if (!this.#open) return;
    const batch = this.#batch;
    if (length > MAX_UDP_SIZE) {
      this.#context.counters.add(COUNT.UNSENT);
      return;
    }
    if (batch.queued === BATCH) this.#flush();
    bytes.copy(batch.bytes, batch.replyOffset, start, start + length);
    batch.replyTo(path, length);
    this.#flush();
  }

  /** Takes no more queries, but still sends answers. */
  quiesce(): void {
    if (!this.#open) return;
    // What has come until now is still answered.
    for (let turn = 0; turn < MAX_DRAIN_TURNS && this.#answerBatches(); turn++);
    this.#context.reactor.remove(this.#socket.fd);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    if (this.#loan !== undefined) this.#context.lender?.end(this.#loan);
    this.#context.reactor.forget(this.#socket.fd);
    this.#socket.close();
  }

  /** Answers what has come. Returns whether there may be more. */
  #answerBatches(): boolean {
    for (let turn = 0; turn < BATCHES_PER_TURN && this.#open; turn++) {
      const got = this.#batch.receive(this.#socket);
      if (got === -EINTR) continue;
      if (got <= 0) return false;
      this.#answer(got);
      this.#largest = Math.max(this.#largest, got);
      if (got < LARGE) return false;
    }
    return this.#open;
  }

  #answer(count: number): void {
    const { counters, filter, responder, clock } = this.#context;
    const batch = this.#batch;
    const view = this.#view;
    const { family } = this.#socket;
    const now = clock.now();
    let answered = 0;
    counters.add(COUNT.UDP, count);
    for (let i = 0; i < count; i++) {
      this.#current = i;
      if (batch.truncated(i)) {
        counters.add(COUNT.TOO_LONG);
        continue;
      }
      const allowed = filter.allows(view.words, batch.sourceOffset(i, family) >> 2, family);
      const start = batch.offset(i);
      const length = responder.respond(
        view,
        start,
        batch.length(i),
        allowed,
        this,
        batch.bytes,
        view.words,
        batch.replyOffset,
        now,
      );
      if (length === 0) continue;
      batch.reply(i, length);
      answered++;
    }
    if (batch.queued > 0) this.#flush();
    if (answered > 0) observe(counters, LOCAL_WAIT, clock.now() - now, answered);
  }

  #flush(): void {
    const before = this.#batch.unsent;
    this.#batch.flush(this.#socket);
    if (this.#batch.unsent > before) this.#context.counters.add(COUNT.UNSENT, this.#batch.unsent - before);
  }
}

class UdpReply implements ReplySink {
  readonly #server: UdpServer;
  readonly #path: ReturnPath;
  readonly way: ReplyWay | undefined;

  constructor(server: UdpServer, path: ReturnPath, loan: Loan | undefined) {
    this.#server = server;
    this.#path = path;
    this.way = loan === undefined ? undefined : { loan, path };
  }

  send(bytes: Buffer, start: number, length: number): void {
    this.#server.send(this.#path, bytes, start, length);
  }

  /** The kernel's buffer is all the room there is. */
  drained(): Promise<boolean> {
    return Promise.resolve(true);
  }

  done(): void {}
}
