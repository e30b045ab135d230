/** Queries as they come in: header, question and EDNS read without making objects; one `Query` serves a thread for good. */
import { readUint16 } from './bytes.ts';
import { type Name, type NameKey, nameKeyAt, scanName, scanPlainName } from './name.ts';
import { OPCODE, RCODE, TYPE } from './types.ts';

const HEADER_LENGTH = 12;
/** The UDP payload everyone can take (RFC 1035 §2.3.4), and the one that is never fragmented (RFC 9715 §3.1). */
export const MIN_UDP_SIZE = 512;
export const MAX_UDP_SIZE = 1232;

/** What `Query.read` makes of a message; values from 0 on are the rcode to answer with, NOERROR meaning a plain query. */
export const VERDICT = {
  /** Not a query (too short, or a response): answering could start a loop. */
  DROP: -1,
  /** For the control thread: UPDATE, NOTIFY, AXFR, IXFR, or signed. */
  HANDOFF: -2,
} as const;

/** The parts of a query that answering needs; valid until the next `read`. */
export class Query {
  message: Uint8Array = new Uint8Array(0);
  id = 0;
  /** The header's second word as it came. */
  flags = 0;
  opcode = 0;
  type = 0;
  class = 0;
  /** End of the question's name and of the question; 0 while no question was read. */
  nameEnd = 0;
  questionEnd = 0;
  hasEdns = false;
  udpSize = 0;
  ednsVersion = 0;
  dnssecOk = false;
  signed = false;
  #key: NameKey | undefined;

  /** Reads `message[0, end)`. @returns a `VERDICT` or the rcode to answer with */
  read(message: Uint8Array, end = message.length): number {
    this.message = message;
    this.nameEnd = this.questionEnd = this.type = this.class = 0;
    this.hasEdns = this.dnssecOk = this.signed = false;
    this.udpSize = this.ednsVersion = 0;
    this.#key = undefined;
    if (end < HEADER_LENGTH) return VERDICT.DROP;
    this.id = readUint16(message, 0);
    this.flags = readUint16(message, 2);
    this.opcode = (this.flags >> 11) & 15;
    if ((this.flags & 0x8000) !== 0) return VERDICT.DROP;
    if (this.opcode === OPCODE.UPDATE || this.opcode === OPCODE.NOTIFY) return VERDICT.HANDOFF;
    if (this.opcode !== OPCODE.QUERY) return this.#refuse(RCODE.NOTIMP, end);
    // RFC 9619 §4: a query has one question.
    if (readUint16(message, 4) !== 1) return this.#refuse(RCODE.FORMERR, end);
    const nameEnd = scanPlainName(message, HEADER_LENGTH, end);
    if (nameEnd < 0 || nameEnd + 4 > end) return RCODE.FORMERR;
    this.nameEnd = nameEnd;
    this.questionEnd = nameEnd + 4;
    this.type = readUint16(message, nameEnd);
    this.class = readUint16(message, nameEnd + 2);
    if (!this.#readRecords(this.questionEnd, end)) return RCODE.FORMERR;
    if (this.signed || this.type === TYPE.AXFR || this.type === TYPE.IXFR) return VERDICT.HANDOFF;
    if (this.ednsVersion > 0) return RCODE.BADVERS;
    return checkType(this.type);
  }

  /** The question's name, a view into the message. */
  get name(): Name {
    return this.message.subarray(HEADER_LENGTH, this.nameEnd);
  }

  /** The map key of the question's name. */
  get key(): NameKey {
    this.#key ??= nameKeyAt(this.message, HEADER_LENGTH, this.nameEnd);
    return this.#key;
  }

  /** How long a reply over UDP may be: what the client can take, but never so long that it would be fragmented. */
  get udpLimit(): number {
    return Math.max(MIN_UDP_SIZE, Math.min(this.udpSize, MAX_UDP_SIZE));
  }

  /** RFC 6891 §6.1.1: also what is refused for its header has OPT in its reply if it has one itself; where that can be read. */
  #refuse(rcode: number, end: number): number {
    const { message } = this;
    let at = HEADER_LENGTH;
    for (let left = readUint16(message, 4); left > 0; left--) {
      const next = scanName(message, at, end);
      if (next < 0 || next + 4 > end) return rcode;
      at = next + 4;
    }
    if (!this.#readRecords(at, end)) this.hasEdns = this.dnssecOk = false;
    return rcode;
  }

  /** Walks what follows the question, to the last octet, for OPT and for signatures. */
  #readRecords(from: number, end: number): boolean {
    const { message } = this;
    const additionalFrom = readUint16(message, 6) + readUint16(message, 8);
    const count = additionalFrom + readUint16(message, 10);
    let at = from;
    for (let i = 0; i < count; i++) {
      const next = scanName(message, at, end);
      if (next < 0 || next + 10 > end) return false;
      const type = readUint16(message, next);
      const rdataEnd = next + 10 + readUint16(message, next + 8);
      if (rdataEnd > end) return false;
      if (type === TYPE.OPT) {
        // RFC 6891 §6.1.1: one, in the additional section, with the root as its owner.
        if (this.hasEdns || i < additionalFrom || next - at !== 1) return false;
        if (!this.#readOpt(next, rdataEnd)) return false;
      } else if (type === TYPE.TSIG || (type === TYPE.SIG && i >= additionalFrom)) {
        // RFC 8945 §5.1: the last record, of class ANY; the control thread looks closer.
        this.signed = true;
      }
      at = rdataEnd;
    }
    return at === end;
  }

  #readOpt(fixed: number, rdataEnd: number): boolean {
    const { message } = this;
    this.hasEdns = true;
    this.udpSize = readUint16(message, fixed + 2);
    this.ednsVersion = message[fixed + 5]!;
    this.dnssecOk = (message[fixed + 6]! & 0x80) !== 0;
    let at = fixed + 10;
    while (at + 4 <= rdataEnd) at += 4 + readUint16(message, at + 2);
    return at === rdataEnd;
  }
}

/** Question types that are no types of data (RFC 6895 §3.1): ANY is answered, transfers were handed over. */
function checkType(type: number): number {
  if (type === TYPE.MAILA || type === TYPE.MAILB || type === TYPE.TKEY) return RCODE.NOTIMP;
  if (type === TYPE.OPT || (type >= 128 && type < TYPE.ANY)) return RCODE.FORMERR;
  return RCODE.NOERROR;
}
