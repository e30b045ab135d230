/** What the forwarder and its transports tell one another. */
import { isShortage } from '../../linux/errors.ts';
import type { Upstream } from './upstream.ts';

/** What a query can do without: the cookie, or EDNS altogether. */
export type Unneeded = 'cookie' | 'edns';

/** What a query left by, and its reply comes by. */
export interface AttemptSocket {
  forget(attempt: Attempt): void;
  /** Takes in what has come and waits to be read; only where that can be done at once. */
  look?(): void;
}

/** One query sent to one upstream. */
export interface Attempt {
  readonly upstream: Upstream;
  /** The question as it was sent: a reply must repeat it. */
  readonly question: Uint8Array;
  readonly sentAt: number;
  /** Whether it went by TCP, TLS or HTTPS. */
  readonly stream: boolean;
  /** Whether it had an OPT record. */
  readonly edns: boolean;
  /** Data of the COOKIE option it had. */
  readonly cookie: Uint8Array | undefined;
  /** Whether it is the same once more, as the upstream did not know the cookie before (RFC 7873 §5.3). */
  readonly again: boolean;
  /** What was left out this time, as the upstream may not have understood it. */
  readonly without: Unneeded | undefined;
  /** Whether it never left, as we had not what that takes: nobody is to blame. */
  unsent: boolean;
  id: number;
  /** What it left by. */
  socket: AttemptSocket | undefined;
}

/**
 * Why an attempt ended without a reply: nobody listens there, the connection broke, what came is no DNS message, or we are short
 * of something ourselves.
 */
export type Failure = 'refused' | 'closed' | 'answer' | 'short';

/** What became of sending: it left, there is no way there, or we are short of what it takes (descriptors, memory, room). */
export type Departure = 'left' | 'unreachable' | 'short';

/** A connection that said nothing for so long while a query waited may lead nowhere, which TCP only finds in minutes. */
export const SILENT_MS = 1_500;

/** A way to one upstream. */
export interface Exchange {
  /** Sends `query`, writing the attempt's id into it. */
  send(attempt: Attempt, query: Uint8Array): Departure;
  close(): void;
}

/** Where transports report to. */
export interface AttemptHandler {
  /** A reply whose source, id and question match; its bytes hold during the call. */
  replied(attempt: Attempt, reply: Uint8Array): void;
  /** @param detail what the system, TLS or HTTP says of it */
  failed(attempt: Attempt, failure: Failure, detail?: string): void;
  /** A datagram that answers nothing we asked: late, or forged. */
  unmatched(upstream: Upstream): void;
}

/** Why what waited on a connection has no reply, by the error that ended it; undefined: the other side closed it. */
export function brokenBy(cause: NodeJS.ErrnoException | undefined): Failure {
  if (cause?.code === 'ECONNREFUSED') return 'refused';
  return isShortage(cause?.code) ? 'short' : 'closed';
}

/** Whether a reply is the one to this attempt: a response, and to the same question (RFC 5452 §9.1). Its id was compared. */
export function matchesQuestion(reply: Uint8Array, question: Uint8Array): boolean {
  if (reply.length < 12 || (reply[2]! & 0xf8) !== 0x80) return false;
  if (reply[4] === 0 && reply[5] === 0) {
    // Old servers answer what they do not understand (FORMERR, NOTIMP) with a bare header.
    const rcode = reply[3]! & 15;
    return reply.length === 12 && (rcode === 1 || rcode === 4);
  }
  if (reply[4] !== 0 || reply[5] !== 1 || reply.length < 12 + question.length) return false;
  for (let i = 0; i < question.length; i++) {
    const a = question[i]!;
    const b = reply[12 + i]!;
    if (a === b) continue;
    const lower = a | 0x20;
    if (lower !== (b | 0x20) || lower < 0x61 || lower > 0x7a) return false;
  }
  return true;
}

/** Whether a reply that has a question repeats it octet for octet. */
export function repeatsCase(reply: Uint8Array, question: Uint8Array): boolean {
  if (reply.length < 12 + question.length) return true;
  for (let i = 0; i < question.length; i++) if (reply[12 + i] !== question[i]) return false;
  return true;
}
