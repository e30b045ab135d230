/** Token buckets for solicited replies: one for each source, in bounded memory, and one for all together. */
import { SourceBuckets, TokenBucket } from '../core/token-bucket.ts';
import { interfaceBurst, interfaceRepliesPerSecond, maxSources, sourceBurst, sourceIntervalMs } from './constants.ts';

/** What a solicitation gets: a reply of its own, nothing (its source asks too often), or a share in a multicast. */
export type Verdict = 'reply' | 'drop' | 'multicast';

export class ReplyLimit {
  readonly #sources = new SourceBuckets({ perSecond: 1000 / sourceIntervalMs, burst: sourceBurst }, maxSources);
  readonly #all = new TokenBucket({ perSecond: interfaceRepliesPerSecond, burst: interfaceBurst }, 0);

  /** @param source any text that is the same for the same source */
  ask(source: string, now: number): Verdict {
    if (!this.#sources.of(source, now).take(now)) return 'drop';
    return this.#all.take(now) ? 'reply' : 'multicast';
  }

  /** Sources remembered. */
  get size(): number {
    return this.#sources.size;
  }
}
