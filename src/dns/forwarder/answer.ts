/** What an upstream answered, made ready for the cache: our header, no OPT, TTLs within bounds. */
import { readUint16, readUint32, writeUint16, writeUint32 } from '../wire/bytes.ts';
import { encodeMessage, HEADER_LENGTH, parseMessage } from '../wire/message.ts';
import { type RecordVisitor, scanRecords } from '../wire/scan.ts';
import { FLAG, RCODE, SECTION, TYPE } from '../wire/types.ts';

/** A forwarded answer. */
export interface ForwardAnswer {
  /** The message without OPT; id, RD and CD are zero. */
  readonly message: Uint8Array;
  readonly questionLength: number;
  readonly ttlOffsets: readonly number[];
  /** Seconds it may be cached; 0 = not at all. */
  readonly ttl: number;
  readonly rcode: number;
}

/** Bounds on lifetimes, from the configuration. */
export interface TtlBounds {
  readonly minTtlSeconds: number;
  readonly maxTtlSeconds: number;
  readonly maxNegativeTtlSeconds: number;
}

/** Makes an answer of an upstream's reply whose question was checked; undefined when the message is malformed. */
export function readAnswer(reply: Uint8Array, questionLength: number, bounds: TtlBounds): ForwardAnswer | undefined {
  const scan = new AnswerScan(reply, readUint16(reply, HEADER_LENGTH + questionLength - 4));
  if (!scanRecords(reply, scan) || !scan.sound) return undefined;
  if (scan.opt >= 0 && scan.opt + scan.optLength !== reply.length) {
    // OPT before other records: what they point at would move, so the message is written anew.
    return readAnswer(withoutOpt(reply), questionLength, bounds);
  }
  const message = Uint8Array.from(scan.opt >= 0 ? reply.subarray(0, scan.opt) : reply);
  const rcode = message[3]! & 15;
  if (scan.opt >= 0) writeUint16(message, 10, readUint16(message, 10) - 1);
  writeUint16(message, 0, 0);
  writeUint16(message, 2, FLAG.QR | FLAG.RA | (readUint16(reply, 2) & FLAG.AD) | rcode);
  const ttl = boundTtls(message, scan, rcode, bounds);
  return { message, questionLength, ttlOffsets: scan.ttlOffsets, ttl, rcode };
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

function withoutOpt(reply: Uint8Array): Uint8Array {
  const { edns: _, ...message } = parseMessage(reply);
  return encodeMessage(message);
}

class AnswerScan implements RecordVisitor {
  readonly ttlOffsets: number[] = [];
  /** At most one OPT, in its place (RFC 6891 §6.1.1), and no TSIG, which nobody asked for. */
  sound = true;
  opt = -1;
  optLength = 0;
  /** Whether records of the type asked for are there, and whether aliases are. */
  answers = false;
  aliases = false;
  /** From the SOA in the authority section (RFC 2308 §5); -1 without. */
  negativeTtl = -1;
  readonly #message: Uint8Array;
  readonly #type: number;

  constructor(message: Uint8Array, type: number) {
    this.#message = message;
    this.#type = type;
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
      this.optLength = rdata + length - owner;
      return;
    }
    this.sound &&= type !== TYPE.TSIG;
    this.ttlOffsets.push(ttlOffset);
    if (section === SECTION.ANSWER) {
      this.answers ||= type === this.#type || this.#type === TYPE.ANY;
      this.aliases ||= type === TYPE.CNAME || type === TYPE.DNAME;
    } else if (section === SECTION.AUTHORITY && type === TYPE.SOA && length >= 22) {
      this.negativeTtl = Math.min(ttl, readUint32(this.#message, rdata + length - 4));
    }
  }
}
