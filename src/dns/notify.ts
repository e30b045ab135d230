/**
 * NOTIFY (RFC 1996): tells secondaries that a zone has changed.
 *
 * For each secondary of each zone there is one round at a time: the message goes out, and again with growing intervals,
 * until it is answered or was sent often enough. What changes meanwhile is told by the next sending, or by a round of
 * its own a second after this one: a burst of updates makes one message a second, not one each.
 */
import dgram from 'node:dgram';
import { equalAddress, formatAddress, formatEndpoint, type InetEndpoint, parseAddress } from '../core/address.ts';
import type { Clock, Timer } from '../core/clock.ts';
import { errorMessage } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Random } from '../core/random.ts';
import type { TsigKey } from './config.ts';
import type { OwnedRRset } from './snapshot.ts';
import { signRequest, verifyReply } from './tsig.ts';
import { encodeMessage, type ParsedMessage, tryParseMessage } from './wire/message.ts';
import { equalNames, type Name, nameKey, nameToText } from './wire/name.ts';
import { locateTsig } from './wire/tsig.ts';
import { CLASS, FLAG, OPCODE, RCODE, rcodeToText, TYPE } from './wire/types.ts';

/** Between the sendings of a round, doubled each time: 62 s in all ("too many copies", RFC 1996 §3.6). */
const FIRST_RETRY_MS = 2000;
const MAX_SENDINGS = 5;
/** Between two rounds. */
const PAUSE_MS = 1000;

/** What the notifier needs from above. */
export interface NotifierContext {
  readonly clock: Clock;
  /** Draws message ids. */
  readonly random: Random;
  readonly log: Logger;
}

/** A zone that changed, and whom to tell. */
export interface Notification {
  readonly zone: Name;
  /** The zone's new SOA: a hint to the secondary (RFC 1996 §3.7). */
  readonly soa: OwnedRRset;
  readonly targets: readonly InetEndpoint[];
  /** Signs, where the secondary is one that signs its transfers. */
  readonly key: TsigKey | undefined;
}

interface Round {
  readonly target: InetEndpoint;
  news: Notification;
  id: number;
  sendings: number;
  /** The MACs of what was sent: an answer may be to any of them. */
  macs: Uint8Array[];
  state: 'asking' | 'pausing';
  /** Whether `news` is newer than what was sent. */
  untold: boolean;
  timer: Timer | undefined;
}

/** Sends NOTIFY messages for all zones; there is one for the process. */
export class Notifier {
  readonly #context: NotifierContext;
  readonly #rounds = new Map<string, Round>();
  readonly #sockets = new Map<4 | 6, dgram.Socket>();
  #stopped = false;

  constructor(context: NotifierContext) {
    this.#context = context;
  }

  /** Tells all targets of a zone, now or as soon as the round under way allows. */
  notify(news: Notification): void {
    if (this.#stopped) return;
    for (const target of news.targets) {
      const place = `${nameKey(news.zone)} ${formatEndpoint(target)}`;
      const round = this.#rounds.get(place);
      if (round !== undefined) {
        round.news = news;
        round.untold = true;
        continue;
      }
      this.#begin(place, {
        target,
        news,
        id: 0,
        sendings: 0,
        macs: [],
        state: 'asking',
        untold: true,
        timer: undefined,
      });
    }
  }

  /** Ends all rounds and closes the sockets. */
  stop(): void {
    this.#stopped = true;
    for (const round of this.#rounds.values()) round.timer?.cancel();
    this.#rounds.clear();
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #begin(place: string, round: Round): void {
    this.#rounds.set(place, round);
    round.id = this.#context.random.below(65536);
    round.state = 'asking';
    round.sendings = 0;
    round.macs = [];
    this.#send(place, round);
  }

  #send(place: string, round: Round): void {
    const { target, news } = round;
    if (round.sendings === MAX_SENDINGS) {
      this.#log(round).warn({ sendings: MAX_SENDINGS }, 'a secondary does not answer NOTIFY');
      this.#pause(place, round);
      return;
    }
    let message = encodeNotify(round.id, news);
    if (news.key !== undefined) {
      message = signRequest(message, news.key, this.#context.clock);
      round.macs.push(locateTsig(message)!.record.mac);
    }
    round.untold = false;
    const wait = FIRST_RETRY_MS * 2 ** round.sendings++;
    round.timer = this.#context.clock.after(wait, () => this.#send(place, round));
    // What cannot be sent is sent again: a route may come back.
    this.#socket(target.address.family).send(message, target.port, formatAddress(target.address), (error) => {
      if (error !== null) this.#log(round).debug({ reason: errorMessage(error) }, 'NOTIFY could not be sent');
    });
  }

  #pause(place: string, round: Round): void {
    round.timer?.cancel();
    round.state = 'pausing';
    round.timer = this.#context.clock.after(PAUSE_MS, () => {
      if (round.untold) this.#begin(place, round);
      else this.#rounds.delete(place);
    });
  }

  #socket(family: 4 | 6): dgram.Socket {
    let socket = this.#sockets.get(family);
    if (socket === undefined) {
      socket = dgram.createSocket(family === 4 ? 'udp4' : 'udp6');
      socket.unref();
      socket.on('message', (message, from) => this.#read(Uint8Array.from(message), from));
      socket.on('error', (error) => this.#context.log.debug({ reason: error.message }, 'NOTIFY socket'));
      this.#sockets.set(family, socket);
    }
    return socket;
  }

  /** Any answer ends the round, but a forged one must not: it has the address, the id, the zone and the signature. */
  #read(message: Uint8Array, from: dgram.RemoteInfo): void {
    const address = parseAddress(from.address);
    for (const [place, round] of this.#rounds) {
      const { target, news } = round;
      if (round.state !== 'asking' || target.port !== from.port || !equalAddress(target.address, address)) continue;
      const reply = tryParseMessage(message);
      if (reply === undefined || !answers(reply, round.id, news.zone)) continue;
      const { key } = news;
      if (key !== undefined && !round.macs.some((mac) => verifyReply(message, key, mac))) {
        this.#log(round).warn({ rcode: rcodeToText(reply.rcode) }, 'an answer to NOTIFY is not signed as it should be');
        continue;
      }
      if (reply.rcode !== RCODE.NOERROR) {
        this.#log(round).warn({ rcode: rcodeToText(reply.rcode) }, 'a secondary refused NOTIFY');
      }
      this.#pause(place, round);
    }
  }

  #log({ target, news }: Round): Logger {
    return this.#context.log.child({ zone: nameToText(news.zone), secondary: formatEndpoint(target) });
  }
}

function encodeNotify(id: number, { zone, soa }: Notification): Uint8Array {
  const { type, ttl, rdata } = soa.rrset;
  return encodeMessage({
    id,
    flags: FLAG.AA,
    opcode: OPCODE.NOTIFY,
    rcode: RCODE.NOERROR,
    questions: [{ name: zone, type: TYPE.SOA, class: CLASS.IN }],
    answers: [{ name: soa.owner, type, class: CLASS.IN, ttl, rdata: rdata[0]! }],
    authority: [],
    additional: [],
  });
}

function answers(reply: ParsedMessage, id: number, zone: Name): boolean {
  const [question] = reply.questions;
  return (
    reply.id === id &&
    (reply.flags & FLAG.QR) !== 0 &&
    reply.opcode === OPCODE.NOTIFY &&
    // Some servers leave the question out of an error.
    (question === undefined ? reply.rcode !== RCODE.NOERROR : equalNames(question.name, zone))
  );
}
