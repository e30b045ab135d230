/** The programs of the benchmarks that are written in C. */
import { spawnSync } from 'node:child_process';
import { basename, join } from 'node:path';

/** Compiles bench/NAME.c into `dir`. Returns the program's path. */
export function compile(dir: string, name: string): string {
  const program = join(dir, basename(name));
  const source = join(import.meta.dirname, `${name}.c`);
  const run = spawnSync('cc', ['-O2', '-Wall', '-o', program, source, '-lm'], { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`cc: ${run.error?.message ?? run.stderr}`);
  return program;
}
