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

/** A port that cannot be had, and why. */
export interface TakenPort {
  readonly port: WantedPort;
  readonly reason: string;
}

/**
 * Ports that somebody else has. Other obstacles (an interface that is not there yet) are left to the data threads, which try again.
 * @param ours ports that are bound already: an overlap with one of those is no obstacle
 */
export function takenPorts(wanted: readonly WantedPort[], ours: readonly WantedPort[] = []): TakenPort[] {
  return wanted.flatMap((port) => {
    const { transport, endpoint } = port;
    const own = ours.some((each) => each.transport === transport && each.endpoint.port === endpoint.port);
    if (endpoint.port === 0 || own) return [];
    const reason = obstacle(transport, endpoint);
    return reason === undefined ? [] : [{ port, reason }];
  });
}

/**
 * Makes sure that nobody else has a port that is about to be bound.
 * @throws {PortError} code V6_PORT
 */
export function checkPorts(wanted: readonly WantedPort[], ours: readonly WantedPort[] = []): void {
  const reasons = Map.groupBy(takenPorts(wanted, ours), ({ reason }) => reason);
  const lines = [...reasons].map(
    ([reason, taken]) => `${taken.map(({ port }) => formatPort(port)).join(', ')}: ${reason}`,
  );
  if (lines.length > 0) throw new PortError('V6_PORT', lines.join('; '));
}

/** `tcp [::]:443` */
export function formatPort({ transport, endpoint }: WantedPort): string {
  return `${transport} ${formatEndpoint(endpoint)}`;
}

function obstacle(transport: 'tcp' | 'udp', endpoint: InetEndpoint): string | undefined {
  try {
    const result = probeBind(endpoint, transport);
    if (result === -EADDRINUSE)
      return 'another process listens there (`v6edge doctor`, as root, or ss -lntup says which)';
    if (result === -EACCES) return 'not permitted: ports below 1024 need CAP_NET_BIND_SERVICE';
    return undefined;
  } catch (error) {
    if (error instanceof ValueError) return undefined;
    throw error;
  }
}
