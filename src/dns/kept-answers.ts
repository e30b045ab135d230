/** What the cache says, and is told, beside the queries it answers by itself: of questions that stand alone, and of flights that ended. */
import type { Logger } from '../core/logger.ts';
import { FRESH, STALE, type WireCache } from './cache.ts';
import { EDE } from './extended-error.ts';
import type { ForwardAnswer } from './forwarder/answer.ts';
import type { QueryView } from './query-view.ts';
import { failureMessage } from './reply.ts';
import { readUint16, writeUint16 } from './wire/bytes.ts';
import { RCODE, TYPE } from './wire/types.ts';

/** After a failure a stale answer is given at once for so long (RFC 8767 §5). */
const STALE_RETRY_SECONDS = 30;
const FIRST_FAILURE_SECONDS = 1;
/** RFC 9520 §3.2: failures are remembered at least a second, at most five minutes. */
const MAX_FAILURE_SECONDS = 60;
/** The longest question, 255 + 2 + 2, in whole words. */
const QUESTION_BYTES = 260;

/** Of its thread; `cache` may be replaced. */
export interface KeptContext {
  readonly log: Logger;
  cache: WireCache;
}

/** What is kept, without id and client's flags. */
export interface KeptCopy {
  readonly message: Uint8Array;
  readonly stale: boolean;
  /** What is to be said of it (RFC 8914 §4). */
  readonly error: number;
}

/** What is to be said of the stale answer found last (RFC 8914 §4.4, §4.20). */
export function staleError({ bytes, messageOffset }: WireCache): number {
  return (bytes[messageOffset + 3]! & 15) === RCODE.NXDOMAIN ? EDE.STALE_NXDOMAIN : EDE.STALE_ANSWER;
}

export class KeptAnswers {
  readonly #context: KeptContext;
  readonly #questionBytes = Buffer.alloc(QUESTION_BYTES);
  readonly #questionWords = new Uint32Array(
    this.#questionBytes.buffer,
    this.#questionBytes.byteOffset,
    QUESTION_BYTES >> 2,
  );

  constructor(context: KeptContext) {
    this.#context = context;
  }

  /** Looks a question up that stands alone (wire form), as `WireCache.lookup` does. */
  lookup(question: Uint8Array, key: number, now: number): number {
    const { cache } = this.#context;
    this.#questionBytes.set(question);
    const hash = cache.hash(this.#questionWords, 0, question.length);
    return cache.lookup(this.#questionBytes, this.#questionWords, 0, question.length, hash, key, now);
  }

  /** A copy of what is kept for a question that stands alone, fresh or stale; undefined: nothing is. */
  copy(question: Uint8Array, key: number, now: number): KeptCopy | undefined {
    const { cache } = this.#context;
    const found = this.lookup(question, key, now);
    if (found !== FRESH && found !== STALE) return undefined;
    const whole = new Uint8Array(cache.messageLength + 3);
    const words = new Uint32Array(whole.buffer, 0, whole.length >> 2);
    const error = found === STALE ? staleError(cache) : cache.isFailure ? EDE.CACHED_ERROR : EDE.NONE;
    return { message: whole.subarray(0, cache.copyTo(whole, words, 0, now)), stale: found === STALE, error };
  }

  /** Whether the name is known not to exist, having been asked for with another type (RFC 2308 §5): addresses mostly. */
  isAbsent(view: QueryView, now: number): boolean {
    const { cache } = this.#context;
    const question = view.copyQuestion();
    const other = view.type === TYPE.A ? TYPE.AAAA : TYPE.A;
    writeUint16(question, question.length - 4, other);
    if (this.lookup(question, view.key, now) !== FRESH || cache.authoritative || cache.isFailure) return false;
    const { bytes, messageOffset } = cache;
    // An alias says that this name exists, and another does not.
    return (bytes[messageOffset + 3]! & 15) === RCODE.NXDOMAIN && readUint16(bytes, messageOffset + 6) === 0;
  }

  /** Keeps what the forwarder learnt. */
  settled(question: Uint8Array, key: number, answer: ForwardAnswer | undefined, error: number, now: number): void {
    const { cache, log } = this.#context;
    if (answer !== undefined) {
      if (answer.ttl > 0) {
        const lifetime = { ttl: answer.ttl, authoritative: false, failure: false };
        cache.insert(answer.message, answer.questionLength, answer.ttlOffsets, key, now, lifetime);
      }
      return;
    }
    if (log.debugEnabled) {
      log.debug({ question: Buffer.from(question).toString('latin1'), error }, 'no answer from upstreams');
    }
    const found = this.lookup(question, key, now);
    if (found === STALE) {
      cache.noteFailedRefresh(now + STALE_RETRY_SECONDS);
    } else if (found !== FRESH) {
      const ttl = Math.min(MAX_FAILURE_SECONDS, Math.max(FIRST_FAILURE_SECONDS, cache.failureSeconds(now) * 2));
      const lifetime = { ttl, authoritative: false, failure: true };
      cache.insert(failureMessage(question), question.length, [], key, now, lifetime);
    }
  }
}
