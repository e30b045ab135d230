/** What every part of the DNS benchmarks is given. */
import type { BenchOptions } from '../options.ts';
import type { Cores } from '../process.ts';
import type { Results } from '../table.ts';

export interface Bench extends BenchOptions {
  /** A folder for the run, on the disk that the servers' data would be on. */
  readonly dir: string;
  /** The compiled load.c of this folder. */
  readonly load: string;
  readonly cores: Cores;
  readonly results: Results;
  /** Whether a peer is installed. */
  has(peer: string): boolean;
  say(line: string): void;
}
