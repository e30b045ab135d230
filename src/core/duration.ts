import { ValueError } from './errors.ts';

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const unitBytes: Record<string, number> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/**
 * Reads `500ms`, `2s`, `5m`, `1h`, `1d` and sums of these (`1h30m`) to milliseconds.
 * @throws {ValueError}
 */
export function parseDuration(text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text)) {
    throw new ValueError(`"${text}" is no duration; write for example 500ms, 2s, 5m, 1h or 1d`);
  }
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) sum += Number(count) * unitMs[unit!]!;
  if (sum > Number.MAX_SAFE_INTEGER) throw new ValueError(`"${text}" is longer than any duration`);
  return sum;
}

/** Writes milliseconds the way `parseDuration` reads them, in the largest unit that divides them. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  for (const unit of ['d', 'h', 'm', 's']) {
    if (ms % unitMs[unit]! === 0) return `${ms / unitMs[unit]!}${unit}`;
  }
  return `${ms}ms`;
}

/**
 * Reads `512`, `64k`, `16m`, `1g` to bytes.
 * @throws {ValueError}
 */
export function parseSize(text: string): number {
  const match = /^(\d+)([kmg]?)$/i.exec(text);
  if (match === null) throw new ValueError(`"${text}" is no size; write for example 64k, 16m or 1g`);
  const bytes = Number(match[1]) * unitBytes[match[2]!.toLowerCase()]!;
  if (bytes > Number.MAX_SAFE_INTEGER) throw new ValueError(`"${text}" is larger than any size`);
  return bytes;
}
