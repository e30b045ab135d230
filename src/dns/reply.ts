/** Replies as bytes: what stands around an answer. The output begins at `at` of `out`; lengths come back. */
import type { CounterStripe } from '../core/counters.ts';
import { CLIENT_COOKIE, COOKIE_OPTION, SERVER_COOKIE } from './cookies.ts';
import { COUNT } from './counters.ts';
import { EXTENDED_ERROR_OPTION } from './extended-error.ts';
import { HEADER_LENGTH, OPT_LENGTH, type QueryView } from './query-view.ts';
import { EXPIRE_OPTION } from './wire/expire.ts';
import { MAX_UDP_SIZE } from './wire/query.ts';
import { FLAG, RCODE, TYPE } from './wire/types.ts';

const QR_BYTE = FLAG.QR >> 8;
const RD_BYTE = FLAG.RD >> 8;
/** What the option takes without a text (RFC 8914 §2). */
const EXTENDED_ERROR_LENGTH = 2 + 2 + 2;
/** What EXPIRE takes (RFC 7314 §3). */
const EXPIRE_LENGTH = 2 + 2 + 4;
const COOKIE_LENGTH = 2 + 2 + CLIENT_COOKIE + SERVER_COOKIE;
const NSID_OPTION = 3;

/** Writes a reply that is a response code and nothing more, with `flags` beside QR and what the query asks to be echoed. */
export function writeRcode(view: QueryView, rcode: number, flags: number, out: Uint8Array, at: number): number {
  const { bytes, start, questionLength } = view;
  out[at] = bytes[start]!;
  out[at + 1] = bytes[start + 1]!;
  // Opcode and RD come back as they were (RFC 1035 §4.1.1), CD too (RFC 4035 §3.2.2).
  out[at + 2] = QR_BYTE | (bytes[start + 2]! & 0x79) | (flags >> 8);
  out[at + 3] = (bytes[start + 3]! & FLAG.CD) | (flags & 0xff) | (rcode & 15);
  for (let i = 4; i < HEADER_LENGTH; i++) out[at + i] = 0;
  if (questionLength > 0) out[at + 5] = 1;
  const question = start + HEADER_LENGTH;
  for (let i = 0; i < questionLength; i++) out[at + HEADER_LENGTH + i] = bytes[question + i]!;
  const length = HEADER_LENGTH + questionLength;
  return view.edns ? appendOpt(view, out, at, length, rcode) : length;
}

/** Writes the truncated form of a reply whose header stands at `header` of `source`: the client comes again by TCP. Counts it. */
export function writeTruncated(
  counters: CounterStripe,
  view: QueryView,
  source: Uint8Array,
  header: number,
  out: Uint8Array,
  at: number,
): number {
  counters.add(COUNT.TRUNCATED);
  const flags = (source[header + 2]! << 8) | source[header + 3]!;
  return writeRcode(view, flags & 15, (flags & (FLAG.AA | FLAG.RA)) | FLAG.TC, out, at);
}

/**
 * Makes the message of `length` bytes at `at`, which has no OPT, the reply to this query: id, RD, CD, AD, the question as it
 * was written (`echo`), and OPT if the query had one.
 */
export function addressTo(view: QueryView, out: Uint8Array, at: number, length: number, echo: boolean): number {
  const { bytes, start } = view;
  out[at] = bytes[start]!;
  out[at + 1] = bytes[start + 1]!;
  out[at + 2] = out[at + 2]! | (bytes[start + 2]! & RD_BYTE);
  const authentic = view.wantsAuthenticData || view.dnssecOk ? FLAG.AD : 0;
  out[at + 3] = (out[at + 3]! & (FLAG.RA | authentic | 15)) | (bytes[start + 3]! & FLAG.CD);
  if (echo) {
    const question = start + HEADER_LENGTH;
    for (let i = 0; i < view.questionLength; i++) out[at + HEADER_LENGTH + i] = bytes[question + i]!;
  }
  return view.edns ? appendOpt(view, out, at, length, 0) : length;
}

/** Writes a message that has neither OPT nor the client's question, id and flags yet; truncated if it has no room. */
export function writeAnswer(
  counters: CounterStripe,
  view: QueryView,
  message: Uint8Array,
  limit: number,
  out: Buffer,
  at: number,
): number {
  if (message.length > roomFor(view, limit)) return writeTruncated(counters, view, message, 0, out, at);
  out.set(message, at);
  return addressTo(view, out, at, message.length, true);
}

/** The room a reply has beside what `addressTo` appends. */
export function roomFor(view: QueryView, limit: number): number {
  if (!view.edns) return limit;
  const extendedError = view.extendedError < 0 ? 0 : EXTENDED_ERROR_LENGTH;
  const cookie = view.cookie === 0 ? 0 : COOKIE_LENGTH;
  const expire = view.expire < 0 ? 0 : EXPIRE_LENGTH;
  return limit - OPT_LENGTH - extendedError - cookie - expire - (tellsNsid(view) ? 4 + view.nsid.length : 0);
}

/**
 * Appends our OPT record (RFC 6891 §6.1.2): size, version 0, the upper bits of the rcode, DO as it came (RFC 3225 §3), and the
 * extended error if there is one.
 */
function appendOpt(view: QueryView, out: Uint8Array, at: number, length: number, rcode: number): number {
  const opt = at + length;
  out[opt] = 0;
  out[opt + 1] = 0;
  out[opt + 2] = TYPE.OPT;
  out[opt + 3] = MAX_UDP_SIZE >> 8;
  out[opt + 4] = MAX_UDP_SIZE & 0xff;
  out[opt + 5] = rcode >> 4;
  out[opt + 6] = 0;
  out[opt + 7] = view.dnssecOk ? 0x80 : 0;
  out[opt + 8] = 0;
  out[opt + 9] = 0;
  out[opt + 10] = 0;
  const additional = ((out[at + 10]! << 8) | out[at + 11]!) + 1;
  out[at + 10] = additional >> 8;
  out[at + 11] = additional;
  if (view.extendedError < 0 && view.cookie === 0 && !view.wantsNsid && view.expire < 0) return length + OPT_LENGTH;
  let end = opt + OPT_LENGTH;
  if (view.cookie !== 0) end = writeCookie(view, out, end);
  if (view.extendedError >= 0) {
    end = writeOptionHeader(out, end, EXTENDED_ERROR_OPTION, 2);
    out[end++] = view.extendedError >> 8;
    out[end++] = view.extendedError;
  }
  if (view.expire >= 0) {
    end = writeOptionHeader(out, end, EXPIRE_OPTION, 4);
    for (let shift = 24; shift >= 0; shift -= 8) out[end++] = view.expire >> shift;
  }
  if (tellsNsid(view)) {
    end = writeOptionHeader(out, end, NSID_OPTION, view.nsid.length);
    for (const octet of view.nsid) out[end++] = octet;
  }
  // Fewer than 256: cookie, extended error, EXPIRE and NSID take 206 at most.
  out[opt + 10] = end - opt - OPT_LENGTH;
  return end - at;
}

/** RFC 5001 §2.2: only who asks is told, if there is anything to tell. */
function tellsNsid(view: QueryView): boolean {
  return view.wantsNsid && view.nsid.length > 0;
}

/** RFC 7873 §5.2.3: the client's cookie comes back, and ours with it. */
function writeCookie(view: QueryView, out: Uint8Array, at: number): number {
  const client = writeOptionHeader(out, at, COOKIE_OPTION, CLIENT_COOKIE + SERVER_COOKIE);
  for (let i = 0; i < CLIENT_COOKIE; i++) out[client + i] = view.bytes[view.cookie + i]!;
  const server = client + CLIENT_COOKIE;
  for (let i = 0; i < SERVER_COOKIE; i++) out[server + i] = view.serverCookie[i]!;
  return server + SERVER_COOKIE;
}

function writeOptionHeader(out: Uint8Array, at: number, code: number, length: number): number {
  out[at] = 0;
  out[at + 1] = code;
  out[at + 2] = 0;
  out[at + 3] = length;
  return at + 4;
}

/** SERVFAIL to a question, as the cache keeps it. */
export function failureMessage(question: Uint8Array): Uint8Array {
  const message = new Uint8Array(HEADER_LENGTH + question.length);
  message[2] = FLAG.QR >> 8;
  message[3] = FLAG.RA | RCODE.SERVFAIL;
  message[5] = 1;
  message.set(question, HEADER_LENGTH);
  return message;
}
