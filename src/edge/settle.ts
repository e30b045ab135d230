/**
 * What a start, or an hour of load, leaves behind: modules that ran once, a configuration as text and as trees, code that V8
 * made for both, pages of the program that only they needed. V8 collects when it needs room; a daemon that then does little
 * never does, and holds some 15 MB that nothing refers to. So each thread collects a moment after it serves, once more in the first
 * quiet minute (what is done every second has run often enough by then to be compiled), and again in the first quiet minute after
 * it has worked or its heap has grown (ten thousand sessions that came and went are less than a second of work and leave 20 MB);
 * never under load, when it would cost clients time.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock, Timer } from '../core/clock.ts';
import { trimAllocator } from '../linux/allocator.ts';
import { releaseProgramPages } from '../linux/program-pages.ts';

/** First checks, advertisements and zone transfers have come and gone by then. */
const settleAfterMs = 2_000;
/** The control thread comes behind the data threads: their collectors use the program too. */
const behindMs = 1_000;
/** From a settling of the process until what comes behind it is given back. */
const behindSettlingMs = 8_500;
const lookMs = 60_000;
/** CPU time between two looks, microseconds: a minute with less is quiet (1 % of a core). */
const quietMicros = 600_000;
/** So much work leaves something behind that is worth another collection. */
const workMicros = 1_000_000;
/** Less of it does when the heap has grown by so much since. At rest it does by 1 or 2 MiB, for new objects. */
const growthMicros = 200_000;
const growthOctets = 4 * 1024 * 1024;

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/** What settles: a data thread by itself, the control thread for the whole process. */
export interface Settling {
  readonly afterMs: number;
  /** CPU time used so far, microseconds. */
  readonly cpuMicros: () => number;
  /** Memory of the thread's heap, free room in it included. */
  readonly heapOctets: () => number;
  readonly settle: () => void;
}

/** The calling thread. */
export const threadSettling: Settling = {
  afterMs: settleAfterMs,
  cpuMicros: () => sum(process.threadCpuUsage()),
  heapOctets: threadHeap,
  settle,
};

/** The calling thread, and what all threads share: nothing while one of them works. */
export const processSettling: Settling = {
  afterMs: settleAfterMs + behindMs,
  cpuMicros: () => sum(process.cpuUsage()),
  heapOctets: threadHeap,
  settle() {
    settle();
    releaseProgramPages();
    setTimeout(settleBehind, behindSettlingMs).unref();
  },
};

/** Settles once things have started, and after that in quiet minutes behind work. */
export function settleInTime(clock: Clock, { afterMs, cpuMicros, heapOctets, settle }: Settling): Timer {
  let settledAt = 0;
  let settledTo = 0;
  let seenAt = 0;
  let hasRested = false;
  const settleNow = () => {
    settle();
    settledAt = cpuMicros();
    settledTo = heapOctets();
    seenAt = settledAt;
  };
  const isWorthIt = (micros: number) =>
    micros >= workMicros || (micros >= growthMicros && heapOctets() - settledTo >= growthOctets);
  const look = () => {
    timer = clock.after(lookMs, look);
    const now = cpuMicros();
    const isQuiet = now - seenAt < quietMicros;
    seenAt = now;
    if (!isQuiet || (hasRested && !isWorthIt(now - settledAt))) return;
    hasRested = true;
    settleNow();
  };
  let timer = clock.after(afterMs, () => {
    timer = clock.after(lookMs, look);
    settleNow();
  });
  return { cancel: () => timer.cancel() };
}

/** Collects the calling thread's garbage, some 15 ms, and gives the kernel back what was freed. */
export function settle(): void {
  // V8 hands its collector to contexts made while the flag is on; there is no other way to it at run time. Flags are the
  // process's, and other threads settle at the same moment: one that switched it off again would take it from them.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('globalThis.gc') as Collect | undefined;
  // Bytecode goes as well: most of it ran once, and what runs again is compiled again, some 2 ms for the first query. Otherwise
  // V8 forgets what six collections found unused, and an idle daemon has none. A thread that collects meanwhile does the same.
  setFlagsFromString('--stress-flush-code');
  collect?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  setFlagsFromString('--no-stress-flush-code');
  trimAllocator();
}

/**
 * What V8's own threads free for us comes behind, the heap of a thread that has ended stays for 8 s, and what is done every
 * second is compiled anew, by compilers that are 13 MB of program.
 */
function settleBehind(): void {
  trimAllocator();
  releaseProgramPages();
}

function threadHeap(): number {
  return getHeapStatistics().total_physical_size;
}

function sum({ user, system }: { user: number; system: number }): number {
  return user + system;
}
