/** Live sessions as the admin API shows them. */
import { type TcpInfo, tcpInfo } from '../linux/tcp-info.ts';
import type { SessionInfo } from './host.ts';
import type { Session } from './session.ts';
import { spanEndpoint } from './span.ts';

/** Which sessions are asked for. */
export interface SessionQuery {
  readonly pool: string | undefined;
  readonly member: string | undefined;
  /** How many at most. */
  readonly limit: number;
}

export const everySession: SessionQuery = { pool: undefined, member: undefined, limit: Number.POSITIVE_INFINITY };

/** Those that are asked for, the oldest first. Only of these the kernel is asked. */
export function listSessions(sessions: readonly Session[], query: SessionQuery): SessionInfo[] {
  const { pool, member, limit } = query;
  return (
    sessions
      .filter((each) => (pool ?? each.pool) === each.pool && (member ?? each.member?.name) === each.member?.name)
      // Ids are given out in the order in which sessions come.
      .sort((a, b) => a.id - b.id)
      .slice(0, limit)
      .map(infoOf)
  );
}

function infoOf(session: Session): SessionInfo {
  const { relaying, client, upstream } = session;
  const ageMs = Math.round(session.host.now() - session.acceptedAt);
  return {
    id: session.uniqueId,
    listener: session.listener.name,
    client: spanEndpoint(session.source),
    pool: session.pool,
    member: session.member?.name,
    state: session.state,
    bytesIn: client.bytes,
    bytesOut: upstream.bytes,
    ageMs,
    idleMs: Math.min(ageMs, quietMs(relaying ? [tcpInfo(client.fd), tcpInfo(upstream.fd)] : [tcpInfo(client.fd)])),
  };
}

/**
 * Since a byte came from an end, or left for one that acknowledges. The kernel knows it of each socket, so that nothing is
 * written down as bytes pass. What is sent again to an end that is gone is no sign of life.
 */
export function quietMs(ends: readonly (TcpInfo | undefined)[]): number {
  let quiet = Number.POSITIVE_INFINITY;
  for (const end of ends) {
    if (end === undefined) continue;
    quiet = Math.min(quiet, end.sinceReceivedMs);
    if (end.timeouts === 0) quiet = Math.min(quiet, end.sinceSentMs);
  }
  return quiet;
}
