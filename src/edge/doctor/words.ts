/** Words that findings share. */
import { formatAge } from '../cli/table.ts';

/** `3 times`, `once`. */
export function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

/** `3m 2s ago`. @param now and then wall-clock milliseconds */
export function ago(now: number, then: number): string {
  return now - then < 1000 ? 'just now' : `${formatAge(now - then)} ago`;
}

/** `412 s behind ours`. */
export function clockOffset(behindSeconds: number): string {
  return `${Math.abs(behindSeconds)} s ${behindSeconds > 0 ? 'behind' : 'ahead of'} ours`;
}
