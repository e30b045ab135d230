/**
 * The query log: a line for each query of a sample, drawn by chance so that no rhythm of the clients hides from it, and never more
 * than so many a second. While it is off a query costs one comparison.
 */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import type { Logger } from '../core/logger.ts';
import type { Random } from '../core/random.ts';
import type { QueryLogConfig } from './config.ts';
import { HEADER_LENGTH, type QueryView } from './query-view.ts';
import { nameToText } from './wire/name.ts';
import { classToText, FLAG, rcodeToText, typeToText } from './wire/types.ts';

const WINDOW_MS = 1000;

/** Where an answer came from. */
export type AnswerSource = 'cache' | 'stale' | 'zone' | 'local' | 'forwarded' | 'none';

/** What is told of a query beside what is in it. */
export interface QueryFate {
  readonly transport: 'udp' | 'tcp';
  readonly client: InetEndpoint;
  readonly rcode: number;
  readonly source: AnswerSource;
  /** From its arrival to its answer. */
  readonly ms: number;
  /** Octets of the answer. */
  readonly size: number;
  readonly truncated: boolean;
}

export class QueryLog {
  enabled = false;
  readonly #log: Logger;
  readonly #random: Random;
  #sample = 0;
  #perSecond = 0;
  /** Queries until the next of the sample. */
  #skip = 0;
  #windowStart = Number.NEGATIVE_INFINITY;
  #left = 0;
  #suppressed = 0;

  constructor(log: Logger, random: Random) {
    this.#log = log;
    this.#random = random;
  }

  apply({ sample, maxPerSecond }: QueryLogConfig): void {
    this.enabled = sample > 0 && maxPerSecond > 0;
    this.#sample = sample;
    this.#perSecond = maxPerSecond;
    this.#skip = this.#draw();
  }

  /** Whether the query that is answered now is one to write down. */
  takes(nowMs: number): boolean {
    if (this.#skip-- > 0) return false;
    this.#skip = this.#draw();
    if (nowMs - this.#windowStart >= WINDOW_MS) this.#openWindow(nowMs);
    if (this.#left > 0) {
      this.#left--;
      return true;
    }
    this.#suppressed++;
    return false;
  }

  write(view: QueryView, fate: QueryFate): void {
    const { client, transport, rcode, source, ms, size, truncated } = fate;
    const { bytes, start, questionLength } = view;
    const end = start + HEADER_LENGTH + questionLength;
    const flags = (bytes[start + 2]! << 8) | bytes[start + 3]!;
    this.#log.info(
      {
        client: formatEndpoint(client),
        transport,
        ...(questionLength > 0 && {
          name: nameToText(bytes.subarray(start + HEADER_LENGTH, end - 4)),
          type: typeToText(view.type),
          class: classToText((bytes[end - 2]! << 8) | bytes[end - 1]!),
        }),
        rd: (flags & FLAG.RD) !== 0,
        cd: (flags & FLAG.CD) !== 0,
        do: view.dnssecOk,
        rcode: rcodeToText(rcode),
        source,
        ms: Math.round(ms * 1000) / 1000,
        size,
        truncated,
        ...(view.extendedError >= 0 && { extendedError: view.extendedError }),
      },
      'query',
    );
  }

  /** How many are left out before the next: geometric, as if each were drawn by itself. */
  #draw(): number {
    if (this.#sample >= 1) return 0;
    return Math.floor(Math.log(1 - this.#random.fraction()) / Math.log(1 - this.#sample));
  }

  #openWindow(nowMs: number): void {
    this.#windowStart = nowMs;
    this.#left = this.#perSecond;
    if (this.#suppressed === 0) return;
    this.#log.warn({ suppressed: this.#suppressed }, 'queries of the sample were too many to log');
    this.#suppressed = 0;
  }
}
