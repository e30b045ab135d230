/** The ports that a configuration wants, and whether they are to be had. */
import { formatEndpoint, type InetEndpoint } from '../core/address.ts';
import { V6edgeError, ValueError } from '../core/errors.ts';
import { probeBind } from '../linux/bind-probe.ts';
import { EACCES, EADDRINUSE } from '../linux/constants.ts';
import type { EdgeConfig } from './config/types.ts';

/** Ports that cannot be had; the message names each of them. */
export class PortError extends V6edgeError {}

/** One port of the data threads. */
export interface WantedPort {
  readonly transport: 'tcp' | 'udp';
  readonly endpoint: InetEndpoint;
}

/** Every port that data threads are to bind. */
export function wantedPorts(config: EdgeConfig): WantedPort[] {
  const both = ['udp', 'tcp'] as const;
  return [
    ...config.proxy.listeners.flatMap(({ bind }) => bind.map((endpoint) => ({ transport: 'tcp' as const, endpoint }))),
    ...(config.dns?.listen ?? []).flatMap((endpoint) => both.map((transport) => ({ transport, endpoint }))),
    ...(config.dns?.tls?.listen ?? []).map((endpoint) => ({ transport: 'tcp' as const, endpoint })),
  ];
}

/**
 * Makes sure that nobody else has a port that is about to be bound. Other obstacles (an interface that is not there yet)
 * are left to the data threads, which try again.
 * @param ours ports that are bound already: an overlap with one of those is no obstacle
 * @throws {PortError} code V6_PORT
 */
export function checkPorts(wanted: readonly WantedPort[], ours: readonly WantedPort[] = []): void {
  const taken = wanted.flatMap(({ transport, endpoint }) => {
    const { port } = endpoint;
    if (port === 0 || ours.some((own) => own.transport === transport && own.endpoint.port === port)) return [];
    const reason = obstacle(transport, endpoint);
    return reason === undefined ? [] : [`${transport} ${formatEndpoint(endpoint)}: ${reason}`];
  });
  if (taken.length > 0) throw new PortError('V6_PORT', taken.join('; '));
}

function obstacle(transport: 'tcp' | 'udp', endpoint: InetEndpoint): string | undefined {
  try {
    const result = probeBind(endpoint, transport);
    const flags = transport === 'tcp' ? '-lntp' : '-lnup';
    if (result === -EADDRINUSE)
      return `another process listens there (ss ${flags} 'sport = :${endpoint.port}' names it)`;
    if (result === -EACCES) return 'not permitted: ports below 1024 need CAP_NET_BIND_SERVICE';
    return undefined;
  } catch (error) {
    if (error instanceof ValueError) return undefined;
    throw error;
  }
}
