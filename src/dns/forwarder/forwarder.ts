/**
 * Asks upstreams what we do not know.
 *
 * A question that waits is a *flight*: identical questions join it. Each try of a flight is an *attempt* at one upstream, by
 * UDP or, when that came back truncated, by TCP, or by TLS. No answer in time, a refusal, SERVFAIL or REFUSED: the next
 * upstream in the policy's order is tried at once or after its wait, and whichever attempt answers first ends the flight.
 * An upstream that stays silent is *down*: it gets probes, and queries only once it answers them. While all are down a
 * question fails at once.
 */
import type { Clock, Timer } from '../../core/clock.ts';
import type { CounterStripe } from '../../core/counters.ts';
import type { Logger } from '../../core/logger.ts';
import type { Random } from '../../core/random.ts';
import type { Reactor } from '../../linux/reactor.ts';
import { UdpBatch } from '../../linux/udp.ts';
import { KEY_CD, KEY_DO } from '../cache.ts';
import type { ForwardConfig } from '../config.ts';
import { COUNT, GAUGE } from '../counters.ts';
import { HEADER_LENGTH } from '../query-view.ts';
import { nameKeyAt } from '../wire/name.ts';
import { MAX_UDP_SIZE } from '../wire/query.ts';
import { CLASS, FLAG, RCODE, TYPE } from '../wire/types.ts';
import { type ForwardAnswer, readAnswer } from './answer.ts';
import type { Attempt, AttemptHandler, Failure } from './exchange.ts';
import { StreamExchange } from './stream-exchange.ts';
import { UdpExchange, type UdpExchangeContext } from './udp-exchange.ts';
import { Upstream, type UpstreamStatus } from './upstream.ts';

/** Flights at a time, and waiters of one client: beyond that a query fails at once (BIND's recursive-clients is 1000). */
const MAX_FLIGHTS = 4096;
const MAX_WAITERS = 16384;
const MAX_PER_CLIENT = 1024;
const MAX_ATTEMPTS = 8;
const PLAIN_MS = 15 * 60_000;
/** How long a probe may take. */
const PROBE_WAIT_MS = 1000;
/** Longest datagram taken from an upstream: more than we ask for, as some ignore that. */
const MAX_REPLY = 4096;

/** Who waits for an answer; undefined says there is none to be had. */
export interface ForwardWaiter {
  forwarded(answer: ForwardAnswer | undefined): void;
}

/** What became of a question. */
export const QUEUED = 0;
/** Every upstream is known to be down. */
export const UNAVAILABLE = 1;
/** Too many questions wait. */
export const OVERLOADED = 2;

/** What the forwarder needs from its thread. */
export interface ForwarderContext {
  readonly reactor: Reactor;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly counters: CounterStripe;
  /** Called once a flight has ended, before its waiters. */
  settled(question: Uint8Array, key: number, answer: ForwardAnswer | undefined): void;
}

interface Flight {
  readonly id: string;
  readonly question: Uint8Array;
  readonly key: number;
  readonly waiters: { readonly client: number; readonly waiter: ForwardWaiter }[];
  readonly attempts: Attempt[];
  /** Upstreams that answered with an error: no use asking them again. */
  readonly erred: Set<Upstream>;
  readonly deadline: number;
  timer: Timer | undefined;
  /** For a probe: its upstream. */
  readonly probes: Upstream | undefined;
}

interface Channel {
  readonly upstream: Upstream;
  readonly udp: UdpExchange;
  readonly stream: StreamExchange;
  probe: Timer | undefined;
}

export class Forwarder implements AttemptHandler {
  readonly #context: ForwarderContext;
  readonly #config: ForwardConfig;
  readonly #channels: Channel[];
  readonly #flights = new Map<string, Flight>();
  readonly #flightOf = new Map<Attempt, Flight>();
  readonly #perClient = new Map<number, number>();
  #waiters = 0;
  #turn = 0;
  #closed = false;

  constructor(context: ForwarderContext, config: ForwardConfig) {
    this.#context = context;
    this.#config = config;
    const batch = new UdpBatch({ count: 32, receiveBytes: MAX_REPLY, sendBytes: 0 });
    const { reactor, random, clock } = context;
    const shared: UdpExchangeContext = { reactor, random, batch, handler: this };
    this.#channels = config.upstreams.map((each) => {
      const upstream = new Upstream(each);
      return {
        upstream,
        udp: new UdpExchange(shared, upstream),
        stream: new StreamExchange({ clock, random, handler: this }, upstream),
        probe: undefined,
      };
    });
  }

  get status(): UpstreamStatus[] {
    return this.#channels.map(({ upstream }) => upstream.status);
  }

  /** How many questions wait. */
  get inFlight(): number {
    return this.#flights.size;
  }

  /**
   * Asks for the answer to `question` (wire form, kept as it is), with the client's CD and DO in `key`. `waiter` hears the
   * outcome if this returns QUEUED, never before it returns. Without a waiter the answer is only fetched.
   */
  resolve(question: Uint8Array, key: number, client: number, waiter: ForwardWaiter | undefined): number {
    if (this.#channels.every(({ upstream }) => upstream.state === 'down')) return UNAVAILABLE;
    const id = flightId(question, key);
    let flight = this.#flights.get(id);
    const mine = this.#perClient.get(client) ?? 0;
    if (waiter !== undefined && (mine >= MAX_PER_CLIENT || this.#waiters >= MAX_WAITERS)) return OVERLOADED;
    if (flight === undefined) {
      if (this.#flights.size >= MAX_FLIGHTS) return OVERLOADED;
      flight = this.#newFlight(id, question, key, this.#config.timeoutMs, undefined);
      this.#flights.set(id, flight);
      this.#context.counters.gaugeAdd(GAUGE.IN_FLIGHT, 1);
      if (!this.#advance(flight)) {
        this.#end(flight);
        return UNAVAILABLE;
      }
    }
    if (waiter === undefined) return QUEUED;
    flight.waiters.push({ client, waiter });
    this.#perClient.set(client, mine + 1);
    this.#waiters++;
    return QUEUED;
  }

  replied(attempt: Attempt, reply: Uint8Array): void {
    const flight = this.#flightOf.get(attempt);
    if (flight === undefined) return;
    const { clock, counters, log } = this.#context;
    const { upstream } = attempt;
    counters.add(COUNT.UPSTREAM_ANSWERED);
    if (upstream.answered(clock.now() - attempt.sentAt)) {
      log.info({ upstream: upstream.name }, 'upstream is up again');
    }
    this.#drop(flight, attempt);
    if (flight.probes !== undefined) {
      this.#end(flight);
      return;
    }
    const rcode = reply[3]! & 15;
    if (attempt.edns && (rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP)) {
      // RFC 6891 §7: it may know no EDNS; the same again without.
      upstream.plainUntil = clock.now() + PLAIN_MS;
      if (this.#send(flight, upstream, attempt.stream)) return;
    }
    if ((reply[2]! & (FLAG.TC >> 8)) !== 0 && !attempt.stream) {
      counters.add(COUNT.UPSTREAM_TCP);
      if (this.#send(flight, upstream, true)) return;
    }
    const final = rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN || rcode === RCODE.YXDOMAIN;
    const answer =
      final && (reply[2]! & (FLAG.TC >> 8)) === 0
        ? readAnswer(reply, flight.question.length, this.#config.cache)
        : undefined;
    if (answer !== undefined) {
      this.#settle(flight, answer);
      return;
    }
    counters.add(COUNT.UPSTREAM_ERROR);
    flight.erred.add(upstream);
    this.#next(flight);
  }

  failed(attempt: Attempt, failure: Failure): void {
    const flight = this.#flightOf.get(attempt);
    if (flight === undefined) return;
    this.#drop(flight, attempt);
    this.#context.counters.add(COUNT.UPSTREAM_REFUSED);
    const certain = failure === 'refused';
    const { upstream } = attempt;
    const reason = certain ? 'connection refused' : 'connection closed';
    if (upstream.failed(reason, certain)) this.#wentDown(upstream, reason);
    if (flight.probes !== undefined) {
      this.#end(flight);
      return;
    }
    if (certain) flight.erred.add(upstream);
    this.#next(flight);
  }

  unmatched(_upstream: Upstream): void {
    this.#context.counters.add(COUNT.UPSTREAM_UNMATCHED);
  }

  /** Ends everything; those who wait hear that there is no answer. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const channel of this.#channels) channel.probe?.cancel();
    for (const flight of [...this.#flights.values()]) this.#settle(flight, undefined);
    for (const { udp, stream } of this.#channels) {
      udp.close();
      stream.close();
    }
  }

  #newFlight(id: string, question: Uint8Array, key: number, timeoutMs: number, probes: Upstream | undefined): Flight {
    const deadline = this.#context.clock.now() + timeoutMs;
    return { id, question, key, waiters: [], attempts: [], erred: new Set(), deadline, timer: undefined, probes };
  }

  /** Sends the flight to the next upstream; false when there is none left to ask. */
  #advance(flight: Flight): boolean {
    while (flight.attempts.length < MAX_ATTEMPTS) {
      const upstream = this.#choose(flight);
      if (upstream === undefined) return false;
      if (this.#send(flight, upstream, upstream.config.transport === 'tls')) return true;
      flight.erred.add(upstream);
      if (upstream.failed('cannot send', true)) this.#wentDown(upstream, 'cannot send');
    }
    return false;
  }

  /** The next upstream by policy: the one tried least in this flight, the preferred first. */
  #choose(flight: Flight): Upstream | undefined {
    let best: Upstream | undefined;
    let bestTries = 0;
    const count = this.#channels.length;
    const { policy } = this.#config;
    const first = policy === 'roundrobin' && flight.attempts.length === 0 ? this.#turn++ : this.#turn;
    for (let i = 0; i < count; i++) {
      const { upstream } = this.#channels[policy === 'roundrobin' ? (first + i) % count : i]!;
      if (upstream.state === 'down' || flight.erred.has(upstream)) continue;
      const tries = triesOf(flight, upstream);
      const better =
        best === undefined ||
        tries < bestTries ||
        (policy === 'fastest' && tries === bestTries && upstream.rank < best.rank);
      if (better) {
        best?.passedOver();
        best = upstream;
        bestTries = tries;
      } else {
        upstream.passedOver();
      }
    }
    return best;
  }

  #send(flight: Flight, upstream: Upstream, stream: boolean): boolean {
    const { clock, counters } = this.#context;
    const channel = this.#channels.find((each) => each.upstream === upstream)!;
    const now = clock.now();
    const edns = now >= upstream.plainUntil;
    const { question } = flight;
    const attempt: Attempt = { upstream, question, sentAt: now, stream, edns, id: 0, socket: undefined };
    const tries = triesOf(flight, upstream);
    const query = encodeQuery(question, flight.key, edns);
    if (!(stream ? channel.stream : channel.udp).send(attempt, query)) return false;
    upstream.sent++;
    counters.add(COUNT.UPSTREAM_SENT);
    flight.attempts.push(attempt);
    this.#flightOf.set(attempt, flight);
    // A connection takes round trips of its own to set up.
    const wait = upstream.waitMs(tries) * (stream ? 3 : 1);
    this.#arm(flight, Math.min(wait, Math.max(0, flight.deadline - now)), attempt);
    return true;
  }

  #arm(flight: Flight, waitMs: number, attempt: Attempt): void {
    flight.timer?.cancel();
    flight.timer = this.#context.clock.after(waitMs, () => this.#timedOut(flight, attempt));
  }

  #timedOut(flight: Flight, attempt: Attempt): void {
    const { clock, counters } = this.#context;
    const { upstream } = attempt;
    counters.add(COUNT.UPSTREAM_TIMEOUT);
    if (upstream.timedOut()) this.#wentDown(upstream, 'no answers');
    if (flight.probes !== undefined) {
      this.#end(flight);
      return;
    }
    // The attempt stays: an answer that comes late is still an answer.
    if (clock.now() >= flight.deadline) {
      this.#settle(flight, undefined);
      return;
    }
    this.#next(flight);
  }

  /** Nobody is left to ask: what is on its way gets the time that is left. */
  #waitOut(flight: Flight): void {
    flight.timer?.cancel();
    const left = Math.max(0, flight.deadline - this.#context.clock.now());
    flight.timer = this.#context.clock.after(left, () => this.#settle(flight, undefined));
  }

  /** After an attempt ended, or lasted too long. */
  #next(flight: Flight): void {
    if (this.#advance(flight)) return;
    const waiting = flight.attempts.some((each) => each.socket !== undefined && each.upstream.state !== 'down');
    if (waiting) this.#waitOut(flight);
    else this.#settle(flight, undefined);
  }

  #settle(flight: Flight, answer: ForwardAnswer | undefined): void {
    this.#end(flight);
    if (answer === undefined) this.#context.counters.add(COUNT.UPSTREAM_FAILED);
    this.#context.settled(flight.question, flight.key, answer);
    for (const { client, waiter } of flight.waiters) {
      const left = this.#perClient.get(client)! - 1;
      if (left === 0) this.#perClient.delete(client);
      else this.#perClient.set(client, left);
      this.#waiters--;
      waiter.forwarded(answer);
    }
  }

  #end(flight: Flight): void {
    flight.timer?.cancel();
    for (const attempt of flight.attempts) this.#drop(flight, attempt);
    if (this.#flights.delete(flight.id)) this.#context.counters.gaugeAdd(GAUGE.IN_FLIGHT, -1);
  }

  /** Stops listening for an attempt; it still counts as a try. */
  #drop(_flight: Flight, attempt: Attempt): void {
    if (!this.#flightOf.delete(attempt)) return;
    attempt.socket?.forget(attempt);
    attempt.socket = undefined;
  }

  #wentDown(upstream: Upstream, reason: string): void {
    this.#context.log.warn({ upstream: upstream.name, reason }, 'upstream is down');
    const channel = this.#channels.find((each) => each.upstream === upstream)!;
    this.#scheduleProbe(channel);
  }

  #scheduleProbe(channel: Channel): void {
    if (this.#closed) return;
    channel.probe?.cancel();
    channel.probe = this.#context.clock.after(channel.upstream.nextProbeMs(), () => this.#probe(channel));
  }

  /** Asks a down upstream for the root's name servers: any reply will do. */
  #probe(channel: Channel): void {
    const { upstream } = channel;
    if (upstream.state !== 'down') return;
    const question = Uint8Array.of(0, 0, TYPE.NS, 0, CLASS.IN);
    const flight = this.#newFlight(`probe ${upstream.name}`, question, 0, PROBE_WAIT_MS, upstream);
    this.#send(flight, upstream, upstream.config.transport === 'tls');
    this.#scheduleProbe(channel);
  }
}

function triesOf(flight: Flight, upstream: Upstream): number {
  let tries = 0;
  for (const attempt of flight.attempts) if (attempt.upstream === upstream) tries++;
  return tries;
}

function flightId(question: Uint8Array, key: number): string {
  const nameEnd = question.length - 4;
  return nameKeyAt(question, 0, nameEnd) + String.fromCharCode(key, ...question.subarray(nameEnd));
}

/** The query: RD, the client's CD, AD to learn whether the answer is authentic (RFC 6840 §5.7), our own OPT with its DO. */
function encodeQuery(question: Uint8Array, key: number, edns: boolean): Uint8Array {
  const query = new Uint8Array(HEADER_LENGTH + question.length + (edns ? 11 : 0));
  query[2] = FLAG.RD >> 8;
  query[3] = FLAG.AD | ((key & KEY_CD) !== 0 ? FLAG.CD : 0);
  query[5] = 1;
  query.set(question, HEADER_LENGTH);
  if (!edns) return query;
  query[11] = 1;
  const opt = HEADER_LENGTH + question.length;
  query[opt + 2] = TYPE.OPT;
  query[opt + 3] = MAX_UDP_SIZE >> 8;
  query[opt + 4] = MAX_UDP_SIZE & 0xff;
  query[opt + 7] = (key & KEY_DO) !== 0 ? 0x80 : 0;
  return query;
}
