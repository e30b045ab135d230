/** The files under a write-ahead log: what the log needs of the system, so that a test can end the process at each step. */
import { close, closeSync, constants, fsyncSync, ftruncateSync, open, openSync, write } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { dropPages } from '../linux/aio.ts';
import { openDirect } from './wal-direct.ts';

/** One open file. */
export interface WalFile {
  /** Writes at a position; resolves when it is on disk. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

export interface WalFiles {
  /** Opens a file and gives it its size, its name and its blocks on disk; what it holds is then as good as random. */
  open(path: string, octets: number): Promise<WalFile>;
}

const openFile = promisify(open);
const closeFile = promisify(close);
const MODE = 0o640;

/**
 * Files that are written with O_DSYNC. All their blocks are written once before, so a record changes no block map: its
 * octets and one flush of the disk are all that a write waits for. Where it can be done they are written past the page cache
 * (wal-direct.ts), which saves the thread that would wait.
 */
export const durableFiles: WalFiles = {
  async open(path, octets) {
    const fd = await openFile(path, constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC, MODE);
    try {
      ftruncateSync(fd, octets);
      await writeAll(fd, Buffer.alloc(octets), 0);
      syncDirectory(dirname(path));
      dropPages(fd);
      const direct = await openDirect(path);
      if (direct !== undefined) {
        await closeFile(fd);
        return direct;
      }
    } catch (error) {
      await closeFile(fd);
      throw error;
    }
    return { write: (bytes, position) => writeAll(fd, bytes, position), close: () => closeFile(fd) };
  },
};

/** Not node's promises: they cost more than the write. */
function writeAll(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const step = (from: number): void =>
      write(fd, bytes, from, bytes.length - from, position + from, (error, written) => {
        if (error !== null) reject(error);
        else if (from + written < bytes.length) step(from + written);
        else resolve();
      });
    step(0);
  });
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
