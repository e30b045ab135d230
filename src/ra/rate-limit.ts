/** Token buckets for solicited replies: one for each source, in bounded memory, and one for all together. */
import { interfaceBurst, interfaceRepliesPerSecond, maxSources, sourceBurst, sourceIntervalMs } from './constants.ts';

interface Bucket {
  tokens: number;
  filledAt: number;
}

/** What a solicitation gets: a reply of its own, nothing (its source asks too often), or a share in a multicast. */
export type Verdict = 'reply' | 'drop' | 'multicast';

export class ReplyLimit {
  /** In the order of last use. */
  readonly #sources = new Map<string, Bucket>();
  readonly #all: Bucket = { tokens: interfaceBurst, filledAt: 0 };

  /** @param source any text that is the same for the same source */
  ask(source: string, now: number): Verdict {
    const bucket = this.#sources.get(source) ?? { tokens: sourceBurst, filledAt: now };
    this.#sources.delete(source);
    this.#sources.set(source, bucket);
    if (this.#sources.size > maxSources) this.#sources.delete(this.#sources.keys().next().value!);
    if (!take(bucket, now, sourceBurst, sourceIntervalMs)) return 'drop';
    return take(this.#all, now, interfaceBurst, 1000 / interfaceRepliesPerSecond) ? 'reply' : 'multicast';
  }

  /** Sources remembered. */
  get size(): number {
    return this.#sources.size;
  }
}

function take(bucket: Bucket, now: number, burst: number, intervalMs: number): boolean {
  bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.filledAt) / intervalMs);
  bucket.filledAt = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens--;
  return true;
}
