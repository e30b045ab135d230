/** What sessions need of the engine that holds them. */
import type { CounterStripe } from '../core/counters.ts';
import type { Reactor } from '../linux/reactor.ts';
import type { Backend, Member } from './backend.ts';
import type { ProxyTimeouts } from './config.ts';
import type { RelayIo } from './relay-io.ts';
import type { Session } from './session.ts';
import type { ListenerSnapshot } from './snapshot.ts';
import type { Termination } from './termination.ts';
import type { TimerWheel } from './timers.ts';

/** The engine as its sessions see it. */
export interface SessionHost {
  readonly reactor: Reactor;
  readonly wheel: TimerWheel;
  readonly counters: CounterStripe;
  readonly io: RelayIo;
  readonly timeouts: ProxyTimeouts;
  /** Tells this thread's sessions from those of all others, and of other runs. */
  readonly instance: string;
  /** Monotonic milliseconds. */
  now(): number;
  /** Uniform in [0, 1). */
  fraction(): number;
  backend(name: string): Backend | undefined;
  /** Counts the session with its client's others; says why it may not come in, if so. */
  admit(session: Session): Termination | undefined;
  onConnectFailed(backend: Backend, member: Member, code: string): void;
  /** No connect to the member could begin, for want of a local port or the like. */
  onConnectShort(backend: Backend, member: Member, code: string): void;
  /** The kernel has no descriptor or memory for the session's second socket. */
  onExhausted(listener: ListenerSnapshot, errno: number): void;
  /** A member is connected, on a listener that has that logged. */
  onBegin(session: Session): void;
  /** Its connection to a member is about to be closed. */
  onClosing(session: Session): void;
  onEnd(session: Session, termination: Termination): void;
}

/** header, hello: what the client says first; waiting: for a place at a member, or for the next try. */
export type SessionState = 'header' | 'hello' | 'waiting' | 'connecting' | 'relaying' | 'ended';

/** What the admin API shows of a session. */
export interface SessionInfo {
  /** As in the log, and in PROXY headers of pools that ask for it. */
  readonly id: string;
  readonly listener: string;
  readonly client: string;
  readonly pool: string;
  readonly member: string | undefined;
  readonly state: SessionState;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly ageMs: number;
  /** Since a byte came from either end, or left for one that acknowledges what it is sent. */
  readonly idleMs: number;
}
