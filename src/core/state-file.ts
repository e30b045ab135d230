import {
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** A small text file that is whole at any time: written beside, synced, and renamed over the old one. */
export class StateFile {
  readonly path: string;
  readonly #mode: number;

  /** @param mode of the file; 0600 for secrets */
  constructor(path: string, mode = 0o640) {
    this.path = path;
    this.#mode = mode;
  }

  /**
   * What it holds; undefined when there is none yet.
   * @throws the file system's error
   */
  read(): string | undefined {
    try {
      return readFileSync(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /**
   * Replaces it; on disk when this returns.
   * @throws the file system's error; the old file stays
   */
  write(text: string): void {
    const folder = dirname(this.path);
    mkdirSync(folder, { recursive: true });
    const fresh = `${this.path}.new`;
    withFile(fresh, 'w', (fd) => {
      // One that a crash left behind may have another mode.
      fchmodSync(fd, this.#mode);
      // Not writeSync: on a disk that fills it writes what has room, and says so by its result alone.
      writeFileSync(fd, text);
      fsyncSync(fd);
    });
    renameSync(fresh, this.path);
    // The new name, too, has to reach the disk.
    withFile(folder, 'r', fsyncSync);
  }
}

function withFile(path: string, flags: 'r' | 'w', use: (fd: number) => void): void {
  const fd = openSync(path, flags, 0o640);
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}
