/**
 * A file of the write-ahead log that is written past the page cache (O_DIRECT), in whole blocks: by the kernel itself where it can
 * do so without waiting, else by Node.js's thread pool. What a block had before is written with it once more, from memory,
 * as the page cache would; behind the newest record a block is zero.
 */
import { close, constants, open, read, write } from 'node:fs';
import { promisify } from 'node:util';
import { isMainThread } from 'node:worker_threads';
import { assert } from '../core/errors.ts';
import { AsyncWriter, BLOCK_BYTES } from '../linux/aio.ts';
import { EAGAIN, EIO } from '../linux/constants.ts';
import { SystemError } from '../linux/errors.ts';
import type { WalFile } from './wal-files.ts';
import { MAX_PAYLOAD, recordOctets } from './wal-format.ts';

const openFile = promisify(open);
const closeFile = promisify(close);
const readFile = promisify(read);
/** A record may begin at the end of a block. */
const MEMORY = BLOCK_BYTES + blocks(recordOctets(MAX_PAYLOAD));

/**
 * Opens a file that has its size and all its blocks; undefined where it cannot be written so: tmpfs of older kernels, some network and
 * copy-on-write file systems, no asynchronous I/O for this process. Its first block is zero then.
 */
export async function openDirect(path: string): Promise<WalFile | undefined> {
  if (!isMainThread) return undefined;
  let fd: number | undefined;
  let file: DirectFile | undefined;
  try {
    fd = await openFile(path, constants.O_RDWR | constants.O_DSYNC | constants.O_DIRECT);
    file = new DirectFile(fd);
    // Some open the file, and refuse the write.
    const direct = file;
    if (await direct.tries()) {
      return { write: (octets, position) => direct.write(octets, position), close: () => direct.close() };
    }
  } catch {
    // Whatever is wrong with it, the other way says so if it is wrong there as well.
  }
  if (file !== undefined) await file.close();
  else if (fd !== undefined) await closeFile(fd);
  return undefined;
}

class DirectFile {
  readonly #fd: number;
  readonly #writer: AsyncWriter;
  /** Where in the file the memory begins, and how many octets of it are what stands there. */
  #at = 0;
  #known = 0;

  constructor(fd: number) {
    this.#fd = fd;
    this.#writer = new AsyncWriter(fd, MEMORY);
  }

  /** Whether the kernel itself writes. */
  tries(): Promise<boolean> {
    return new Promise((resolve) => {
      const started = this.#writer.write(BLOCK_BYTES, 0, (result) => resolve(result === BLOCK_BYTES));
      if (started < 0) resolve(false);
    });
  }

  async write(octets: Uint8Array, position: number): Promise<void> {
    if (position % BLOCK_BYTES === 0) {
      this.#at = position;
      this.#known = 0;
    }
    const { bytes } = this.#writer;
    if (position < this.#at || position > this.#at + this.#known) await this.#recall(position);
    const from = position - this.#at;
    const end = from + octets.length;
    assert(end <= bytes.length, 'a record fits');
    // From here on there is something else behind it, on disk or not.
    this.#known = from;
    bytes.set(octets, from);
    bytes.fill(0, end, blocks(end));
    await this.#write(blocks(end), this.#at);
    const last = end - (end % BLOCK_BYTES);
    if (last > 0) bytes.copyWithin(0, last, end);
    this.#at += last;
    this.#known = end - last;
  }

  async close(): Promise<void> {
    this.#writer.close();
    await closeFile(this.#fd);
  }

  /** Takes up what stands in a position's block. */
  async #recall(position: number): Promise<void> {
    const { bytes } = this.#writer;
    this.#at = position - (position % BLOCK_BYTES);
    await readFile(this.#fd, bytes, 0, BLOCK_BYTES, this.#at);
    this.#known = BLOCK_BYTES;
  }

  #write(length: number, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const ended = (result: number): void => {
        if (result === length) resolve();
        else if (result === -EAGAIN) byPool();
        // All blocks are there: a write that is cut short met a fault.
        else reject(new SystemError('io_submit', result < 0 ? -result : EIO));
      };
      const byPool = (): void =>
        write(this.#fd, this.#writer.bytes, 0, length, position, (error, written) => {
          if (error !== null) reject(error);
          else ended(written);
        });
      const started = this.#writer.write(length, position, ended);
      if (started < 0) byPool();
    });
  }
}

function blocks(octets: number): number {
  return Math.ceil(octets / BLOCK_BYTES) * BLOCK_BYTES;
}
