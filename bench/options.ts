/** What was asked for on the command line. */
export interface BenchOptions {
  /** Runs that count; one more before them warms up. */
  readonly runs: number;
  /** Length of a run. */
  readonly seconds: number;
  /** Whether a work of this name is to be run. */
  wants(work: string): boolean;
}
