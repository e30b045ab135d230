/** DNS over TCP on one address (RFC 7766): takes connections (tcp-connection.ts), so many and so many of one client. */
import type { InetEndpoint } from '../core/address.ts';
import { Tally } from '../core/tally.ts';
import { ECONNRESET, EINTR, EMFILE, ENFILE } from '../linux/constants.ts';
import { check } from '../linux/errors.ts';
import { closeFd } from '../linux/libc.ts';
import { EPOLLIN, type EventHandler } from '../linux/reactor.ts';
import { decodeSockaddr } from '../linux/sockaddr.ts';
import { acceptTcp, listenTcp, localAddress, Memory, SockaddrSlot, setUnsentLimit } from '../linux/tcp.ts';
import { COUNT } from './counters.ts';
import { QueryView } from './query-view.ts';
import { KERNEL_UNSENT, MAX_MESSAGE, TcpConnection } from './tcp-connection.ts';
import type { ServerContext } from './udp-server.ts';

const BACKLOG = 256;
export const KEEPALIVE_SECONDS = 30;
/** Connections of a thread, and of one client: the oldest idle one makes room (RFC 7766 §6.2.2, §10). */
const MAX_CONNECTIONS = 1024;
export const MAX_PER_CLIENT = 128;
const ACCEPTS_PER_TURN = 64;
/** So many bytes hold so few queries that one read does not overrun the bound on pending ones by much. */
const READ_BYTES = 8192;

/** What the servers of a thread share: connections are counted over all of them. */
export class TcpShared {
  readonly read = Memory.lasting(READ_BYTES);
  /** Where a message is put to begin at a multiple of four, and where its answer is written. */
  readonly view = new QueryView(Buffer.alloc(MAX_MESSAGE + 1));
  readonly out = Memory.lasting(4 + MAX_MESSAGE + 1);
  readonly outWords = new Uint32Array(this.out.bytes.buffer, this.out.bytes.byteOffset, this.out.bytes.length >> 2);
  readonly peer = new SockaddrSlot();
  readonly connections = new Set<TcpConnection>();
  readonly perClient = new Tally<string>();
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
    setUnsentLimit(this.fd, KERNEL_UNSENT);
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
    if (shared.perClient.of(key) >= MAX_PER_CLIENT) {
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
