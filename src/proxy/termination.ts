/** Why a session ended: the word in log and metrics, HAProxy's two letters for it, and the listener counter it adds to. */
import { ListenerCounter } from './counters.ts';

export interface Termination {
  readonly cause: string;
  /** HAProxy's session state at disconnection (configuration manual, §8.5). */
  readonly code: string;
  readonly counter: number | undefined;
}

function termination(code: string, cause: string, counter?: number): Termination {
  return { cause, code, counter };
}

export const Ended = {
  done: termination('--', 'done'),
  denied: termination('PR', 'denied', ListenerCounter.denied),
  rateLimited: termination('PR', 'rate limited', ListenerCounter.rateLimited),
  badProxyHeader: termination('PR', 'bad PROXY header', ListenerCounter.headerErrors),
  proxyHeaderTimeout: termination('cR', 'no PROXY header in time', ListenerCounter.headerErrors),
  clientAbortedEarly: termination('CC', 'client aborted before a member was connected', ListenerCounter.clientResets),
  clientAborted: termination('CD', 'client aborted', ListenerCounter.clientResets),
  memberAborted: termination('SD', 'member aborted', ListenerCounter.memberResets),
  noMember: termination('SC', 'no member is up', ListenerCounter.noMember),
  connectFailed: termination('SC', 'connect failed', ListenerCounter.connectFailures),
  connectTimeout: termination('sC', 'connect timed out', ListenerCounter.connectFailures),
  queueFull: termination('SQ', 'queue full', ListenerCounter.queueTimeouts),
  queueTimeout: termination('sQ', 'queue timed out', ListenerCounter.queueTimeouts),
  idleTimeout: termination('cD', 'idle timeout', ListenerCounter.idleTimeouts),
  clientFinTimeout: termination('cD', 'client half-closed, timeout', ListenerCounter.finTimeouts),
  memberFinTimeout: termination('sD', 'member half-closed, timeout', ListenerCounter.finTimeouts),
  maxAge: termination('KD', 'maximum age', ListenerCounter.killed),
  memberDown: termination('DD', 'member marked down', ListenerCounter.killed),
  killed: termination('KD', 'closed by the operator', ListenerCounter.killed),
  stopped: termination('KD', 'shutdown', ListenerCounter.killed),
  noResources: termination('RC', 'no descriptors or memory', ListenerCounter.resourceErrors),
} as const;
