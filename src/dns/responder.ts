/**
 * Answers messages of clients, whatever they came by: from the cache, from our zones, by forwarding, or by handing them to
 * the control thread. A cached answer takes no allocation; everything else leaves one behind.
 */
import type { InetEndpoint } from '../core/address.ts';
import { observe } from '../core/histogram.ts';
import { FRESH, STALE } from './cache.ts';
import { ERRORS, SEND, SLIP } from './client-filter.ts';
import { COUNT, questionCounter, responseCounter } from './counters.ts';
import { Exceptions } from './exceptions.ts';
import { EDE } from './extended-error.ts';
import type { ForwardAnswer } from './forwarder/answer.ts';
import { LOOPED, OVERLOADED, QUEUED, UNAVAILABLE } from './forwarder/context.ts';
import { LoopNotice } from './forwarder/loop.ts';
import { Handoffs } from './handoffs.ts';
import { KeptAnswers, type KeptCopy, staleError } from './kept-answers.ts';
import { type Origin, Outstanding } from './origin.ts';
import { Pending } from './pending.ts';
import type { AnswerSource } from './query-log.ts';
import { HEADER_LENGTH, NO_NSID, QueryView } from './query-view.ts';
import { addressTo, roomFor, writeAnswer, writeRcode, writeTruncated } from './reply.ts';
import type { ResponderContext } from './responder-context.ts';
import { FORWARDED_WAIT, OTHER_ZONES, zoneCounter } from './slot-counters.ts';
import { VERDICT } from './wire/query.ts';
import { CLASS, FLAG, RCODE, TYPE } from './wire/types.ts';
import { ZoneReplies, type ZoneReply } from './zone-reply.ts';

/** How long a client waits for better than a stale answer. */
const PATIENCE_MS = 1800;
const MAX_MESSAGE = 65535;

/** What a chain of aliases goes on with. */
type ChainRest = Omit<KeptCopy, 'message'> & { readonly message: Uint8Array | undefined };

export class Responder {
  readonly #context: ResponderContext;
  /** Where answers that come later are put together. */
  readonly #scratch = Buffer.alloc(MAX_MESSAGE + 1);
  readonly #scratchWords = new Uint32Array(this.#scratch.buffer, this.#scratch.byteOffset, this.#scratch.length >> 2);
  readonly #later = new QueryView(Buffer.alloc(MAX_MESSAGE + 1));
  readonly #outstanding = new Outstanding();
  readonly #handoffs: Handoffs;
  readonly #kept: KeptAnswers;
  readonly #exceptions: Exceptions;
  readonly #zoneReplies: ZoneReplies;
  /** Where the answer just written came from, for the query log. */
  #source: AnswerSource = 'none';
  /** The bucket of the rate limit that it shares with others; 0: none. */
  #shared = 0;
  readonly #loops: LoopNotice;
  #closed = false;

  constructor(context: ResponderContext) {
    this.#context = context;
    this.#kept = new KeptAnswers(context);
    this.#handoffs = new Handoffs(context, this.#outstanding);
    this.#zoneReplies = new ZoneReplies(context);
    this.#exceptions = new Exceptions(context, this.#handoffs);
    this.#loops = new LoopNotice(context);
  }

  /** Whole seconds of the clock, as the cache counts. */
  get #now(): number {
    return Math.floor(this.#context.clock.now() / 1000);
  }

  /**
   * Answers the message at `start` of the view's memory, from the client that the filter checked last.
   * @param allowed the filter's verdict
   * @param out memory of its own, `words` its view, `at` a multiple of four
   * @returns bytes of the reply written at `at`; 0 when there is none, or none yet
   */
  respond(
    view: QueryView,
    start: number,
    length: number,
    allowed: boolean,
    origin: Origin,
    out: Buffer,
    words: Uint32Array,
    at: number,
    nowMs: number,
  ): number {
    const { counters, cache, filter, queryLog, commits } = this.#context;
    const verdict = view.read(start, length);
    if (view.wantsNsid) view.nsid = allowed ? this.#context.identity.nsid : NO_NSID;
    if (filter.limitsClients && !filter.admits(nowMs)) return this.#tooMuch(view, verdict, origin, out, at);
    const known = view.cookie !== 0 && this.#bakeCookie(view, origin.client().address.bytes);
    const udp = origin.transport === 'udp';
    const plain = allowed && verdict === RCODE.NOERROR && view.class === CLASS.IN;
    const { type } = view;
    let written: number;
    let bucket = ERRORS;
    if (plain) {
      // What is handed over, the control thread answers, which is never behind.
      if (commits?.isBehind === true) commits.catchUp();
      counters.add(questionCounter(type));
      const now = Math.floor(nowMs / 1000);
      if (view.wantsExpire && type === TYPE.SOA) view.expire = this.#expireOf(view);
      const limit = udp ? view.udpLimit : MAX_MESSAGE;
      const question = start + HEADER_LENGTH;
      this.#shared = 0;
      bucket = cache.hash(view.words, question >> 2, view.questionLength);
      const found = cache.lookup(view.bytes, view.words, question, view.questionLength, bucket, view.key, now);
      const usable =
        found === FRESH &&
        (cache.authoritative
          ? cache.messageLength <= roomFor(view, limit)
          : view.recursionDesired || type !== TYPE.DS || !this.#zoneReplies.isParents(view));
      written = usable
        ? this.#fromCache(view, limit, out, words, at, now)
        : this.#uncached(view, limit, origin, out, words, at, now, found === STALE);
    } else {
      this.#source = 'none';
      written = this.#exceptions.answer(view, verdict, allowed, origin, this.#recursionAvailable, out, at);
    }
    if (written === 0) return 0;
    if (udp && filter.limits && !known && !filter.exempt) {
      if (plain && this.#shared !== 0) bucket = this.#shared;
      const verdict = filter.limit(bucket, nowMs);
      if (verdict !== SEND) return this.#limited(verdict, view, out, at);
    }
    const rcode = out[at + 3]! & 15;
    counters.add(responseCounter(rcode));
    // Of what is no plain query the upper bits of the code stand elsewhere.
    if (queryLog.enabled && queryLog.takes(nowMs)) {
      const told = plain ? rcode : this.#exceptions.rcode;
      this.#logQuery(view, origin.transport, origin.client(), nowMs, told, out, at, written);
    }
    return written;
  }

  /** Sends the answer to a query that waited; without one the error (RFC 8914) tells why. */
  #finish(pending: Pending, answer: ForwardAnswer | undefined, error: number): void {
    if (this.#closed || pending.answered) return;
    pending.answered = true;
    pending.patience?.cancel();
    const { clock, counters, queryLog } = this.#context;
    const view = this.#later;
    const out = this.#scratch;
    view.bytes.set(pending.message, 0);
    view.read(0, pending.message.length);
    view.nsid = this.#context.identity.nsid;
    if (pending.cookie !== undefined) view.serverCookie.set(pending.cookie);
    const limit = pending.transport === 'udp' ? view.udpLimit : MAX_MESSAGE;
    let length: number;
    const { zoneReply } = pending.facts;
    if (zoneReply !== undefined) {
      const kept = answer === undefined ? this.#kept.copy(zoneReply.continuation!, view.key, this.#now) : undefined;
      const told = { message: answer?.message, stale: false, error: answer === undefined ? error : EDE.NONE };
      this.#source = 'zone';
      length = this.#continued(view, zoneReply, kept?.stale === true ? kept : told, limit, out, 0);
    } else if (answer !== undefined) {
      counters.add(COUNT.FORWARDED);
      this.#source = 'forwarded';
      length = writeAnswer(counters, view, answer.message, limit, out, 0);
    } else {
      length = this.#staleOrFailure(view, limit, out, 0, error);
    }
    counters.add(responseCounter(out[3]! & 15));
    const now = clock.now();
    observe(counters, FORWARDED_WAIT, now - pending.facts.since);
    if (pending.facts.client !== undefined && queryLog.takes(now)) {
      this.#logQuery(view, pending.transport, pending.facts.client, pending.facts.since, out[3]! & 15, out, 0, length);
    }
    pending.sink.send(out, 0, length);
    this.#outstanding.settle(pending.sink);
  }

  /** Keeps what the forwarder learnt; called before those who wait are answered. */
  settled(question: Uint8Array, key: number, answer: ForwardAnswer | undefined, error: number): void {
    this.#kept.settled(question, key, answer, error, this.#now);
  }

  /** Calls `run` as soon as nobody waits for an answer. */
  whenIdle(run: () => void): void {
    this.#outstanding.whenIdle(run);
  }

  /** Answers nobody any more. */
  close(): void {
    this.#closed = true;
    this.#handoffs.close();
  }

  /** Makes the reply's cookie. Returns whether the client showed the one it was given: it is where it says it is. */
  #bakeCookie(view: QueryView, address: Uint8Array): boolean {
    const { cookies, clock } = this.#context;
    const now = Math.floor(clock.wall() / 1000);
    cookies.make(view.bytes, view.cookie, address, now, view.serverCookie);
    return cookies.knows(view.bytes, view.cookie, view.cookieLength, address, now);
  }

  /** For how many seconds the zone asked for is good yet (RFC 7314 §3); -1: it is none that we were given. */
  #expireOf(view: QueryView): number {
    return this.#context.givenZone(view.query().key)?.secondsLeft(this.#context.clock.wall()) ?? -1;
  }

  get #recursionAvailable(): number {
    return this.#context.forwarder === undefined ? 0 : FLAG.RA;
  }

  /** The client has asked more than it may: by UDP there is no answer, which would go to whoever it is forged for. */
  #tooMuch(view: QueryView, verdict: number, origin: Origin, out: Buffer, at: number): number {
    const { counters } = this.#context;
    counters.add(COUNT.CLIENT_LIMITED);
    if (origin.transport === 'udp' || verdict === VERDICT.DROP) return 0;
    view.extendedError = EDE.PROHIBITED;
    if (view.cookie !== 0) this.#bakeCookie(view, origin.client().address.bytes);
    counters.add(responseCounter(RCODE.REFUSED));
    return writeRcode(view, RCODE.REFUSED, this.#recursionAvailable, out, at);
  }

  #logQuery(
    view: QueryView,
    transport: 'udp' | 'tcp',
    client: InetEndpoint,
    since: number,
    rcode: number,
    out: Buffer,
    at: number,
    size: number,
  ): void {
    const { clock, queryLog } = this.#context;
    const truncated = (out[at + 2]! & (FLAG.TC >> 8)) !== 0;
    const source = this.#source;
    queryLog.write(view, { transport, client, rcode, source, ms: clock.now() - since, size, truncated });
  }

  #limited(verdict: number, view: QueryView, out: Buffer, at: number): number {
    const { counters } = this.#context;
    counters.add(verdict === SLIP ? COUNT.SLIPPED : COUNT.RATE_LIMITED);
    return verdict === SLIP ? writeRcode(view, RCODE.NOERROR, this.#recursionAvailable | FLAG.TC, out, at) : 0;
  }

  #fromCache(view: QueryView, limit: number, out: Buffer, words: Uint32Array, at: number, now: number): number {
    const { cache, counters } = this.#context;
    if (cache.authoritative) {
      counters.add(COUNT.ZONE);
      counters.add(cache.counter);
      this.#source = 'zone';
      this.#shared = cache.bucket;
    } else {
      counters.add(COUNT.CACHE_HIT);
      this.#source = 'cache';
    }
    if (cache.wantsRefresh(now)) this.#refresh(view);
    if (cache.isFailure) view.extendedError = EDE.CACHED_ERROR;
    if (cache.messageLength > roomFor(view, limit)) {
      return writeTruncated(counters, view, cache.bytes, cache.messageOffset, out, at);
    }
    return addressTo(view, out, at, cache.copyTo(out, words, at, now), !cache.exact);
  }

  #uncached(
    view: QueryView,
    limit: number,
    origin: Origin,
    out: Buffer,
    words: Uint32Array,
    at: number,
    now: number,
    stale: boolean,
  ): number {
    const { counters, forwarder, cache, filter, queryLog } = this.#context;
    this.#source = 'zone';
    const reply = this.#zoneReplies.make(view);
    this.#shared = reply?.bucket ?? 0;
    if (
      reply !== undefined &&
      (reply.continuation === undefined || !view.recursionDesired || forwarder === undefined)
    ) {
      counters.add(COUNT.ZONE);
      return this.#fromZone(view, reply, limit, out, at, now);
    }
    if (reply === undefined) {
      const local = this.#context.hairpin.answer(view.copyQuestion());
      if (local !== undefined) {
        const counter = zoneCounter(OTHER_ZONES, RCODE.NOERROR);
        const lifetime = { ttl: 0, authoritative: true, failure: false, counter };
        cache.insert(local, view.questionLength, [], view.key, now, lifetime);
        counters.add(COUNT.ZONE);
        counters.add(counter);
        this.#source = 'local';
        return writeAnswer(counters, view, local, limit, out, at);
      }
      if (!view.recursionDesired || forwarder === undefined) {
        this.#source = 'none';
        view.extendedError = EDE.NOT_AUTHORITATIVE;
        return writeRcode(view, RCODE.REFUSED, this.#recursionAvailable, out, at);
      }
      if (stale && cache.failedLately(now)) return this.#stale(view, limit, out, words, at, now);
      if (!stale && this.#kept.isAbsent(view, now)) return this.#absent(view, limit, out, words, at, now);
      counters.add(COUNT.CACHE_MISS);
    }
    const question = reply?.continuation ?? view.copyQuestion();
    const ingress = reply === undefined ? undefined : this.#context.hairpin.answer(question);
    if (reply !== undefined && ingress !== undefined) {
      return this.#continued(view, reply, { message: ingress, stale: false, error: EDE.NONE }, limit, out, at);
    }
    const rest = reply === undefined ? undefined : this.#kept.copy(question, view.key, now);
    if (reply !== undefined && rest !== undefined && (!rest.stale || cache.failedLately(now))) {
      return this.#continued(view, reply, rest, limit, out, at);
    }
    const hasStale = reply === undefined ? stale : rest !== undefined;
    const client = queryLog.enabled ? origin.client() : undefined;
    const facts = { since: this.#context.clock.now(), zoneReply: reply, client };
    const pending = new Pending(view, origin, facts, (...outcome) => this.#finish(...outcome));
    // A query with a cookie of ours went out to an upstream here, and came back.
    const looped = view.cookie !== 0 && this.#context.ownCookies.isOurs(view.bytes, view.cookie);
    const outcome = looped ? LOOPED : forwarder!.resolve(question, view.key, filter.client, pending);
    if (outcome === QUEUED) {
      this.#outstanding.add();
      if (hasStale) {
        pending.patience = this.#context.clock.after(PATIENCE_MS, () => this.#finish(pending, undefined, EDE.OTHER));
      }
      return 0;
    }
    pending.sink.done();
    if (outcome === OVERLOADED) counters.add(COUNT.OVERLOAD);
    if (outcome === LOOPED) this.#loops.note(question, origin.client());
    if (reply !== undefined && rest !== undefined) return this.#continued(view, reply, rest, limit, out, at);
    if (stale && reply === undefined) return this.#stale(view, limit, out, words, at, now);
    this.#source = 'none';
    view.extendedError = outcome === UNAVAILABLE ? EDE.NO_REACHABLE_AUTHORITY : EDE.OTHER;
    return writeRcode(view, RCODE.SERVFAIL, FLAG.RA, out, at);
  }

  /** A chain of aliases of ours with what was found where it leads to; undefined is SERVFAIL. */
  #continued(view: QueryView, reply: ZoneReply, rest: ChainRest, limit: number, out: Buffer, at: number): number {
    const { counters } = this.#context;
    counters.add(rest.stale ? COUNT.STALE : COUNT.ZONE);
    view.extendedError = rest.error;
    const written = writeAnswer(counters, view, this.#zoneReplies.continued(reply, rest.message), limit, out, at);
    counters.add(zoneCounter(reply.slot, out[at + 3]! & 15));
    return written;
  }

  #absent(view: QueryView, limit: number, out: Buffer, words: Uint32Array, at: number, now: number): number {
    const { cache, counters } = this.#context;
    counters.add(COUNT.CACHE_HIT);
    this.#source = 'cache';
    if (cache.messageLength > roomFor(view, limit)) {
      return writeTruncated(counters, view, cache.bytes, cache.messageOffset, out, at);
    }
    return addressTo(view, out, at, cache.copyTo(out, words, at, now), true);
  }

  #fromZone(view: QueryView, reply: ZoneReply, limit: number, out: Buffer, at: number, now: number): number {
    const { cache, counters } = this.#context;
    const counter = zoneCounter(reply.slot, reply.message[3]! & 15);
    counters.add(counter);
    const failed = (reply.message[3]! & 15) === RCODE.SERVFAIL;
    if (failed) view.extendedError = EDE.INVALID_DATA;
    else if (reply.keeps && cache.admits()) {
      const lifetime = { ttl: 0, authoritative: true, failure: false, counter, bucket: reply.bucket };
      cache.insert(reply.message, view.questionLength, [], view.key, now, lifetime);
    }
    const room = roomFor(view, limit);
    if (reply.message.length <= room) return writeAnswer(counters, view, reply.message, limit, out, at);
    // As much as fits: what is only additional may be left out without TC (RFC 2181 §9).
    const short = this.#zoneReplies.make(view, room)!;
    return writeAnswer(counters, view, short.message, limit, out, at);
  }

  #stale(view: QueryView, limit: number, out: Buffer, words: Uint32Array, at: number, now: number): number {
    const { cache, counters } = this.#context;
    counters.add(COUNT.STALE);
    this.#source = 'stale';
    view.extendedError = staleError(cache);
    if (cache.messageLength > roomFor(view, limit)) {
      return writeTruncated(counters, view, cache.bytes, cache.messageOffset, out, at);
    }
    return addressTo(view, out, at, cache.copyTo(out, words, at, now), true);
  }

  #staleOrFailure(view: QueryView, limit: number, out: Buffer, at: number, error: number): number {
    const now = this.#now;
    const found = this.#kept.lookup(view.copyQuestion(), view.key, now);
    if (found === STALE) return this.#stale(view, limit, out, this.#scratchWords, at, now);
    this.#source = 'none';
    view.extendedError = error;
    return writeRcode(view, RCODE.SERVFAIL, FLAG.RA, out, at);
  }

  #refresh(view: QueryView): void {
    const { forwarder, counters } = this.#context;
    const outcome = forwarder?.resolve(view.copyQuestion(), view.key, 0, undefined);
    if (outcome === QUEUED) counters.add(COUNT.PREFETCH);
  }
}
