/** The messages between the control thread and a data thread: plain data, passed by structured clone. */

import type { CacheStatus } from '../dns/cache.ts';
import type { ClientSighting } from '../dns/client-ledger.ts';
import type { ZonePublication } from '../dns/control.ts';
import type { Dns64Status } from '../dns/dns64/dns64.ts';
import type { UpstreamStatus } from '../dns/forwarder/upstream.ts';
import type { DnsSettings, HandoffRequest } from '../dns/snapshot.ts';
import type { ProxyEvent } from '../proxy/engine.ts';
import type { SessionInfo } from '../proxy/host.ts';
import type { SessionQuery } from '../proxy/session-list.ts';
import type { ProxySnapshot } from '../proxy/snapshot.ts';
import type { LogConfig } from './config/types.ts';
import type { PassedSocket } from './sockets.ts';

/** What a data thread is started with (`workerData`). */
export interface ThreadStart {
  readonly thread: number;
  readonly threads: number;
  readonly counters: SharedArrayBuffer;
  /** What the proxy knows of each client. */
  readonly sources: SharedArrayBuffer;
  /** Of the proxy's queues, as `newQueueTable` makes it. */
  readonly queues: SharedArrayBuffer;
  /** How far zones were changed, and how many changes are in the state that the thread begins with. */
  readonly commits: SharedArrayBuffer;
  readonly commit: number;
  /** For the sockets that the thread lends to the control thread. */
  readonly loans: SharedArrayBuffer;
  readonly log: LogConfig;
  /** Listening sockets that are the thread's from now on. */
  readonly sockets: readonly PassedSocket[];
}

/** Exit code of a thread that failed and has closed all of its sockets. */
export const failedExit = 3;

/** A socket a data thread holds open, or wanted to. */
export interface BindReport {
  readonly role: 'proxy' | 'dns';
  readonly name: string;
  readonly endpoint: string;
  /** Why it is not open. */
  readonly error: string | undefined;
}

/** What a data thread says of itself when asked. */
export interface ThreadReport {
  readonly thread: number;
  readonly binds: readonly BindReport[];
  readonly upstreams: readonly UpstreamStatus[];
  readonly cache: CacheStatus;
  readonly dns64: Dns64Status;
}

/** Sessions of one thread, the oldest first. */
export interface ThreadSessions {
  readonly thread: number;
  readonly sessions: readonly SessionInfo[];
}

/** Control thread to data thread: one message, or several in this order, for each wakes the thread, which costs more than what it does. */
export type Down = OneDown | { readonly kind: 'several'; readonly messages: readonly OneDown[] };

export type OneDown =
  | { readonly kind: 'proxy'; readonly snapshot: ProxySnapshot }
  | { readonly kind: 'dns'; readonly settings: DnsSettings }
  /** `commit`: as counted for all threads. */
  | { readonly kind: 'publish'; readonly publication: ZonePublication; readonly commit: number }
  /** Those that are not `last` are answered with `handoff-more`. `left`: response codes of those that were sent already. */
  | {
      readonly kind: 'replies';
      readonly id: number;
      readonly messages: readonly Uint8Array[];
      readonly last: boolean;
      readonly left?: readonly number[];
    }
  /** `taken`: answered when all before it was taken in. */
  | { readonly kind: 'ask'; readonly ticket: number; readonly question: 'report' | 'clients' | 'taken' }
  | ({ readonly kind: 'sessions'; readonly ticket: number } & SessionQuery)
  | { readonly kind: 'close-session'; readonly ticket: number; readonly id: string }
  /** Those of one member. */
  | { readonly kind: 'close-sessions'; readonly pool: string; readonly member: string }
  | { readonly kind: 'flush-cache'; readonly name: Uint8Array | undefined }
  /** Answered when the sessions of that moment have ended, or when the grace time is over; new ones are accepted. */
  | { readonly kind: 'settle'; readonly ticket: number; readonly graceMs: number }
  /**
   * Answered with `stopping` at once; the thread ends when its sessions have, or when the grace time is over. `handOver`:
   * listening sockets stay in the service manager's store.
   */
  | { readonly kind: 'stop'; readonly graceMs: number; readonly handOver: boolean };

/** Data thread to control thread. */
export type Up =
  | { readonly kind: 'ready' }
  | { readonly kind: 'stopping' }
  | {
      readonly kind: 'done';
      readonly ticket: number;
      readonly value?: ThreadReport | ThreadSessions | readonly ClientSighting[] | boolean;
    }
  | { readonly kind: 'handoff'; readonly id: number; readonly request: HandoffRequest }
  /** There is room for more replies; not `open`: the client is gone. */
  | { readonly kind: 'handoff-more'; readonly id: number; readonly open: boolean }
  | { readonly kind: 'proxy-event'; readonly event: ProxyEvent };
