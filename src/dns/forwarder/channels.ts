/** The upstreams and the ways to them: which serve a name, and which of them is asked next. */
import type { Timer } from '../../core/clock.ts';
import type { ForwardConfig, UpstreamConfig } from '../config.ts';
import { upstreamCounterBase } from '../slot-counters.ts';
import { type NameKey, nameFromText, nameKey, nameKeyAt } from '../wire/name.ts';
import { TYPE } from '../wire/types.ts';
import type { Exchange } from './exchange.ts';
import { type Flight, triesOf } from './flight.ts';
import type { UdpExchange } from './udp-exchange.ts';
import { isEncrypted, Upstream, upstreamName } from './upstream.ts';
import type { UpstreamCookie } from './upstream-cookie.ts';

/** An upstream and what leads to it. */
export interface Channel {
  readonly upstream: Upstream;
  readonly udp: UdpExchange;
  /** By TCP, TLS or HTTPS. */
  readonly stream: Exchange;
  readonly cookie: UpstreamCookie;
  probe: Timer | undefined;
}

export class Channels {
  readonly #open: (upstream: Upstream, ca: string | undefined) => Channel;
  readonly #byName = new Map<string, Channel>();
  readonly #byDomain = new Map<NameKey, readonly Channel[]>();
  #general: readonly Channel[] = [];
  #policy: ForwardConfig['policy'] = 'ordered';
  #turn = 0;
  #ca: string | undefined;

  /** @param open makes the ways to an upstream that is new */
  constructor(open: (upstream: Upstream, ca: string | undefined) => Channel) {
    this.#open = open;
  }

  /** Takes the upstreams of the configuration; what is known of those that stay is kept. Returns those that go. */
  apply(config: ForwardConfig): Channel[] {
    const before = new Map(this.#byName);
    if (config.ca !== this.#ca) {
      // Who was trusted by other certificates is to be looked at anew.
      for (const [name, { upstream }] of before) if (isEncrypted(upstream.config)) before.delete(name);
    }
    const all = [...this.#byName.values()];
    this.#ca = config.ca;
    this.#byName.clear();
    const take = (upstreams: readonly UpstreamConfig[]) => upstreams.map((each) => this.#take(each, before));
    this.#policy = config.policy;
    this.#general = take(config.upstreams);
    this.#byDomain.clear();
    for (const { domain, upstreams } of config.domains) {
      this.#byDomain.set(nameKey(nameFromText(domain)), take(upstreams));
    }
    return all.filter((channel) => this.#byName.get(channel.upstream.name) !== channel);
  }

  /** All of them, each once. */
  all(): Channel[] {
    return [...this.#byName.values()];
  }

  /** Gives each upstream its counters. @param slots by name */
  assign(slots: Readonly<Record<string, number>>): void {
    for (const { upstream } of this.#byName.values()) {
      const slot = slots[upstream.name];
      upstream.counters = slot === undefined ? undefined : upstreamCounterBase(slot);
    }
  }

  of(upstream: Upstream): Channel | undefined {
    return this.#byName.get(upstream.name);
  }

  /** Those that serve a question: of the nearest domain above its name that has its own, and that DS is asked of the parent of. */
  for(question: Uint8Array): readonly Channel[] {
    if (this.#byDomain.size === 0) return this.#general;
    const end = question.length;
    const isDs = question[end - 4] === 0 && question[end - 3] === TYPE.DS;
    // RFC 4035 §3.1.4.1; where nobody serves the parent, whoever serves the child may know.
    const ofParent = isDs ? (this.#domainOf(question, true) ?? this.#general) : [];
    return ofParent.length > 0 ? ofParent : (this.#domainOf(question) ?? this.#general);
  }

  /** Whether a name is in a domain that has upstreams of its own. */
  isSteered(question: Uint8Array): boolean {
    return this.#byDomain.size > 0 && this.#domainOf(question) !== undefined;
  }

  /** The next upstream by policy: the one tried least in this flight, the preferred first. */
  choose(flight: Flight): Channel | undefined {
    const channels = this.for(flight.asked);
    const count = channels.length;
    const turns = this.#policy === 'roundrobin';
    const first = turns && flight.attempts.length === 0 ? this.#turn++ : this.#turn;
    let best: Channel | undefined;
    let bestTries = 0;
    for (let i = 0; i < count; i++) {
      const channel = channels[turns ? (first + i) % count : i]!;
      const { upstream } = channel;
      if (upstream.state === 'down' || flight.erred.has(upstream)) continue;
      const tries = triesOf(flight, upstream);
      const better =
        best === undefined ||
        tries < bestTries ||
        (this.#policy === 'fastest' && tries === bestTries && upstream.rank < best.upstream.rank);
      if (better) {
        best?.upstream.passedOver();
        best = channel;
        bestTries = tries;
      } else {
        upstream.passedOver();
      }
    }
    return best;
  }

  #take(config: UpstreamConfig, before: ReadonlyMap<string, Channel>): Channel {
    const name = upstreamName(config);
    let channel = this.#byName.get(name) ?? before.get(name);
    channel ??= this.#open(new Upstream(config), this.#ca);
    this.#byName.set(name, channel);
    return channel;
  }

  #domainOf(question: Uint8Array, above = false): readonly Channel[] | undefined {
    const key = nameKeyAt(question, 0, question.length - 4);
    for (let from = above ? key.charCodeAt(0) + 1 : 0; from < key.length; from += key.charCodeAt(from) + 1) {
      const found = this.#byDomain.get(key.slice(from));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
