/** What an upstream answered, made ready for the cache: our header, no OPT, nothing that was not asked for, TTLs within bounds. */
import { readUint16, readUint32, writeUint16, writeUint32 } from '../wire/bytes.ts';
import { encodeMessage, HEADER_LENGTH, type Message, tryParseMessage } from '../wire/message.ts';
import { sameNameAt } from '../wire/name.ts';
import { type RecordVisitor, scanRecords } from '../wire/scan.ts';
import { FLAG, RCODE, SECTION, TYPE } from '../wire/types.ts';
import { prune } from './bailiwick.ts';

/** A forwarded answer. */
export interface ForwardAnswer {
  /** The message without OPT; id, RD and CD are zero. */
  readonly message: Uint8Array;
  readonly questionLength: number;
  readonly ttlOffsets: readonly number[];
  /** Seconds it may be cached; 0 = not at all. */
  readonly ttl: number;
  readonly rcode: number;
  /** Whether the upstream said more than belongs to the question. */
  readonly pruned: boolean;
}

/** Bounds on lifetimes, from the configuration. */
export interface TtlBounds {
  readonly minTtlSeconds: number;
  readonly maxTtlSeconds: number;
  readonly maxNegativeTtlSeconds: number;
}

/** Most aliases a plain answer may have; one with more is looked at record by record. */
const PLAIN_CHAIN = 16;

/** Makes an answer of an upstream's reply whose question was checked; undefined when the message is malformed, or is none. */
export function readAnswer(reply: Uint8Array, questionLength: number, bounds: TtlBounds): ForwardAnswer | undefined {
  const scan = new AnswerScan(reply, readUint16(reply, HEADER_LENGTH + questionLength - 4));
  if (!scanRecords(reply, scan) || !scan.sound || isReferral(reply, scan)) return undefined;
  if (scan.stray) {
    const message = withoutOpt(reply);
    if (message === undefined) return undefined;
    const kept = prune(message);
    // All that was told was beside the question: that is no answer, not a negative one.
    if (message.answers.length > 0 && kept.answers.length === 0) return undefined;
    const written = encodeMessage(kept);
    const again = new AnswerScan(written, scan.type);
    if (!scanRecords(written, again) || !again.sound) return undefined;
    return make(written, questionLength, bounds, again, kept.answers.length < message.answers.length);
  }
  return make(reply, questionLength, bounds, scan, false);
}

/** Whether it only says who may know (RFC 2308 §2.2): the upstream does not recurse for us, and another may. */
function isReferral(reply: Uint8Array, { answers, aliases, negativeTtl, delegates }: AnswerScan): boolean {
  const flags = readUint16(reply, 2);
  return (flags & (FLAG.AA | 15)) === 0 && delegates && !answers && !aliases && negativeTtl < 0;
}

function make(
  reply: Uint8Array,
  questionLength: number,
  bounds: TtlBounds,
  scan: AnswerScan,
  pruned: boolean,
): ForwardAnswer {
  const message = Uint8Array.from(scan.opt >= 0 ? reply.subarray(0, scan.opt) : reply);
  const rcode = message[3]! & 15;
  if (scan.opt >= 0) writeUint16(message, 10, readUint16(message, 10) - 1);
  writeUint16(message, 0, 0);
  writeUint16(message, 2, FLAG.QR | FLAG.RA | (readUint16(reply, 2) & FLAG.AD) | rcode);
  const ttl = boundTtls(message, scan, rcode, bounds);
  return { message, questionLength, ttlOffsets: scan.ttlOffsets, ttl, rcode, pruned };
}

/** Writes bounded TTLs into the message. Returns the lifetime of the whole. */
function boundTtls(message: Uint8Array, scan: AnswerScan, rcode: number, bounds: TtlBounds): number {
  const negative = rcode === RCODE.NXDOMAIN || !scan.answers;
  let most = bounds.maxTtlSeconds;
  let least = Math.min(bounds.minTtlSeconds, most);
  if (negative) {
    // RFC 2308 §5: by the SOA; without one a negative answer is not cached.
    if (scan.negativeTtl < 0 && !(rcode === RCODE.NOERROR && scan.aliases)) return 0;
    most = Math.min(most, bounds.maxNegativeTtlSeconds, scan.negativeTtl < 0 ? most : scan.negativeTtl);
    least = Math.min(least, most);
  }
  let lifetime = most;
  for (const offset of scan.ttlOffsets) {
    const sent = readUint32(message, offset);
    // RFC 2181 §8: a TTL with its top bit set is zero.
    const ttl = Math.max(least, Math.min(most, sent > 0x7fffffff ? 0 : sent));
    writeUint32(message, offset, ttl);
    lifetime = Math.min(lifetime, ttl);
  }
  return lifetime;
}

/** The message without OPT; undefined when that, which nothing else looks into here, is malformed. */
function withoutOpt(reply: Uint8Array): Message | undefined {
  const whole = tryParseMessage(reply);
  if (whole === undefined) return undefined;
  const { edns: _, ...message }: Message = whole;
  return message;
}

class AnswerScan implements RecordVisitor {
  readonly ttlOffsets: number[] = [];
  /** At most one OPT, in its place (RFC 6891 §6.1.1), and no TSIG, which nobody asked for. */
  sound = true;
  opt = -1;
  /** Whether records of the type asked for are there, and whether aliases are. */
  answers = false;
  aliases = false;
  /** Whether the authority section has name servers. */
  delegates = false;
  /** From the SOA in the authority section (RFC 2308 §5); -1 without. */
  negativeTtl = -1;
  /** Whether records are there that may not belong to the question: owners out of order, or none of the chain's. */
  stray = false;
  /** Where the names of the chain of aliases are: the question's, and those that CNAMEs lead to. */
  readonly #chain = [HEADER_LENGTH];
  readonly #message: Uint8Array;
  readonly type: number;

  constructor(message: Uint8Array, type: number) {
    this.#message = message;
    this.type = type;
  }

  record(
    section: number,
    type: number,
    _class: number,
    owner: number,
    ttlOffset: number,
    ttl: number,
    rdata: number,
    length: number,
  ): void {
    if (type === TYPE.OPT) {
      this.sound &&= section === SECTION.ADDITIONAL && this.opt < 0;
      this.opt = owner;
      return;
    }
    this.sound &&= type !== TYPE.TSIG;
    this.ttlOffsets.push(ttlOffset);
    if (section === SECTION.ANSWER) {
      this.answers ||= type === this.type || this.type === TYPE.ANY;
      this.aliases ||= type === TYPE.CNAME || type === TYPE.DNAME;
      this.stray ||= this.#chain.length > PLAIN_CHAIN || !this.#onChain(owner);
      if (type === TYPE.CNAME && length > 0) this.#chain.push(rdata);
      return;
    }
    this.delegates ||= section === SECTION.AUTHORITY && type === TYPE.NS;
    // An SOA is told by most upstreams with what does not exist, and checked here; all else is looked at closer.
    this.stray ||= section !== SECTION.AUTHORITY || type !== TYPE.SOA || !this.#aboveChain(owner);
    if (section === SECTION.AUTHORITY && type === TYPE.SOA && length >= 22) {
      this.negativeTtl = Math.min(ttl, readUint32(this.#message, rdata + length - 4));
    }
  }

  #onChain(owner: number): boolean {
    for (let i = this.#chain.length - 1; i >= 0; i--) {
      if (sameNameAt(this.#message, owner, this.#chain[i]!)) return true;
    }
    return false;
  }

  /** Whether the name is one of the chain's, or one above it. */
  #aboveChain(owner: number): boolean {
    return this.#chain.some((name) => {
      for (let at = name; ; at += this.#message[at]! + 1) {
        while (this.#message[at]! >= 0xc0) at = ((this.#message[at]! & 0x3f) << 8) | this.#message[at + 1]!;
        if (sameNameAt(this.#message, owner, at)) return true;
        if (this.#message[at] === 0) return false;
      }
    });
  }
}
