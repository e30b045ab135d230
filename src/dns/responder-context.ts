/** What the parts of a data thread's answering side share. */
import type { Cidr } from '../core/address.ts';
import type { Clock } from '../core/clock.ts';
import type { CounterStripe } from '../core/counters.ts';
import type { Logger } from '../core/logger.ts';
import type { WireCache } from './cache.ts';
import type { ClientFilter } from './client-filter.ts';
import type { CookieJar } from './cookies.ts';
import type { Forwarder } from './forwarder/forwarder.ts';
import type { Hairpin } from './hairpin.ts';
import type { Identity } from './identity.ts';
import type { OwnCookies } from './own-cookies.ts';
import type { QueryLog } from './query-log.ts';
import type { Handoff } from './snapshot.ts';
import type { NameKey } from './wire/name.ts';
import type { Zone, ZoneTable } from './zone.ts';

/** Whether somebody was told of a change that this thread has not taken in. */
export interface CommitWatch {
  readonly isBehind: boolean;
  catchUp(): void;
}

/** What the responder needs from its thread; `cookies`, `ownCookies`, `cache` and `forwarder` may be replaced. */
export interface ResponderContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: CounterStripe;
  readonly handoff: Handoff;
  /** Asked before each answer; unless given, zones are always as new as what anybody may know. */
  readonly commits?: CommitWatch | undefined;
  readonly filter: ClientFilter;
  readonly zones: ZoneTable;
  /** The zone of this name, if we were given it. */
  readonly givenZone: (key: NameKey) => Zone | undefined;
  readonly hairpin: Hairpin;
  readonly identity: Identity;
  readonly queryLog: QueryLog;
  /** The reverse name of the IPv4 address in one that we make up ourselves, if its reverse name is asked for (RFC 6147 §5.3.1). */
  readonly reverseOf: (question: Uint8Array) => Uint8Array | undefined;
  /** As in `DnsSettings`. */
  zonePeers: readonly Cidr[];
  openTransfers: ReadonlyMap<NameKey, readonly Cidr[]>;
  cookies: CookieJar;
  ownCookies: OwnCookies;
  cache: WireCache;
  forwarder: Forwarder | undefined;
}
