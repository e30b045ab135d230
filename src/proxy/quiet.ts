/**
 * A session without a byte: how long it may go on so, and what is said of it then.
 *
 * Once one side has ended, the time is that of the side which could still go on, as in HAProxy: after the client's FIN the member is
 * waited for (`timeout server-fin`), after the member's the client (`timeout client-fin`).
 */
import { unacknowledged } from '../linux/tcp.ts';
import type { ProxyTimeouts } from './config.ts';
import type { Relay } from './relay.ts';
import { Ended, type Termination } from './termination.ts';

/** Both sides have sent something. */
export function isTunnel(client: Relay, upstream: Relay): boolean {
  return client.bytes > 0 && upstream.bytes > 0;
}

/** How long the session may be without a byte, in its present half-closed state; 0 = for ever. */
export function quietTimeout(client: Relay, upstream: Relay, timeouts: ProxyTimeouts): number {
  if (client.eof || upstream.eof) return awaitsMember(client, upstream) ? timeouts.serverFinMs : timeouts.clientFinMs;
  return isTunnel(client, upstream) ? timeouts.tunnelMs : timeouts.idleMs;
}

/** How a session ends that was quiet for too long. */
export function quietEnd(client: Relay, upstream: Relay): Termination {
  const member = awaitsMember(client, upstream);
  if (client.eof || upstream.eof) return member ? Ended.memberFinTimeout : Ended.clientFinTimeout;
  if (!client.blocked && !upstream.blocked) return Ended.idleTimeout;
  return member ? Ended.memberStalled : Ended.clientStalled;
}

/** Bytes that a peer has not taken while more wait here; 0 when none wait. It takes some if the number becomes another. */
export function untaken(client: Relay, upstream: Relay): number {
  return waitingFor(client) + waitingFor(upstream);
}

function waitingFor(side: Relay): number {
  return side.blocked ? side.waiting + unacknowledged(side.other.fd) : 0;
}

/** Where one side has ended, or takes too little: which could go on. */
function awaitsMember(client: Relay, upstream: Relay): boolean {
  return client.blocked === upstream.blocked ? client.eof : client.blocked;
}
