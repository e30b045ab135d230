/**
 * The line that each session leaves: the fields of HAProxy's `option tcplog` (configuration manual, §8.2.2) as JSON, its
 * letters in `state` (§8.5), and beside them who ended the session and why, in words. docs/session-log.md explains them.
 */
import type { Logger } from '../core/logger.ts';
import { listenerGaugeBase, ProxyGauge } from './counters.ts';
import type { Session } from './session.ts';
import { spanEndpoint } from './span.ts';
import { Ended, type Termination } from './termination.ts';

/** The line of a session whose member is connected. */
export function logSessionStart(log: Logger, session: Session): void {
  const { acceptedAt, readyAt, connectedAt, queuedMs, listener, member } = session;
  log.info(
    {
      id: session.uniqueId,
      listener: listener.name,
      client: spanEndpoint(session.source),
      pool: session.pool,
      member: member?.name,
      serverName: session.serverName,
      prefaceMs: readyAt === acceptedAt ? undefined : tenths(readyAt - acceptedAt),
      queueMs: queuedMs === 0 ? undefined : tenths(queuedMs),
      connectMs: tenths(connectedAt - readyAt - queuedMs),
      retries: session.retries,
    },
    'session begins',
  );
}

/** Writes the line of a session that ends `now`; the counts of connections are those with this session in them. */
export function logSession(log: Logger, session: Session, termination: Termination, now: number): void {
  const { acceptedAt, readyAt, connectedAt, queuedMs, listener, member, backend, host } = session;
  const { counters } = host;
  // What is wrong is told, whoever sent nothing for it.
  if (
    !listener.logSilent &&
    session.client.bytes === 0 &&
    session.upstream.bytes === 0 &&
    silentEnds.has(termination)
  ) {
    return;
  }
  let inPool = 0;
  if (backend !== undefined) for (const each of backend.members) inPool += each.active;
  log.info(
    {
      id: session.uniqueId,
      listener: listener.name,
      client: spanEndpoint(session.source),
      pool: session.pool,
      member: session.memberName,
      serverName: session.serverName,
      prefaceMs: readyAt === acceptedAt ? undefined : tenths(readyAt - acceptedAt),
      queueMs: queuedMs === 0 ? undefined : tenths(queuedMs),
      connectMs: connectedAt === 0 ? undefined : tenths(connectedAt - readyAt - queuedMs),
      totalMs: tenths(now - acceptedAt),
      bytesIn: session.client.bytes,
      bytesOut: session.upstream.bytes,
      sessions: counters.gauge(ProxyGauge.sessions),
      listenerSessions: counters.gauge(listenerGaugeBase(listener.slot)),
      poolSessions: inPool,
      memberSessions: member?.active,
      retries: session.retries,
      queuedBehind: queuedMs === 0 ? undefined : session.queuedBehind,
      state: termination.code,
      cause: termination.cause,
    },
    'session',
  );
}

/** How a client goes that wanted nothing: a port scan, the health check of a load balancer in front. */
const silentEnds: ReadonlySet<Termination> = new Set([
  Ended.done,
  Ended.clientAbortedPreface,
  Ended.clientAbortedQueue,
  Ended.clientAbortedConnect,
  Ended.clientAborted,
]);

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}
