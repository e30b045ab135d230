/** One upstream: how fast it answers and whether it does. */
import { formatEndpoint } from '../../core/address.ts';
import type { UpstreamConfig } from '../config.ts';

/** Timeouts in a row after which an upstream is down, if it was silent for so long: many queries may wait at one moment. */
const FAILURES_TO_DOWN = 3;
const SILENT_TO_DOWN_MS = 800;
const FIRST_PROBE_MS = 250;
const MAX_PROBE_MS = 5000;
/** Weight of the newest round trip in the smoothed one (RFC 6298 §2 uses the same). */
const SMOOTHING = 1 / 8;
/** Upstreams that are passed over look a little faster each time, so that they are tried again. */
const DECAY = 0.995;
/** First wait for an upstream nobody has heard yet. */
const UNKNOWN_WAIT_MS = 400;
const MIN_WAIT_MS = 150;
/** A wait is this share of it shorter or longer, by chance. */
const JITTER = 0.2;
/** Replies in a row that repeat the case of letters: from then on they must; and as many that do not: it never will. */
const CASE_KEPT = 8;
const CASE_LOST = 3;

export type UpstreamState = 'unknown' | 'up' | 'down';

/** An upstream as operators see it. */
export interface UpstreamStatus {
  readonly name: string;
  readonly transport: UpstreamConfig['transport'];
  readonly state: UpstreamState;
  /** Smoothed round trip; undefined before the first answer. */
  readonly rttMs: number | undefined;
  readonly sent: number;
  readonly answered: number;
  readonly timeouts: number;
  readonly failures: number;
  /** Why it is down. */
  readonly reason: string | undefined;
}

/** What an upstream is called: as it stands in the configuration, port and all. */
export function upstreamName({ transport, endpoint, path, serverName }: UpstreamConfig): string {
  const server = serverName === undefined ? '' : `#${serverName}`;
  return (transport === 'udp' ? '' : `${transport}://`) + formatEndpoint(endpoint) + (path ?? '') + server;
}

/** Whether nobody on the way reads what is asked there. */
export function isEncrypted({ transport }: UpstreamConfig): boolean {
  return transport === 'tls' || transport === 'https';
}

export class Upstream {
  readonly config: UpstreamConfig;
  readonly name: string;
  /** Where its counters begin; undefined: it has none of its own. */
  counters: number | undefined;
  state: UpstreamState = 'unknown';
  reason: string | undefined;
  sent = 0;
  answeredCount = 0;
  timeouts = 0;
  failures = 0;
  /** Until when it gets plain queries: it does not understand EDNS. */
  plainUntil = 0;
  /** Whether queries have the case of their letters drawn at random; and whether replies must repeat it. */
  mixesCase = true;
  keepsCase = false;
  #caseKept = 0;
  #caseLost = 0;
  #rtt: number | undefined;
  #inRow = 0;
  /** When the first of them was sent. */
  #silentSince = 0;
  #probeDelay = FIRST_PROBE_MS;

  constructor(config: UpstreamConfig) {
    this.config = config;
    this.name = upstreamName(config);
  }

  get status(): UpstreamStatus {
    const { name, state, sent, timeouts, failures, reason } = this;
    const { transport } = this.config;
    return { name, transport, state, rttMs: this.#rtt, sent, answered: this.answeredCount, timeouts, failures, reason };
  }

  /** What the policy `fastest` compares: an upstream never heard comes first, to be known. */
  get rank(): number {
    return this.#rtt ?? 0;
  }

  /**
   * How long to wait for an answer before another try, `tries` made already.
   * @param jitter in [0, 1): what was asked at one moment of one silent upstream is not asked again at one moment
   */
  waitMs(tries: number, jitter: number): number {
    const wait = this.#rtt === undefined ? UNKNOWN_WAIT_MS : Math.max(MIN_WAIT_MS, this.#rtt * 4);
    return wait * 2 ** tries * (1 - JITTER / 2 + JITTER * jitter);
  }

  /** Notes an answer. Returns whether the upstream had not been up. */
  answered(rttMs: number): boolean {
    this.answeredCount++;
    this.#rtt = this.#rtt === undefined ? rttMs : this.#rtt + (rttMs - this.#rtt) * SMOOTHING;
    this.#inRow = 0;
    this.#probeDelay = FIRST_PROBE_MS;
    const risen = this.state === 'down';
    this.state = 'up';
    this.reason = undefined;
    return risen;
  }

  /** Notes that no answer came in time to what was sent at `sentAt`. Returns whether that made it down. */
  timedOut(sentAt: number, now: number): boolean {
    this.timeouts++;
    if (this.#inRow === 0) this.#silentSince = sentAt;
    if (this.#rtt !== undefined) this.#rtt = Math.min(this.#rtt * 1.5 + 10, 2000);
    if (++this.#inRow < FAILURES_TO_DOWN || now - this.#silentSince < SILENT_TO_DOWN_MS) return false;
    return this.#down('no answers');
  }

  /** Notes that nobody listens there, or that the connection broke. Returns whether that made it down. */
  failed(reason: string, certain: boolean): boolean {
    this.failures++;
    return (certain || ++this.#inRow >= FAILURES_TO_DOWN) && this.#down(reason);
  }

  /** Notes whether a reply, right otherwise, repeats the case of letters: some servers do not. */
  sawCase(kept: boolean): void {
    if (!this.mixesCase) return;
    if (kept) {
      this.#caseLost = 0;
      this.keepsCase ||= ++this.#caseKept >= CASE_KEPT;
    } else {
      this.#caseKept = 0;
      if (!this.keepsCase || ++this.#caseLost >= CASE_LOST) this.mixesCase = this.keepsCase = false;
    }
  }

  /** Another was preferred. */
  passedOver(): void {
    if (this.#rtt !== undefined) this.#rtt *= DECAY;
  }

  /** The time until the next probe of an upstream that is down; longer each time. @param jitter in [0, 1) */
  nextProbeMs(jitter: number): number {
    const delay = this.#probeDelay;
    this.#probeDelay = Math.min(delay * 2, MAX_PROBE_MS);
    return delay * (1 - JITTER / 2 + JITTER * jitter);
  }

  #down(reason: string): boolean {
    const fell = this.state !== 'down';
    this.state = 'down';
    this.reason = reason;
    return fell;
  }
}
