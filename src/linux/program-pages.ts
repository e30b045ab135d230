/**
 * What a process has in memory of its program's files: instructions and constants, mapped from the executable and its libraries.
 *
 * These pages are the page cache's; a process that needs one again takes a minor fault. Under memory pressure the kernel takes
 * them away by itself. `releaseProgramPages` does so at a moment of the caller's choice (madvise(2), MADV_DONTNEED).
 *
 * A page of a private mapping that was written to (the loader relocates some) is the process's only copy, and MADV_DONTNEED
 * throws it away. So a mapping is left alone when it may be written to, and when the kernel says that a page of it is
 * anonymous, in memory or in swap. `Private_Dirty` says less: it has pages of a file that is not yet on its disk, too.
 */
import { readFileSync } from 'node:fs';
import { libcCall, orErrno } from './libc.ts';

const MADV_DONTNEED = 4;

const madviseCall = libcCall<(address: number, length: number, advice: number) => number>(
  'int madvise(uintptr_t address, size_t length, int advice)',
);

/** A range of the address space, mapped from a file. */
export interface ProgramMapping {
  readonly start: number;
  readonly length: number;
  readonly file: string;
  /** Bytes of it in this process's memory. */
  readonly resident: number;
}

/**
 * Private mappings that nobody may write to and whose every page is its file's, from the text of /proc/PID/smaps
 * (proc_pid_smaps(5)).
 */
export function programMappings(smaps: string): ProgramMapping[] {
  const found: ProgramMapping[] = [];
  // 00400000-01b2e000 r-xp 00000000 fe:00 1234   /usr/lib/v6edge/bin/node
  const header = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [1-9][0-9]* +(\/.*)$/gm;
  for (const { 0: line, 1: from, 2: to, 3: file, index } of smaps.matchAll(header)) {
    const next = smaps.indexOf('\nVmFlags:', index);
    const fields = smaps.slice(index + line.length, next < 0 ? index : next);
    const resident = field(fields, 'Rss');
    if (resident === undefined || field(fields, 'Anonymous') !== 0 || field(fields, 'Swap') !== 0) continue;
    const start = Number.parseInt(from!, 16);
    found.push({ start, length: Number.parseInt(to!, 16) - start, file: file!, resident });
  }
  return found;
}

/**
 * Takes the program's pages out of this process; those that are used come back from the page cache, or from disk.
 * @returns how many bytes were taken out; 0 where the kernel does not tell what a page is (CONFIG_PROC_PAGE_MONITOR)
 */
export function releaseProgramPages(): number {
  let smaps: string;
  try {
    smaps = readFileSync('/proc/self/smaps', 'latin1');
  } catch {
    return 0;
  }
  let released = 0;
  for (const { start, length, resident } of programMappings(smaps)) {
    // EINVAL: it is locked into memory, somebody wants it there.
    if (orErrno(madviseCall(start, length, MADV_DONTNEED)) === 0) released += resident;
  }
  return released;
}

/** A field's value, bytes; undefined when it is not there. */
function field(fields: string, name: string): number | undefined {
  const at = fields.indexOf(`\n${name}:`);
  return at < 0 ? undefined : Number.parseInt(fields.slice(at + name.length + 2), 10) * 1024;
}
