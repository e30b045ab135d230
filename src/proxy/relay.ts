/**
 * One side of a session: reads its socket and writes what it read to the other side's.
 *
 * Both sockets are watched edge-triggered for reading and writing from the start, so no epoll_ctl follows. Bytes that the
 * other socket does not take at once are kept, at most one chunk or one pipeful, and nothing is read until they are gone.
 * A side at rest holds neither chunk nor pipe.
 *
 * Small messages that are reported in one batch of events are all read before the first is written: the kernel's code for
 * either stays in the processor's cache, and the peers' processes wake up to several of them.
 *
 * What a FIN means for the other side, and in the end for the session, is seen to when no event waits: nobody waits for a close as
 * others do for their bytes, and it is a third of the work of a short session.
 */
import { EAGAIN, ECONNRESET } from '../linux/constants.ts';
import type { Pipe } from '../linux/pipes.ts';
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, type EventHandler } from '../linux/reactor.ts';
import { Memory, receive, send, sendLast, setNoDelay, shutdownWrite } from '../linux/tcp.ts';
import { chunkBytes, headerRoom, type RelayIo, slotBytes } from './relay-io.ts';

/** What a session's sides ask of their session. */
export interface RelayOwner {
  /** Both sockets are connected: bytes may flow. */
  readonly relaying: boolean;
  /** Events while bytes may not flow yet. */
  onEarlyEvents(side: Relay, events: number): void;
  /** `count` bytes were read on `side`. */
  onBytes(side: Relay, count: number): void;
  /** `side` came to its end and the other side has been told. */
  onHalfClosed(side: Relay): void;
  /** Both directions are finished. */
  onFinished(): void;
  /** `side` broke: its peer reset the connection or is gone. */
  onBroken(side: Relay, errno: number): void;
}

const EPOLLPRI = 0x002;
/** What every socket of a session is watched for. */
export const relayEvents: number = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;

/** A read of this size counts as bulk; the second in a row turns to splice, and smaller ones turn back. */
const bulkBytes = 32768;
const bulkReads = 2;
/** Reads in a row from one socket before others get their turn. */
const readsPerTurn = 16;

export class Relay implements EventHandler {
  /** -1 until connected and after the end. */
  fd = -1;
  other!: Relay;
  /** Bytes read. */
  bytes = 0;
  /** The peer's FIN was read: there is nothing more to read. */
  eof = false;
  /** All that was read is written, and the other side was told the end (or is broken). */
  finished = false;
  /** Whether TCP_NODELAY is set, by us or inherited from the listening socket. */
  noDelay = false;
  readonly #owner: RelayOwner;
  readonly #io: RelayIo;
  /** The peer reset the connection, found while writing to it. */
  broken = false;
  /** A FIN or an error was reported: no further event says that there is something to read. */
  hangUp = false;
  /**
   * The FIN was reported, and neither an error nor urgent data with it: everything before it is in the queue, so a short
   * read is the last. (tcp_recvmsg stops short of the queue's end only at an urgent mark.)
   */
  #drainable = false;
  /** Urgent data came: reads end at its mark though there is more, and splice cannot pass it. Stays so. */
  #urgent = false;
  #pending: Memory | undefined;
  #pendingAt = 0;
  #pipe: Pipe | undefined;
  /** Bytes in the slot at `#slotAt`, which are to be written before any other. */
  #slotLength = 0;
  #slotAt = 0;
  #bulk = 0;
  #sent = false;
  #deferred = false;
  #ending = false;

  constructor(owner: RelayOwner, io: RelayIo) {
    this.#owner = owner;
    this.#io = io;
  }

  /** Whether bytes wait for the other socket to take them. */
  get blocked(): boolean {
    return this.#pending !== undefined || (this.#pipe !== undefined && this.#pipe.filled > 0);
  }

  /** How many bytes do. */
  get waiting(): number {
    return (this.#pending === undefined ? 0 : this.#pending.bytes.length - this.#pendingAt) + (this.#pipe?.filled ?? 0);
  }

  onEvents(events: number): void {
    if ((events & EPOLLPRI) !== 0) this.#urgent = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) {
      this.hangUp = true;
      this.#drainable = (events & (EPOLLERR | EPOLLPRI)) === 0;
    }
    if (!this.#owner.relaying) {
      this.#owner.onEarlyEvents(this, events);
      // A member that speaks first: its bytes may be reported with the connection itself, and an edge comes once.
      if (!this.#owner.relaying) return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) {
      if (this.eof && (events & EPOLLERR) !== 0) {
        // All was passed on, both ways.
        if (this.#ending && (this.other.#ending || this.other.finished)) return;
        // Closed in full after its FIN: what still comes for it has no taker. What it sent before may be on its way still.
        if (this.blocked) {
          this.broken = true;
          this.other.release();
        } else this.#owner.onBroken(this, ECONNRESET);
        return;
      }
      if (this.hangUp || this.#bulk > 0 || this.#urgent || this.blocked) this.pump();
      else this.#io.collect(this);
    }
    if ((events & EPOLLOUT) !== 0 && this.other.blocked) this.other.pump();
  }

  /**
   * The first bytes to the other side: `header` bytes that stand at the end of the header room, and what the client has sent
   * by now, in one send. The header leaves at once when there is nothing else, for protocols in which the server speaks
   * first.
   */
  begin(header: number): void {
    const { memory } = this.#io;
    const at = headerRoom - header;
    let length = header;
    let full = false;
    const count = receive(this.fd, memory.address + headerRoom, chunkBytes);
    if (count > 0) {
      length += count;
      this.bytes += count;
      this.#owner.onBytes(this, count);
      full = count === chunkBytes;
    } else if (count === 0) this.eof = true;
    else if (count !== -EAGAIN) {
      this.#owner.onBroken(this, -count);
      return;
    }
    if (length > 0 && !this.#write(memory, at, length, false)) return;
    // What was reported before bytes might flow is not reported again.
    if (full || this.eof || this.hangUp || this.#urgent) this.pump();
  }

  /** Moves bytes until the socket has no more, the other takes no more, or it is others' turn. */
  pump(): void {
    this.#deferred = false;
    if (this.finished || !this.#owner.relaying) return;
    if (this.#slotLength > 0 && !this.#flushSlot()) return;
    for (let reads = 0; reads < readsPerTurn; reads++) {
      if (this.blocked && !this.#flush()) return;
      if (this.eof) {
        if (!this.#ending) this.#io.endLater(this);
        this.#ending = true;
        return;
      }
      if (this.#bulk >= bulkReads ? !this.#splice() : !this.#copy()) return;
    }
    if (this.#deferred) return;
    this.#deferred = true;
    this.#io.defer(this);
  }

  /** Reads a message into the slot at `at`; what brings none is seen to at once. */
  readSlot(at: number): void {
    if (this.finished || !this.#owner.relaying) return;
    if (this.blocked || this.eof) {
      this.pump();
      return;
    }
    const count = receive(this.fd, this.#io.slots.address + at, slotBytes);
    if (count <= 0) {
      if (this.#readNothing(count)) this.pump();
      return;
    }
    this.bytes += count;
    this.#slotAt = at;
    this.#slotLength = count;
    this.#owner.onBytes(this, count);
  }

  /** Writes what `readSlot` read, if anything. */
  writeSlot(): void {
    const length = this.#slotLength;
    if (length === 0 || !this.#flushSlot()) return;
    if (length === slotBytes || this.hangUp) this.pump();
  }

  /** Lets go of chunk and pipe; the descriptor is the session's to close. */
  release(): void {
    this.#pending = undefined;
    this.#slotLength = 0;
    if (this.#pipe !== undefined) this.#io.pipes.release(this.#pipe);
    this.#pipe = undefined;
    this.finished = true;
  }

  /** One read and one write through memory. False when this turn is over. */
  #copy(): boolean {
    const { memory } = this.#io;
    const count = receive(this.fd, memory.address + headerRoom, chunkBytes);
    if (count <= 0) return this.#readNothing(count);
    this.bytes += count;
    this.#owner.onBytes(this, count);
    this.#bulk = count >= bulkBytes ? this.#bulk + 1 : 0;
    const short = count < chunkBytes;
    const last = short && this.#drainable;
    if (last) this.eof = true;
    if (!this.#write(memory, headerRoom, count, last)) return false;
    // The kernel keeps these bytes back for their FIN.
    if (last) this.endNow();
    if (last) return false;
    return !short || this.hangUp || this.#urgent;
  }

  /** One splice into the pipe and one out of it. False when this turn is over. */
  #splice(): boolean {
    if (this.#urgent) return this.#copy();
    this.#pipe ??= this.#io.pipes.acquire();
    const pipe = this.#pipe;
    if (pipe === undefined) return this.#copy();
    const count = pipe.fill(this.fd);
    // The end of the stream, or an urgent mark not reported yet: recv tells them apart.
    if (count === 0) return this.#copy();
    if (count < 0) return this.#readNothing(count);
    this.bytes += count;
    this.#owner.onBytes(this, count);
    if (count < bulkBytes) this.#bulk = 0;
    return this.#flush();
  }

  /** After a read that brought nothing. False when this turn is over. */
  #readNothing(result: number): boolean {
    if (result === 0) {
      this.eof = true;
      return true;
    }
    this.#releasePipe();
    // Nothing more comes from one that could not be written to.
    if (result !== -EAGAIN || this.broken) this.#owner.onBroken(this, -result);
    return false;
  }

  /** Writes from shared memory and keeps what is not taken. False when something is left or the other side is gone. */
  #write(memory: Memory, at: number, length: number, last: boolean): boolean {
    this.#prepareSend();
    const address = memory.address + at;
    let sent = last ? sendLast(this.other.fd, address, length) : send(this.other.fd, address, length);
    if (sent === length) return true;
    if (sent < 0) {
      if (sent !== -EAGAIN) return this.#writeFailed(-sent);
      sent = 0;
    }
    this.#pending = Memory.of(memory.bytes.subarray(at + sent, at + length));
    this.#pendingAt = 0;
    return false;
  }

  /** False when something is left or the other side is gone. */
  #flushSlot(): boolean {
    const length = this.#slotLength;
    this.#slotLength = 0;
    return this.#write(this.#io.slots, this.#slotAt, length, false);
  }

  /** Nagle's algorithm holds back nothing of a first send, so a session of one request never pays for switching it off. */
  #prepareSend(): void {
    if (this.#sent && !this.other.noDelay) {
      setNoDelay(this.other.fd);
      this.other.noDelay = true;
    }
    this.#sent = true;
  }

  /** Writes what was kept. False when something is left or the other side is gone. */
  #flush(): boolean {
    this.#prepareSend();
    const pending = this.#pending;
    if (pending !== undefined) {
      const left = pending.bytes.length - this.#pendingAt;
      const sent = send(this.other.fd, pending.address + this.#pendingAt, left);
      if (sent < 0) return sent === -EAGAIN ? false : this.#writeFailed(-sent);
      this.#pendingAt += sent;
      if (sent < left) return false;
      this.#pending = undefined;
    }
    const pipe = this.#pipe;
    if (pipe !== undefined && pipe.filled > 0) {
      const sent = pipe.drain(this.other.fd);
      if (sent < 0) return sent === -EAGAIN ? false : this.#writeFailed(-sent);
      if (pipe.filled > 0) return false;
    }
    if (pipe !== undefined && this.#bulk < bulkReads) this.#releasePipe();
    return true;
  }

  #releasePipe(): void {
    if (this.#pipe === undefined) return;
    this.#io.pipes.release(this.#pipe);
    this.#pipe = undefined;
  }

  /** All that was read is written: the other side is told the end, or both sides are at theirs. */
  endNow(): void {
    if (this.finished || !this.#owner.relaying) return;
    this.release();
    if (this.other.finished) {
      this.#owner.onFinished();
      return;
    }
    shutdownWrite(this.other.fd);
    this.#owner.onHalfClosed(this);
  }

  /** The other side takes no more. What it sent before it broke is still delivered here. Always false. */
  #writeFailed(errno: number): false {
    this.release();
    const { other } = this;
    other.broken = true;
    if (!other.finished) {
      other.hangUp = true;
      other.pump();
    }
    // What takes it longer is gone on with, and comes to its end by itself.
    if (this.#owner.relaying && !other.blocked && !other.#deferred) this.#owner.onBroken(other, errno);
    return false;
  }
}
