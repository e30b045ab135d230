/**
 * Pipes as the buffer of a splice(2) from socket to socket: bytes stay in the kernel.
 *
 * Making and sizing a pipe costs three calls, so used ones are kept. All of one user's pipes share
 * /proc/sys/fs/pipe-user-pages-soft (64 MiB as a rule), which bounds how many large ones make sense.
 */
import { closeFd, kernelBuffer, libcCall, orErrno } from './libc.ts';

const F_SETPIPE_SZ = 1031;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;

const pipe2Call = libcCall<(fds: Uint8Array, flags: number) => number>('int pipe2(void *fds, int flags)');
const fcntlCall = libcCall<(fd: number, command: number, value: number) => number>(
  'int fcntl(int fd, int command, int value)',
);
const spliceCall = libcCall<
  (from: number, fromOffset: number, to: number, toOffset: number, length: number, flags: number) => number
>('int64 splice(int from, size_t fromOffset, int to, size_t toOffset, size_t length, uint flags)');

/** A pipe between two sockets; `filled` bytes are in it. */
export class Pipe {
  readonly readFd: number;
  readonly writeFd: number;
  readonly capacity: number;
  filled = 0;

  constructor(readFd: number, writeFd: number, capacity: number) {
    this.readFd = readFd;
    this.writeFd = writeFd;
    this.capacity = capacity;
  }

  /** Moves what a socket has received into the pipe, which must be empty. Bytes moved, 0 at the end of the stream, or -errno. */
  fill(socket: number): number {
    const result = orErrno(spliceCall(socket, 0, this.writeFd, 0, this.capacity, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
    if (result > 0) this.filled += result;
    return result;
  }

  /** Moves what is in the pipe to a socket. Bytes moved or -errno. */
  drain(socket: number): number {
    const result = orErrno(spliceCall(this.readFd, 0, socket, 0, this.filled, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
    if (result > 0) this.filled -= result;
    return result;
  }
}

/** Hands out pipes and keeps those that come back empty. */
export class PipePool {
  readonly #idle: Pipe[] = [];
  readonly #fds = kernelBuffer(8);
  readonly #limit: number;
  readonly #bytes: number;
  #open = 0;

  /** @param limit pipes open at once  @param bytes wanted size of each */
  constructor(limit: number, bytes: number) {
    this.#limit = limit;
    this.#bytes = bytes;
  }

  /** Pipes that exist, lent or idle. */
  get open(): number {
    return this.#open;
  }

  /** An empty pipe, or undefined when the limit is reached or the kernel gives none: copy through memory then. */
  acquire(): Pipe | undefined {
    const kept = this.#idle.pop();
    if (kept !== undefined) return kept;
    if (this.#open >= this.#limit) return undefined;
    if (pipe2Call(this.#fds, O_NONBLOCK | O_CLOEXEC) < 0) return undefined;
    const readFd = this.#fds.readInt32LE(0);
    const writeFd = this.#fds.readInt32LE(4);
    // Past the user's page limit the kernel refuses; the pipe then keeps its default of 64 KiB or less.
    const sized = orErrno(fcntlCall(writeFd, F_SETPIPE_SZ, this.#bytes));
    this.#open++;
    return new Pipe(readFd, writeFd, sized > 0 ? sized : 65536);
  }

  /** Takes a pipe back; one that still holds bytes is closed with them. */
  release(pipe: Pipe): void {
    if (pipe.filled === 0) this.#idle.push(pipe);
    else this.#close(pipe);
  }

  /** Closes the idle pipes; those lent are their holders' to release first. */
  close(): void {
    for (let pipe = this.#idle.pop(); pipe !== undefined; pipe = this.#idle.pop()) this.#close(pipe);
  }

  #close(pipe: Pipe): void {
    closeFd(pipe.readFd);
    closeFd(pipe.writeFd);
    this.#open--;
  }
}
