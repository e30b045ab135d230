/**
 * What a data thread needs to know of a message from a client, read in place: one view serves them all. A plain query, alone
 * or with one OPT record, is read here without an allocation; whatever else came is read by `Query`.
 */
import { KEY_CD, KEY_DO } from './cache.ts';
import { COOKIE_OPTION, isCookieLength, SERVER_COOKIE } from './cookies.ts';
import { COUNT } from './counters.ts';
import { EDE } from './extended-error.ts';
import { EXPIRE_OPTION } from './wire/expire.ts';
import { MAX_UDP_SIZE, MIN_UDP_SIZE, Query, VERDICT } from './wire/query.ts';
import { RCODE, TYPE } from './wire/types.ts';

export const HEADER_LENGTH = 12;
/** Root name, type, class (UDP size), TTL (extended rcode, version, flags), rdata length. */
export const OPT_LENGTH = 1 + 2 + 2 + 4 + 2;

/** A view of one message; the fields hold until the next `read`. */
const NSID_OPTION = 3;
/** No name is told. */
export const NO_NSID: Uint8Array = new Uint8Array(0);

export class QueryView {
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  /** Where the message begins, a multiple of four, and ends. */
  start = 0;
  end = 0;
  /** Bytes of the question; 0 when there is none that can be read. */
  questionLength = 0;
  class = 0;
  /** KEY_CD and KEY_DO, as the cache wants them. */
  key = 0;
  recursionDesired = false;
  /** Whether the client understands AD (RFC 6840 §5.7). */
  wantsAuthenticData = false;
  edns = false;
  /** Longest datagram the client takes, within what we send. */
  udpLimit = MIN_UDP_SIZE;
  /** What the reply's OPT record says beside the rcode (RFC 8914); set by whoever writes the reply. */
  extendedError: number = EDE.NONE;
  /** Where the COOKIE option's data is (RFC 7873 §4), and how long; 0 without one. */
  cookie = 0;
  cookieLength = 0;
  /** Whether the client wants to know which server it is (NSID, RFC 5001 §2.1). */
  wantsNsid = false;
  /** What it is told then; set by whoever writes the reply. */
  nsid = NO_NSID;
  /** Whether the client wants to know how long a zone is good yet (RFC 7314 §2). */
  wantsExpire = false;
  /** How many seconds it is told; -1: nothing. Set by whoever writes the reply. */
  expire = -1;
  /** The server cookie of the reply, if it has one. */
  readonly serverCookie = new Uint8Array(SERVER_COOKIE);
  readonly #query = new Query();

  /** @param bytes memory of its own, from the start of which words are counted */
  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  }

  /** Reads the message of `length` bytes at `start`. Returns a `VERDICT` or the rcode to answer with: NOERROR for a query. */
  read(start: number, length: number): number {
    const { bytes } = this;
    const end = start + length;
    this.start = start;
    this.end = end;
    this.extendedError = EDE.NONE;
    this.expire = -1;
    this.cookie = this.cookieLength = 0;
    this.wantsNsid = this.wantsExpire = false;
    // QUERY, not a response; one question, no answer, no authority, at most one additional record.
    if (
      length < HEADER_LENGTH + 5 ||
      (bytes[start + 2]! & 0xf8) !== 0 ||
      bytes[start + 4] !== 0 ||
      bytes[start + 5] !== 1 ||
      (bytes[start + 6]! | bytes[start + 7]! | bytes[start + 8]! | bytes[start + 9]! | bytes[start + 10]!) !== 0
    ) {
      return this.#readUnusual();
    }
    const question = start + HEADER_LENGTH;
    let at = question;
    for (let label = bytes[at]!; label !== 0; label = bytes[at]!) {
      at += label + 1;
      if (label > 63 || at >= end) return this.#readUnusual();
    }
    at += 5;
    const typeHigh = bytes[at - 4]!;
    const typeLow = bytes[at - 3]!;
    // Longer than a name can be; or a type that is no type of data.
    if (at > end || at - question > 255 + 4 || (typeHigh === 0 && (typeLow >= 128 || typeLow === TYPE.OPT))) {
      return this.#readUnusual();
    }
    if (at === end && bytes[start + 11] === 0) {
      this.edns = false;
      this.udpLimit = MIN_UDP_SIZE;
      this.key = (bytes[start + 3]! & 0x10) !== 0 ? KEY_CD : 0;
    } else if (
      bytes[start + 11] === 1 &&
      at + OPT_LENGTH <= end &&
      bytes[at] === 0 &&
      bytes[at + 1] === 0 &&
      bytes[at + 2] === TYPE.OPT &&
      bytes[at + 6] === 0 &&
      this.#soundOptions(at + OPT_LENGTH, (bytes[at + 9]! << 8) | bytes[at + 10]!)
    ) {
      const size = (bytes[at + 3]! << 8) | bytes[at + 4]!;
      this.edns = true;
      this.udpLimit = Math.max(MIN_UDP_SIZE, Math.min(size, MAX_UDP_SIZE));
      this.key = ((bytes[start + 3]! & 0x10) !== 0 ? KEY_CD : 0) | ((bytes[at + 7]! & 0x80) !== 0 ? KEY_DO : 0);
    } else {
      return this.#readUnusual();
    }
    this.questionLength = at - question;
    if (this.cookie !== 0 && !isCookieLength(this.cookieLength)) {
      this.cookie = 0;
      return RCODE.FORMERR;
    }
    this.class = (bytes[at - 2]! << 8) | bytes[at - 1]!;
    this.recursionDesired = (bytes[start + 2]! & 0x01) !== 0;
    this.wantsAuthenticData = (bytes[start + 3]! & 0x20) !== 0;
    return RCODE.NOERROR;
  }

  /** The message parsed as codecs want it, for the slow path. */
  query(): Query {
    this.#query.read(this.message());
    return this.#query;
  }

  /** The message: a view that holds as long as the memory it came in. */
  message(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }

  /** The question as bytes of its own, case as it came. */
  copyQuestion(): Uint8Array {
    const question = this.start + HEADER_LENGTH;
    return Uint8Array.from(this.bytes.subarray(question, question + this.questionLength));
  }

  /** The type asked for. */
  get type(): number {
    const end = this.start + HEADER_LENGTH + this.questionLength;
    return (this.bytes[end - 4]! << 8) | this.bytes[end - 3]!;
  }

  get dnssecOk(): boolean {
    return (this.key & KEY_DO) !== 0;
  }

  /** Which counter tells what is wrong with a message that cannot be read. */
  faultCounter(): number {
    const { bytes, start, end } = this;
    if (end - start < HEADER_LENGTH) return COUNT.SHORT;
    if ((bytes[start + 2]! & 0x80) !== 0) return COUNT.RESPONSE;
    if (bytes[start + 4] !== 0 || bytes[start + 5] !== 1) return COUNT.COUNTS;
    return this.questionLength === 0 ? COUNT.NAME : COUNT.RECORDS;
  }

  #readUnusual(): number {
    const query = this.#query;
    this.cookie = this.cookieLength = 0;
    this.wantsNsid = this.wantsExpire = false;
    const verdict = query.read(this.message());
    if (verdict === VERDICT.DROP) return verdict;
    if (verdict === RCODE.FORMERR && this.#readCookieAlone()) return RCODE.NOERROR;
    this.questionLength = query.questionEnd > 0 ? query.questionEnd - HEADER_LENGTH : 0;
    this.class = query.class;
    this.key = ((query.flags & 0x10) !== 0 ? KEY_CD : 0) | (query.dnssecOk ? KEY_DO : 0);
    this.recursionDesired = (query.flags & 0x0100) !== 0;
    this.wantsAuthenticData = (query.flags & 0x20) !== 0;
    this.edns = query.hasEdns;
    this.udpLimit = query.udpLimit;
    return verdict;
  }

  /** Whether it is a query without a question that asks for a cookie (RFC 7873 §5.4): OPT, which has one, and nothing else. */
  #readCookieAlone(): boolean {
    const { bytes, start, end } = this;
    const opt = start + HEADER_LENGTH;
    if (opt + OPT_LENGTH > end || (bytes[start + 2]! & 0xf8) !== 0) return false;
    for (let i = 4; i < 11; i++) if (bytes[start + i] !== 0) return false;
    if (bytes[start + 11] !== 1 || bytes[opt] !== 0 || bytes[opt + 1] !== 0 || bytes[opt + 2] !== TYPE.OPT)
      return false;
    if (bytes[opt + 6] !== 0 || !this.#soundOptions(opt + OPT_LENGTH, (bytes[opt + 9]! << 8) | bytes[opt + 10]!)) {
      this.cookie = 0;
      return false;
    }
    if (this.cookie === 0 || !isCookieLength(this.cookieLength)) {
      this.cookie = 0;
      return false;
    }
    this.questionLength = this.class = 0;
    this.edns = true;
    this.udpLimit = MIN_UDP_SIZE;
    this.key = (bytes[opt + 7]! & 0x80) !== 0 ? KEY_DO : 0;
    this.recursionDesired = (bytes[start + 2]! & 0x01) !== 0;
    this.wantsAuthenticData = false;
    return true;
  }

  /**
   * Whether options fill the OPT record exactly, and it the message. What they say is ignored (RFC 6891 §6.1.2), but for NSID,
   * EXPIRE and the first cookie, which must be sound.
   */
  #soundOptions(from: number, length: number): boolean {
    const end = from + length;
    if (end !== this.end) return false;
    let at = from;
    while (at + 4 <= end) {
      const size = (this.bytes[at + 2]! << 8) | this.bytes[at + 3]!;
      if (this.bytes[at + 1] === COOKIE_OPTION && this.bytes[at] === 0 && this.cookie === 0) {
        this.cookie = at + 4;
        this.cookieLength = size;
      }
      if (this.bytes[at + 1] === NSID_OPTION && this.bytes[at] === 0) this.wantsNsid = true;
      if (this.bytes[at + 1] === EXPIRE_OPTION && this.bytes[at] === 0) this.wantsExpire = true;
      at += 4 + size;
    }
    return at === end;
  }
}
