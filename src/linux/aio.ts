/**
 * Writes that the kernel makes beside the thread that asked for them (io_submit(2), Linux's own asynchronous I/O), told of by an eventfd(2)
 * that the main thread's loop polls: no thread of a pool is woken for them, nor wakes ours. That holds for files opened with
 * O_DIRECT alone; with RWF_NOWAIT what the kernel could not do without waiting is refused (-EAGAIN) instead.
 *
 *   struct iocb (64)      0 u64 data · 8 u32 key · 12 i32 flags of the write · 16 u16 operation · 18 i16 priority · 20 u32 fd ·
 *                         24 u64 memory · 32 u64 bytes · 40 i64 position · 48 u64 reserved · 56 u32 flags · 60 u32 eventfd
 *   struct io_event (32)  0 u64 data · 8 u64 iocb · 16 i64 result · 24 i64 second result
 */
import { assert } from '../core/errors.ts';
import { check } from './errors.ts';
import { closeFd, libcCall, orErrno } from './libc.ts';
import { Poll } from './poll.ts';
import { Memory } from './tcp.ts';

const fadviseCall = libcCall<(fd: number, from: number, length: number, advice: number) => number>(
  'int posix_fadvise(int fd, int64 from, int64 length, int advice)',
);
const POSIX_FADV_DONTNEED = 4;

/** Takes a file that is on disk out of the page cache, as far as it is there: the kernel writes past none of its pages without waiting. */
export function dropPages(fd: number): void {
  fadviseCall(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/** What O_DIRECT wants of memory, lengths and positions; no device in use has larger blocks. */
export const BLOCK_BYTES = 4096;

// libc has no wrappers for these.
const calls =
  process.arch === 'x64'
    ? { setup: 206, destroy: 207, getEvents: 208, submit: 209 }
    : { setup: 0, destroy: 1, submit: 2, getEvents: 4 };
// Declared as it is used: integers of a variadic call travel like any other on x86-64 and arm64 Linux.
const syscall = libcCall<(call: number, a: number, b: number, c: number, d: number, e: number) => number>(
  'int64 syscall(int64 call, int64 a, int64 b, int64 c, int64 d, int64 e)',
);
const eventfdCall = libcCall<(initial: number, flags: number) => number>('int eventfd(uint initial, int flags)');
const readCall = libcCall<(fd: number, to: number, bytes: number) => number>(
  'int64 read(int fd, size_t to, size_t bytes)',
);

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const IOCB_CMD_PWRITE = 1;
const IOCB_FLAG_RESFD = 1;
const RWF_NOWAIT = 0x08;
const IOCB_BYTES = 64;

// In the memory of a writer.
const contextAt = 0;
const listAt = 8;
const countAt = 16;
const iocbAt = 64;
const eventAt = iocbAt + IOCB_BYTES;
const stateBytes = eventAt + 32;

/** Makes one write at a time; owner of its memory, not of the file. On the main thread. */
export class AsyncWriter {
  /** What is written is put here. */
  readonly bytes: Buffer;
  readonly #memory: Memory;
  readonly #address: number;
  readonly #state = Memory.make(stateBytes);
  readonly #context: number;
  readonly #eventfd: number;
  readonly #poll: Poll;
  #done: ((result: number) => void) | undefined;
  #open = true;

  /**
   * @param fd of a file opened with O_DIRECT
   * @param bytes of memory; a multiple of `BLOCK_BYTES`
   * @throws {SystemError} EAGAIN when there are too many of these in the system (fs.aio-max-nr), ENOSYS or EPERM where there are none
   */
  constructor(fd: number, bytes: number) {
    this.#memory = Memory.make(bytes + BLOCK_BYTES);
    const skip = -this.#memory.address & (BLOCK_BYTES - 1);
    this.bytes = this.#memory.bytes.subarray(skip, skip + bytes);
    this.#address = this.#memory.address + skip;
    const { bytes: state, address } = this.#state;
    check(orErrno(syscall(calls.setup, 1, address + contextAt, 0, 0, 0)), 'io_setup');
    this.#context = Number(state.readBigUInt64LE(contextAt));
    const eventfd = orErrno(eventfdCall(0, EFD_CLOEXEC | EFD_NONBLOCK));
    this.#eventfd = eventfd;
    try {
      check(eventfd, 'eventfd');
      this.#poll = new Poll(eventfd, () => this.#ended());
    } catch (error) {
      if (eventfd >= 0) closeFd(eventfd);
      syscall(calls.destroy, this.#context, 0, 0, 0, 0);
      throw error;
    }
    state.writeBigUInt64LE(BigInt(address + iocbAt), listAt);
    state.writeInt32LE(RWF_NOWAIT, iocbAt + 12);
    state.writeUInt16LE(IOCB_CMD_PWRITE, iocbAt + 16);
    state.writeUInt32LE(fd, iocbAt + 20);
    state.writeBigUInt64LE(BigInt(this.#address), iocbAt + 24);
    state.writeUInt32LE(IOCB_FLAG_RESFD, iocbAt + 56);
    state.writeUInt32LE(eventfd, iocbAt + 60);
  }

  /**
   * Begins to write the first `length` bytes at a position, both multiples of `BLOCK_BYTES`. Returns 0, or -errno, and then nothing
   * is written.
   * @param done told how many bytes were written, or -errno: -EAGAIN as well
   */
  write(length: number, position: number, done: (result: number) => void): number {
    assert(this.#open && this.#done === undefined, 'one write at a time');
    const { bytes, address } = this.#state;
    bytes.writeBigUInt64LE(BigInt(length), iocbAt + 32);
    bytes.writeBigInt64LE(BigInt(position), iocbAt + 40);
    const result = orErrno(syscall(calls.submit, this.#context, 1, address + listAt, 0, 0));
    if (result < 0) return result;
    this.#done = done;
    return 0;
  }

  /** When nothing is being written; the file is closed after this. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poll.close();
    syscall(calls.destroy, this.#context, 0, 0, 0, 0);
    closeFd(this.#eventfd);
  }

  #ended(): void {
    const { bytes, address } = this.#state;
    readCall(this.#eventfd, address + countAt, 8);
    if (orErrno(syscall(calls.getEvents, this.#context, 0, 1, address + eventAt, 0)) < 1) return;
    const done = this.#done;
    this.#done = undefined;
    done?.(Number(bytes.readBigInt64LE(eventAt + 16)));
  }
}
