/**
 * What a start leaves behind: modules that ran once, a configuration as text and as trees, code that V8 made for both. V8 collects
 * when it needs room; a daemon that then does little never does, and holds some 15 MB that nothing refers to. So each thread
 * collects once, a moment after it serves, when that costs no client anything.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock, Timer } from '../core/clock.ts';
import { trimAllocator } from '../linux/allocator.ts';

/** First checks, advertisements and zone transfers have come and gone by then. */
const settleAfterMs = 2_000;

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/** Collects the calling thread's garbage once it has served for a moment. */
export function settleLater(clock: Clock): Timer {
  return clock.after(settleAfterMs, settle);
}

/** Collects the calling thread's garbage, some 10 ms, and gives the kernel back what was freed. */
export function settle(): void {
  // V8 hands its collector to contexts made while the flag is on; there is no other way to it at run time. Flags are the
  // process's, and other threads settle at the same moment: one that switched it off again would take it from them.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('globalThis.gc') as Collect | undefined;
  collect?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  trimAllocator();
}
