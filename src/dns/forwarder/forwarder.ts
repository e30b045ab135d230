/**
 * Asks upstreams what we do not know.
 *
 * A question that waits is a *flight*: identical questions join it. Each try of a flight is an *attempt* at one upstream, by
 * UDP or, when that came back truncated, by TCP, or by TLS or HTTPS. No answer in time, a refusal, SERVFAIL or REFUSED: the next
 * upstream in the policy's order is tried at once or after its wait, and whichever attempt answers first ends the flight.
 * An upstream that stays silent is *down*: it gets probes, and queries only once it answers them. While all are down a
 * question fails at once.
 */
import { observe } from '../../core/histogram.ts';
import { UdpBatch } from '../../linux/udp-batch.ts';
import type { ForwardConfig } from '../config.ts';
import { COUNT, GAUGE } from '../counters.ts';
import { EDE } from '../extended-error.ts';
import { HEADER_LENGTH } from '../query-view.ts';
import { UPSTREAM } from '../slot-counters.ts';
import { FLAG, RCODE } from '../wire/types.ts';
import { type ForwardAnswer, readAnswer } from './answer.ts';
import { Attempts, type QueryForm } from './attempts.ts';
import { type Channel, Channels } from './channels.ts';
import { type ForwarderContext, LOOPED, OVERLOADED, QUEUED, UNAVAILABLE } from './context.ts';
import { type Attempt, type AttemptHandler, type Failure, repeatsCase } from './exchange.ts';
import { type Flight, type ForwardWaiter, flightId, newFlight, triesOf } from './flight.ts';
import { HttpsExchange } from './https-exchange.ts';
import { cameBack } from './loop.ts';
import { PROBE_QUESTION, PROBE_WAIT_MS, Probes } from './probes.ts';
import { ReplyOptions } from './reply-options.ts';
import { StreamExchange } from './stream-exchange.ts';
import { UdpExchange, type UdpExchangeContext } from './udp-exchange.ts';
import type { Upstream, UpstreamStatus } from './upstream.ts';
import { UpstreamCookie } from './upstream-cookie.ts';
import { Waiters } from './waiters.ts';

/** Flights at a time (BIND's recursive-clients is 1000); beyond that the oldest makes room, if it had its chance. */
const MAX_FLIGHTS = 4096;
/** What has waited this long may be given up for what comes now (Unbound's jostle-timeout is the same). */
const CHANCE_MS = 200;
const MAX_ATTEMPTS = 8;
/** How much of the time a question has its first half gets, where it has two (RFC 6147 §5.1.3). */
const FIRST_HALF = 0.6;
const MIN_TRY_MS = 50;
/** How long a query waits that we could not send for want of something; twice as long each time: as long as `timeout` in all. */
const FIRST_HOLD_MS = 20;
const PLAIN_MS = 15 * 60_000;
/** Longest datagram taken from an upstream: more than we ask for, as some ignore that. */
const MAX_REPLY = 4096;

export class Forwarder implements AttemptHandler {
  readonly #context: ForwarderContext;
  readonly #channels: Channels;
  readonly #probes: Probes;
  readonly #flights = new Map<string, Flight>();
  readonly #attempts: Attempts;
  readonly #waiters = new Waiters();
  #config: ForwardConfig;
  #closed = false;

  /** @param slots of the upstreams' counters, by name */
  constructor(context: ForwarderContext, config: ForwardConfig, slots: Readonly<Record<string, number>> = {}) {
    this.#context = context;
    this.#config = config;
    const batch = new UdpBatch({ count: 32, receiveBytes: MAX_REPLY, sendBytes: 0 });
    const { reactor, random, clock } = context;
    const shared: UdpExchangeContext = { reactor, random, batch, handler: this };
    this.#channels = new Channels((upstream, ca) => ({
      upstream,
      udp: new UdpExchange(shared, upstream),
      stream:
        upstream.config.transport === 'https'
          ? new HttpsExchange({ clock, handler: this }, upstream, ca)
          : new StreamExchange({ clock, random, handler: this }, upstream, ca),
      cookie: new UpstreamCookie(() => context.newCookie()),
      probe: undefined,
    }));
    this.#attempts = new Attempts(context, this.#channels);
    this.#probes = new Probes(clock, random, this.#channels, (channel) => this.#probe(channel));
    this.#channels.apply(config);
    this.#channels.assign(slots);
  }

  /** Takes other settings: upstreams that stay are as they were, questions under way go on with those there are now. */
  apply(config: ForwardConfig, slots: Readonly<Record<string, number>> = {}): void {
    this.#config = config;
    for (const gone of this.#channels.apply(config)) {
      for (const attempt of this.#attempts.at(gone.upstream)) {
        const flight = this.#attempts.flightOf(attempt);
        // What became of another attempt may have ended the flight of this one.
        if (flight === undefined) continue;
        this.#attempts.drop(attempt);
        if (flight.probes === undefined) this.#next(flight);
        else this.#end(flight);
      }
      this.#closeChannel(gone);
    }
    this.#channels.assign(slots);
  }

  get status(): UpstreamStatus[] {
    return this.#channels.all().map(({ upstream }) => upstream.status);
  }

  /** How many questions wait. */
  get inFlight(): number {
    return this.#flights.size;
  }

  /**
   * Asks for the answer to `question` (wire form, kept as it is), with the client's CD and DO in `key`. `waiter` hears the
   * outcome if this returns QUEUED, never before it returns. Without a waiter the answer is only fetched.
   * @param client a hash of the client's address
   * @param raw as upstreams answer it: nothing is made of it, kept of it or kept back
   */
  resolve(question: Uint8Array, key: number, client: number, waiter: ForwardWaiter | undefined, raw = false): number {
    if (waiter !== undefined && !this.#waiters.admits(client)) return OVERLOADED;
    const id = (raw ? 'raw ' : '') + flightId(question, key);
    let flight = this.#flights.get(id);
    if (flight === undefined) {
      const plan = raw ? undefined : this.#context.plan(question, key);
      const timeoutMs = this.#config.timeoutMs * (plan === undefined ? 1 : FIRST_HALF);
      flight = newFlight(id, question, key, this.#context.clock.now(), timeoutMs, { plan, raw });
      if (this.#channels.for(flight.asked).every(({ upstream }) => upstream.state === 'down')) return UNAVAILABLE;
      if (this.#flights.size >= MAX_FLIGHTS && !this.#makeRoom()) return OVERLOADED;
      this.#flights.set(id, flight);
      this.#context.counters.gaugeAdd(GAUGE.IN_FLIGHT, 1);
      if (!this.#advance(flight)) {
        this.#end(flight);
        return UNAVAILABLE;
      }
    } else if (waiter !== undefined && cameBack(question, flight)) {
      return LOOPED;
    }
    if (waiter === undefined) return QUEUED;
    flight.waiters.push({ client, waiter });
    this.#waiters.add(client);
    return QUEUED;
  }

  replied(attempt: Attempt, reply: Uint8Array): void {
    const flight = this.#attempts.flightOf(attempt);
    if (flight === undefined) return;
    const { clock, counters, log } = this.#context;
    const { upstream, stream } = attempt;
    const now = clock.now();
    const options = attempt.edns ? new ReplyOptions(reply) : undefined;
    const cookie = this.#channels.of(upstream)?.cookie;
    if (attempt.cookie !== undefined && cookie?.accepts(attempt.cookie, options?.cookie, stream) === false) {
      this.unmatched(upstream);
      return;
    }
    counters.add(COUNT.UPSTREAM_ANSWERED);
    this.#attempts.note(upstream, UPSTREAM.ANSWERED);
    if (upstream.counters !== undefined) observe(counters, upstream.counters + UPSTREAM.RTT, now - attempt.sentAt);
    if (!stream) upstream.sawCase(repeatsCase(reply, attempt.question));
    if (upstream.answered(now - attempt.sentAt)) log.info({ upstream: upstream.name }, 'upstream is up again');
    this.#attempts.drop(attempt);
    if (flight.probes !== undefined) {
      this.#end(flight);
      return;
    }
    const rcode = ((options?.upperRcode ?? 0) << 4) | (reply[3]! & 15);
    if (rcode === RCODE.BADCOOKIE && !stream) {
      // RFC 7873 §5.3: once more with the cookie that came, then by TCP, where none is needed.
      if (this.#send(flight, upstream, attempt.again, { again: true })) return;
    }
    if (attempt.edns && (rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP || rcode === RCODE.BADVERS)) {
      // RFC 6891 §7: it may know no EDNS, or if it answers with some, no cookie; the same again without.
      const without = attempt.cookie !== undefined && options?.present === true ? 'cookie' : 'edns';
      if (this.#send(flight, upstream, stream, { without })) return;
    }
    // Not before: it may have been the question, which anybody can ask, that it did not like.
    if (rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN) {
      if (attempt.without === 'cookie') cookie?.refused(now);
      else if (attempt.without === 'edns') upstream.plainUntil = now + PLAIN_MS;
    }
    const truncated = (reply[2]! & (FLAG.TC >> 8)) !== 0;
    if (truncated && !stream) {
      counters.add(COUNT.UPSTREAM_TCP);
      if (this.#send(flight, upstream, true)) return;
    }
    if ((rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN || rcode === RCODE.YXDOMAIN) && !truncated) {
      // The letters' case is the client's again, not the one drawn for the query.
      reply.set(flight.asked, HEADER_LENGTH);
      const answer = readAnswer(reply, flight.asked.length, this.#config.cache);
      if (answer !== undefined) {
        if (answer.pruned) counters.add(COUNT.UPSTREAM_STRAY);
        this.#judge(flight, answer);
        return;
      }
    }
    counters.add(COUNT.UPSTREAM_ERROR);
    this.#attempts.note(upstream, UPSTREAM.ERROR);
    // What the upstream says of it (a signature that does not verify, say) is more than we know.
    const told = options?.extendedError ?? EDE.NONE;
    flight.error = told === EDE.NONE ? EDE.NETWORK_ERROR : told;
    flight.erred.add(upstream);
    this.#next(flight);
  }

  failed(attempt: Attempt, failure: Failure, detail?: string): void {
    const flight = this.#attempts.flightOf(attempt);
    if (flight === undefined) return;
    this.#attempts.drop(attempt);
    if (failure === 'short') {
      this.#hold(flight, attempt);
      return;
    }
    this.#context.counters.add(COUNT.UPSTREAM_REFUSED);
    const certain = failure === 'refused';
    const { upstream } = attempt;
    this.#attempts.note(upstream, UPSTREAM.FAILED);
    const reason = certain ? 'connection refused' : (detail ?? 'connection closed');
    if (upstream.failed(reason, certain)) this.#wentDown(upstream, reason);
    if (flight.probes !== undefined) {
      this.#end(flight);
      return;
    }
    if (failure !== 'closed') flight.erred.add(upstream);
    flight.error = EDE.NETWORK_ERROR;
    this.#next(flight);
  }

  unmatched(_upstream: Upstream): void {
    this.#context.counters.add(COUNT.UPSTREAM_UNMATCHED);
  }

  /** Ends everything; those who wait hear that there is no answer. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#probes.close();
    for (const flight of [...this.#flights.values()]) this.#settle(flight, undefined);
    for (const channel of this.#channels.all()) this.#closeChannel(channel);
  }

  #closeChannel({ probe, udp, stream }: Channel): void {
    probe?.cancel();
    udp.close();
    stream.close();
  }

  /** Sends the flight to the next upstream; false when there is none left to ask. */
  #advance(flight: Flight): boolean {
    while (flight.attempts.length < MAX_ATTEMPTS) {
      const upstream = this.#channels.choose(flight)?.upstream;
      if (upstream === undefined) return false;
      if (this.#send(flight, upstream, upstream.config.transport !== 'udp')) return true;
      flight.erred.add(upstream);
      if (upstream.failed('cannot send', true)) this.#wentDown(upstream, 'cannot send');
    }
    return false;
  }

  /** @param form how it differs from what an upstream gets first */
  #send(flight: Flight, upstream: Upstream, stream: boolean, form?: QueryForm): boolean {
    const tries = triesOf(flight, upstream);
    const attempt = this.#attempts.send(flight, upstream, stream, form);
    if (attempt === undefined) return false;
    if (attempt.unsent) {
      this.#hold(flight, attempt);
      return true;
    }
    // A connection takes round trips of its own to set up.
    const wait = upstream.waitMs(tries, this.#context.random.fraction()) * (stream ? 3 : 1);
    this.#arm(flight, Math.min(wait, Math.max(0, flight.deadline - attempt.sentAt)), attempt);
    return true;
  }

  /** We are short of what sending takes, which is no upstream's fault: the flight goes on a little later. */
  #hold(flight: Flight, attempt: Attempt): void {
    const { clock, counters } = this.#context;
    attempt.unsent = true;
    counters.add(COUNT.UPSTREAM_UNSENT);
    flight.error = EDE.OTHER;
    const wait = FIRST_HOLD_MS * 2 ** (flight.attempts.length - 1);
    this.#arm(flight, Math.min(wait, Math.max(0, flight.deadline - clock.now())), attempt);
  }

  #arm(flight: Flight, waitMs: number, attempt: Attempt): void {
    flight.timer?.cancel();
    flight.timer = this.#context.clock.after(waitMs, () => this.#timedOut(flight, attempt));
  }

  #timedOut(flight: Flight, attempt: Attempt): void {
    const { clock, counters } = this.#context;
    const { upstream, unsent, sentAt } = attempt;
    if (!unsent) {
      // A timer that comes late says nothing of the upstream.
      if (!this.#attempts.look(flight, attempt)) return;
      counters.add(COUNT.UPSTREAM_TIMEOUT);
      this.#attempts.note(upstream, UPSTREAM.TIMEOUT);
      if (upstream.timedOut(sentAt, clock.now())) this.#wentDown(upstream, 'no answers');
    }
    if (flight.probes !== undefined) {
      this.#end(flight);
      return;
    }
    // The attempt stays: an answer that comes late is still an answer.
    // A try with next to no time for its answer would only speak against its upstream.
    if (flight.deadline - clock.now() < MIN_TRY_MS) {
      this.#judge(flight, undefined);
      return;
    }
    this.#next(flight);
  }

  /** Nobody is left to ask: what is on its way gets the time that is left. */
  #waitOut(flight: Flight): void {
    flight.timer?.cancel();
    const left = Math.max(0, flight.deadline - this.#context.clock.now());
    flight.timer = this.#context.clock.after(left, () => this.#judge(flight, undefined));
  }

  /** After an attempt ended, or lasted too long. */
  #next(flight: Flight): void {
    if (this.#advance(flight)) return;
    const waiting = flight.attempts.some((each) => each.socket !== undefined && each.upstream.state !== 'down');
    if (waiting) this.#waitOut(flight);
    else this.#judge(flight, undefined);
  }

  /** What was asked is answered, or will not be: that may be all, or there may be more to ask. */
  #judge(flight: Flight, answer: ForwardAnswer | undefined): void {
    const { plan, first } = flight;
    if (plan === undefined) {
      this.#settle(flight, this.#screened(flight, answer));
    } else if (first === undefined) {
      const next = plan.next(answer);
      if ('ask' in next) this.#askNext(flight, next.ask, answer);
      else this.#settle(flight, this.#screened(flight, next.answer));
    } else {
      const second = this.#screened(flight, answer);
      if (second !== undefined) this.#context.settled(flight.asked, flight.key, second, flight.error);
      this.#settle(flight, this.#screened(flight, plan.combine(first.answer, second)));
    }
  }

  /** The answer, unless it may not be passed on. */
  #screened(flight: Flight, answer: ForwardAnswer | undefined): ForwardAnswer | undefined {
    if (answer === undefined || flight.raw || this.#context.accepts(answer)) return answer;
    if (this.#channels.isSteered(flight.question)) return answer;
    this.#context.counters.add(COUNT.UPSTREAM_PRIVATE);
    flight.error = EDE.BLOCKED;
    return undefined;
  }

  /** Asks the second question of a flight. */
  #askNext(flight: Flight, question: Uint8Array, first: ForwardAnswer | undefined): void {
    flight.timer?.cancel();
    for (const attempt of flight.attempts) this.#attempts.drop(attempt);
    flight.attempts.length = 0;
    flight.erred.clear();
    flight.first = { answer: first };
    flight.asked = question;
    flight.deadline = this.#context.clock.now() + this.#config.timeoutMs * FIRST_HALF;
    this.#next(flight);
  }

  #settle(flight: Flight, answer: ForwardAnswer | undefined): void {
    this.#end(flight);
    if (answer === undefined) this.#context.counters.add(COUNT.UPSTREAM_FAILED);
    if (!flight.raw) this.#context.settled(flight.question, flight.key, answer, flight.error);
    this.#waiters.tell(flight, answer);
  }

  /** Gives the oldest flight up, if it had its chance; nothing is remembered of it. */
  #makeRoom(): boolean {
    const [oldest] = this.#flights.values();
    if (oldest === undefined || this.#context.clock.now() - oldest.since < CHANCE_MS) return false;
    this.#end(oldest);
    this.#context.counters.add(COUNT.UPSTREAM_GIVEN_UP);
    oldest.error = EDE.OTHER;
    // Not now: another answer is being written where these would be.
    queueMicrotask(() => this.#waiters.tell(oldest, undefined));
    return true;
  }

  #end(flight: Flight): void {
    flight.timer?.cancel();
    for (const attempt of flight.attempts) this.#attempts.drop(attempt);
    if (this.#flights.delete(flight.id)) this.#context.counters.gaugeAdd(GAUGE.IN_FLIGHT, -1);
  }

  #wentDown(upstream: Upstream, reason: string): void {
    this.#context.log.warn({ upstream: upstream.name, reason }, 'upstream is down');
    const channel = this.#channels.of(upstream);
    if (channel !== undefined) this.#probes.schedule(channel);
  }

  #probe({ upstream }: Channel): void {
    const id = `probe ${upstream.name}`;
    const now = this.#context.clock.now();
    const flight = newFlight(id, PROBE_QUESTION, 0, now, PROBE_WAIT_MS, { probes: upstream, raw: true });
    this.#send(flight, upstream, upstream.config.transport !== 'udp');
  }
}
