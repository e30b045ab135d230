/** Why a session ended: the words in the log, HAProxy's two letters for it, how its sockets are closed, and what is counted. */
import { closeFd } from '../linux/libc.ts';
import { dropTcp, resetTcp, unacknowledged } from '../linux/tcp.ts';
import type { OnLimit, WhenEmpty } from './config.ts';
import { ListenerCounter } from './counters.ts';

export interface Termination {
  readonly cause: string;
  /** HAProxy's session state at disconnection (configuration manual, §8.5). */
  readonly code: string;
  readonly closing: Closing;
  /** Offset in the listener's counters. */
  readonly counter: number | undefined;
}

/**
 * fin: an orderly end. reset: nothing was promised, and no TIME_WAIT is left. cut: the stream is not whole and should not
 * look it. empty: as the listener's `whenEmpty` says. refuse: as its `onLimit` says.
 */
type Closing = 'fin' | 'reset' | 'cut' | 'empty' | 'refuse';

function termination(code: string, cause: string, closing: Closing, counter?: number): Termination {
  return { cause, code, closing, counter };
}

/** Whether a rule of the listener's ended the session before it began. */
export function isRefusal({ closing }: Termination): boolean {
  return closing === 'refuse';
}

/**
 * Closes a descriptor the way the termination wants it.
 * @param lost whether bytes for this peer, which takes none, are thrown away: no orderly end then
 */
export function closeBy(
  termination: Termination,
  { whenEmpty, onLimit }: { readonly whenEmpty: WhenEmpty; readonly onLimit: OnLimit },
  fd: number,
  lost: boolean,
): void {
  const { closing } = termination;
  if (lost && closing === 'fin') resetTcp(fd);
  else if (closing === 'fin' || (closing === 'empty' && whenEmpty === 'close')) closeFd(fd);
  // A reset would destroy bytes that are still on their way to the peer.
  else if (closing === 'cut' && unacknowledged(fd) > 0) closeFd(fd);
  else if (closing === 'refuse' && onLimit === 'silent-drop') dropTcp(fd);
  else resetTcp(fd);
}

/** Every way a session can end. */
export const Ended = {
  done: termination('--', 'done', 'fin'),
  denied: termination('PR', 'denied', 'refuse', ListenerCounter.denied),
  rateLimited: termination('PR', 'rate limited', 'refuse', ListenerCounter.rateLimited),
  tooManySessions: termination('PR', 'too many sessions of the client', 'refuse', ListenerCounter.rateLimited),
  badProxyHeader: termination('PR', 'bad PROXY header', 'reset', ListenerCounter.headerErrors),
  proxyHeaderTimeout: termination('cR', 'no PROXY header in time', 'reset', ListenerCounter.headerErrors),
  clientAbortedPreface: termination(
    'CR',
    'client aborted before it had said what it must',
    'cut',
    ListenerCounter.clientResets,
  ),
  clientAbortedQueue: termination('CQ', 'client aborted in the queue', 'cut', ListenerCounter.clientResets),
  clientAbortedConnect: termination(
    'CC',
    'client aborted before a member was connected',
    'cut',
    ListenerCounter.clientResets,
  ),
  clientAborted: termination('CD', 'client aborted', 'cut', ListenerCounter.clientResets),
  memberAborted: termination('SD', 'member aborted', 'cut', ListenerCounter.memberResets),
  noMember: termination('SC', 'no member is up', 'empty', ListenerCounter.noMember),
  connectFailed: termination('SC', 'connect failed', 'empty', ListenerCounter.connectFailures),
  connectTimeout: termination('sC', 'connect timed out', 'empty', ListenerCounter.connectFailures),
  queueFull: termination('SQ', 'queue full', 'empty', ListenerCounter.queueTimeouts),
  queueTimeout: termination('sQ', 'queue timed out', 'empty', ListenerCounter.queueTimeouts),
  idleTimeout: termination('cD', 'idle timeout', 'fin', ListenerCounter.idleTimeouts),
  clientStalled: termination('cD', 'idle timeout, the client takes nothing', 'fin', ListenerCounter.idleTimeouts),
  memberStalled: termination('sD', 'idle timeout, the member takes nothing', 'fin', ListenerCounter.idleTimeouts),
  clientFinTimeout: termination('cD', 'member half-closed, client timeout', 'fin', ListenerCounter.finTimeouts),
  memberFinTimeout: termination('sD', 'client half-closed, member timeout', 'fin', ListenerCounter.finTimeouts),
  maxAge: termination('KD', 'maximum age', 'cut', ListenerCounter.killed),
  memberDown: termination('DD', 'member marked down', 'cut', ListenerCounter.killed),
  memberUp: termination('UD', 'a member came up before this backup', 'cut', ListenerCounter.killed),
  killed: termination('KD', 'closed by the operator', 'cut', ListenerCounter.killed),
  stopped: termination('KD', 'shutdown', 'cut', ListenerCounter.killed),
  noResources: termination('RC', 'no descriptors, ports or memory', 'reset', ListenerCounter.resourceErrors),
} as const;
