/** Learns from the upstreams' answer to ipv4only.arpa which NAT64 prefix they synthesize with (RFC 7050), time and again. */
import { type Cidr, formatCidr } from '../../core/address.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import type { ForwardAnswer } from '../forwarder/answer.ts';
import { parseMessage } from '../wire/message.ts';
import { nameFromText } from '../wire/name.ts';
import { CLASS, TYPE } from '../wire/types.ts';
import { prefixesOf } from './address.ts';

const MIN_INTERVAL_MS = 60_000;
const MAX_INTERVAL_MS = 3_600_000;
const FIRST_RETRY_MS = 1000;
const MAX_PREFIXES = 4;

/** AAAA of the name that has IPv4 addresses alone. */
const IPV4ONLY_QUESTION: Uint8Array = Uint8Array.of(...nameFromText('ipv4only.arpa'), 0, TYPE.AAAA, 0, CLASS.IN);

/** What discovery needs. */
export interface DiscoveryContext {
  readonly clock: Clock;
  readonly log: Logger;
  /** Asks the upstreams; `answered` hears undefined when none answers. False: nothing was asked. */
  ask(question: Uint8Array, answered: (answer: ForwardAnswer | undefined) => void): boolean;
  /** Called when the prefixes have changed. */
  changed(): void;
}

/** Whether upstreams synthesize: not known yet, yes, no, or no longer known as they do not answer. */
export type Synthesis = 'unknown' | 'yes' | 'no' | 'unanswered';

export class PrefixDiscovery {
  readonly #context: DiscoveryContext;
  #prefixes: readonly Cidr[] = [];
  #synthesis: Synthesis = 'unknown';
  #timer: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  #round = 0;

  constructor(context: DiscoveryContext) {
    this.#context = context;
  }

  /** What was found last; it stays good while nobody answers. */
  get prefixes(): readonly Cidr[] {
    return this.#prefixes;
  }

  get synthesis(): Synthesis {
    return this.#synthesis;
  }

  /** Asks now, and again whenever the answer has outlived itself. */
  start(): void {
    this.stop();
    const round = ++this.#round;
    const asked = this.#context.ask(IPV4ONLY_QUESTION, (answer) => {
      if (round === this.#round) this.#answered(answer);
    });
    if (!asked) this.#answered(undefined);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#round++;
  }

  #answered(answer: ForwardAnswer | undefined): void {
    const { clock, log, changed } = this.#context;
    let delay = this.#retryMs;
    if (answer === undefined) {
      this.#synthesis = 'unanswered';
      this.#retryMs = Math.min(2 * this.#retryMs, MIN_INTERVAL_MS);
    } else {
      this.#retryMs = FIRST_RETRY_MS;
      delay = Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, answer.ttl * 1000));
      const { answers } = parseMessage(answer.message);
      const addresses = answers.filter(({ type, rdata }) => type === TYPE.AAAA && rdata.length === 16);
      const found = prefixesOf(addresses.map(({ rdata }) => rdata)).slice(0, MAX_PREFIXES);
      this.#synthesis = found.length > 0 ? 'yes' : 'no';
      if (found.map(formatCidr).join() !== this.#prefixes.map(formatCidr).join()) {
        log.info({ prefixes: found.map(formatCidr) }, 'NAT64 prefix of the upstreams');
        this.#prefixes = found;
        changed();
      }
    }
    this.#timer = clock.after(delay, () => this.start());
  }
}
