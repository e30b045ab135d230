/**
 * Where lines of the log go: they gather in memory and leave many in one write, at once where the kernel takes a write without
 * waiting, and through libuv's threads otherwise, so that a slow reader of the log never holds traffic up. Beyond a bound lines
 * are dropped and counted.
 *
 * Writes of several threads stay apart because the kernel takes each whole: up to PIPE_BUF bytes into a pipe (pipe(7)), one
 * socket buffer into the journal's stream socket.
 */
import { fstatSync, writeSync } from 'node:fs';
import { pino } from 'pino';
import { errorCode } from '../core/errors.ts';
import { appendNow } from '../linux/append.ts';
import { EAGAIN } from '../linux/constants.ts';
import { Memory } from '../linux/tcp.ts';

/** PIPE_BUF on Linux. */
const pipeWriteBytes = 4096;
const otherWriteBytes = 16_384;
/** How long a line waits for others. */
const flushAfterMs = 100;
/** How long the end of a thread waits for a reader of the log. */
const drainMs = 500;
/** Lines kept for a reader that does not read. */
const maxBufferedBytes = 1024 * 1024;
/** The most that UTF-8 makes of a UTF-16 unit. */
const maxUnitBytes = 3;
const newline = 0x0a;
/** Between tries of a write at the end. */
const pauseMs = 10;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** libuv's way to the file. Its type knows of strings alone. */
interface Background {
  write(bytes: Uint8Array): boolean;
  flushSync(): void;
  once(event: 'drain', run: () => void): void;
  on(event: 'drop', run: (bytes: Uint8Array) => void): void;
  on(event: 'error' | 'drain', run: () => void): void;
}

export class LogWriter {
  readonly #fd: number;
  readonly #gathered: Memory;
  #length = 0;
  #timer = false;
  #background: Background | undefined;
  /** The background has bytes in hand: what comes goes behind them. */
  #busy = false;
  #direct = true;
  #dropped = 0;

  constructor(fd: number) {
    this.#fd = fd;
    this.#gathered = Memory.make(fstatSync(fd).isFIFO() ? pipeWriteBytes : otherWriteBytes);
  }

  /** Lines dropped because nobody read. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @param line with the newline at its end */
  write(line: string): void {
    const { bytes } = this.#gathered;
    if (this.#length + line.length * maxUnitBytes > bytes.length) {
      const length = Buffer.byteLength(line);
      if (this.#length + length > bytes.length) this.#leave();
      if (length > bytes.length) {
        this.#hand(Buffer.from(line));
        return;
      }
    }
    this.#length += bytes.write(line, this.#length);
    // Only while something waits: a timer that runs all the time would wake an idle thread ten times a second.
    if (this.#timer) return;
    this.#timer = true;
    setTimeout(() => {
      this.#timer = false;
      this.#leave();
    }, flushAfterMs).unref();
  }

  /** Writes what is gathered, at once; for the end of a thread, after which lines would be lost. */
  flush(): void {
    try {
      if (this.#busy) {
        this.#leave();
        this.#background?.flushSync();
      } else writeAll(this.#fd, this.#take());
    } catch {
      this.#dropped++;
    }
  }

  /** Resolves when every line is with the kernel, also one that a background write has in hand, or after a moment if nobody reads. */
  async drain(): Promise<void> {
    this.#leave();
    if (this.#busy) {
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, drainMs);
        this.#background?.once('drain', () => {
          clearTimeout(late);
          resolve();
        });
      });
    }
    this.flush();
  }

  #leave(): void {
    if (this.#length === 0) return;
    const left = this.#take();
    if (left.length > 0) this.#hand(left);
  }

  /** Writes what can be written without waiting; a copy of what is left. */
  #take(): Buffer {
    const length = this.#length;
    this.#length = 0;
    let taken = 0;
    if (length > 0 && this.#direct && !this.#busy) {
      taken = appendNow(this.#fd, this.#gathered, length);
      if (taken < 0 && taken !== -EAGAIN) this.#direct = false;
      taken = Math.max(0, taken);
    }
    return Buffer.from(this.#gathered.bytes.subarray(taken, length));
  }

  #hand(bytes: Buffer): void {
    this.#background ??= this.#openBackground();
    this.#busy = true;
    this.#background.write(bytes);
  }

  #openBackground(): Background {
    const background = pino.destination({
      fd: this.#fd,
      contentMode: 'buffer',
      sync: false,
      maxWrite: this.#gathered.bytes.length,
      maxLength: maxBufferedBytes,
    }) as unknown as Background;
    background.on('drain', () => {
      this.#busy = false;
    });
    background.on('drop', (bytes) => {
      for (const byte of bytes) if (byte === newline) this.#dropped++;
    });
    // A reader that went away (EPIPE) is no reason to stop serving.
    background.on('error', () => {
      this.#dropped++;
    });
    return background;
  }
}

/** Waits for the reader, if the file is one that waits; for a moment otherwise. */
function writeAll(fd: number, bytes: Buffer): void {
  let left = bytes;
  for (let waited = 0; left.length > 0; ) {
    try {
      left = left.subarray(writeSync(fd, left));
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN' || waited >= drainMs) throw error;
      Atomics.wait(pause, 0, 0, pauseMs);
      waited += pauseMs;
    }
  }
}
