/** What a dial (dial.ts) needs of its session. */
import type { Backend, Member } from './backend.ts';
import type { SessionHost, SessionState } from './host.ts';
import type { Relay } from './relay.ts';
import type { ListenerSnapshot } from './snapshot.ts';
import type { Termination } from './termination.ts';
import type { Timed } from './timers.ts';
import type { AddressSpan } from './wire/header.ts';

/** The session on whose behalf a member is sought. */
export interface Caller extends Timed {
  readonly host: SessionHost;
  readonly listener: ListenerSnapshot;
  readonly acceptedAt: number;
  /** Of the pool that serves the session. */
  readonly pool: string;
  readonly source: AddressSpan;
  readonly upstream: Relay;
  state: SessionState;
  /** The member whose place the session holds. */
  member: Member | undefined;
  backend: Backend | undefined;
  retries: number;
  /** Milliseconds spent waiting for a place. */
  queuedMs: number;
  /** Sessions that waited before this one when it began to wait. */
  queuedBehind: number;
  /** Both return false when the session ended for it. */
  watchClient(): boolean;
  watchUpstream(): boolean;
  onConnected(backend: Backend): void;
  end(termination: Termination): void;
}
