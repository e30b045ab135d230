/**
 * Whether the kernel holds the system clock to be synchronised (adjtimex(2)).
 *
 *   struct timex   u32 modes · 4 pad · i64 offset · i64 freq · i64 maxerror · i64 esterror · i32 status · …, 208 bytes
 */
import { existsSync } from 'node:fs';
import { kernelBuffer, libcCall, orErrno } from './libc.ts';

const timexBytes = 208;
const statusAt = 4 + 4 + 4 * 8;
const STA_UNSYNC = 0x40;
/** systemd-timesyncd(8) makes the file when it has set the clock. */
const timesyncFolder = '/run/systemd/timesync';

const adjtimexCall = libcCall<(state: Uint8Array) => number>('int adjtimex(void *state)');

/** Undefined where nobody says: a sandbox without @clock may not ask the kernel. */
export function isClockSynchronised(): boolean | undefined {
  const state = kernelBuffer(timexBytes);
  if (orErrno(adjtimexCall(state)) >= 0) return (state.readInt32LE(statusAt) & STA_UNSYNC) === 0;
  return existsSync(timesyncFolder) ? existsSync(`${timesyncFolder}/synchronized`) : undefined;
}
