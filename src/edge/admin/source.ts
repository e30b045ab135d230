/** What the admin API shows, and where it gets it: plain data, times in wall-clock milliseconds. */
import type { Dns64Status } from '../../dns/dns64/dns64.ts';
import type { SecondaryStatus } from '../../dns/secondary/secondary-zone.ts';
import type { MemberConfig } from '../../proxy/config.ts';
import type { AdminState, MemberStatus, PoolStatus } from '../../proxy/control.ts';
import type { SessionInfo } from '../../proxy/host.ts';
import type { SessionQuery } from '../../proxy/session-list.ts';
import type { DiscoveryStatus } from '../discovery/discovery.ts';
import type { EdgeReport, NodeReport } from '../doctor/report.ts';
import type { EventStream } from '../events.ts';
import type { HistoryReport } from '../history.ts';
import type { NodeSource } from './node-reports.ts';

export interface ThreadReport {
  readonly name: string;
  readonly state: 'starting' | 'running' | 'silent' | 'restarting' | 'stopping';
  readonly restarts: number;
}

export interface ListenerReport {
  readonly kind: 'proxy' | 'dns' | 'join' | 'admin';
  /** The listener's name; for all but the proxy's the kind again. */
  readonly name: string;
  /** As `formatEndpoint` writes it. */
  readonly endpoint: string;
}

export interface StatusReport {
  readonly version: string;
  readonly pid: number;
  readonly configFile: string;
  readonly startedAt: number;
  readonly uptimeSeconds: number;
  readonly threads: readonly ThreadReport[];
  readonly listeners: readonly ListenerReport[];
  /** Whether there is a `join` section, so that nodes can join. */
  readonly joinConfigured: boolean;
  /** Sums since the start, by name: `sessions`, `bytesIn`, `queries`. */
  readonly totals: Readonly<Record<string, number>>;
}

export interface ReadyReport {
  readonly ready: boolean;
  /** What is missing, in plain words: `zone cluster.test is not loaded`. */
  readonly waitingFor: readonly string[];
  /** What is worth knowing and keeps nobody from being served: `upstreams synthesize IPv6 addresses with 64:ff9b::/96`. */
  readonly notes: readonly string[];
}

export interface MemberReport extends MemberStatus {
  /** Sessions now, over all threads. */
  readonly active: number;
  /** Sums since the member was added, by name. */
  readonly totals: Readonly<Record<string, number>>;
  /** How connections to it fare, of those that were looked at as they ended. */
  readonly tcp: {
    readonly samples: number;
    /** Mean of their smoothed round-trip times; undefined: there were none. */
    readonly rttMs: number | undefined;
    readonly segments: number;
    readonly retransmits: number;
    readonly lost: number;
  };
}

export interface PoolReport extends Omit<PoolStatus, 'members'> {
  /** Sessions that wait for a place at a member, or for a member. */
  readonly queued: number;
  readonly members: readonly MemberReport[];
  /** The name that members come from, and how looking it up goes; undefined: members are those of the configuration. */
  readonly discovery?: Omit<DiscoveryStatus, 'pool'> | undefined;
}

export interface ZoneReport {
  readonly name: string;
  readonly serial: number;
  /** Resource records. */
  readonly records: number;
  /** Of the last change by DNS UPDATE or transfer; undefined = none since the start. */
  readonly lastUpdate: number | undefined;
  readonly role: 'primary' | 'secondary';
  /** How a secondary zone is: its primaries, when it was last confirmed, when it expires. */
  readonly secondary?: SecondaryStatus | undefined;
}

/** An RRset in text form; names absolute, without the final dot. */
export interface RecordReport {
  readonly name: string;
  readonly type: string;
  readonly ttl: number;
  readonly data: readonly string[];
  /** When each of `data` vanishes unless it is refreshed, null = never; left out where all stay. */
  readonly expiresAt?: readonly (number | null)[];
}

/** Which records. */
export interface RecordChoice {
  /** Absolute, lower case, without the final dot. */
  readonly name: string | undefined;
  /** Mnemonic or TYPEnnn, upper case. */
  readonly type: string | undefined;
  /** Part of the name. */
  readonly search: string | undefined;
}

/** Which records, a page at a time. */
export interface RecordFilter extends RecordChoice {
  /** Names behind this one in canonical order (RFC 4034 §6.1). */
  readonly after: string | undefined;
  /** RRsets; one page may have a few more, since names are not cut in two. */
  readonly limit: number;
}

export interface RecordPageReport {
  readonly records: readonly RecordReport[];
  /** `after` of the next page, if there is one. */
  readonly next: string | undefined;
}

/** Looks at what a change is about, in the transaction that changes it; what it throws stops that. */
export type CheckRecords = (before: readonly RecordReport[]) => void;

/** An interface that advertises, or should; beside these, what the engine says of itself. */
export interface RaReport {
  readonly interface: string;
  /** `advertising`, or what the interface waits for. */
  readonly state: string;
  /** The same in words; empty while advertising. */
  readonly reason?: string;
  /** errno's name, if the last send failed. */
  readonly lastError?: string | undefined;
  readonly lastSent: number | undefined;
  readonly lastSolicitation: number | undefined;
  /** Source address of the last solicitation. */
  readonly lastSolicitedBy: string | undefined;
  /** Sums since the start, by name. */
  readonly totals: Readonly<Record<string, number>>;
  /** What the advertisements hold. */
  readonly advertised?: unknown;
  /** Source of what is sent. */
  readonly source?: string | undefined;
  readonly nextMulticastInMs?: number | undefined;
  /** What is sent in the words of the configuration, and what these cannot say. */
  readonly asConfig?:
    | { readonly entry: Readonly<Record<string, unknown>>; readonly remarks: readonly string[] }
    | undefined;
  /** Options that go out with lifetime 0 beside it. */
  readonly withdrawn?: readonly Readonly<Record<string, unknown>>[];
  readonly routers?: readonly OtherRouterReport[];
}

/** Another router on the interface. */
export interface OtherRouterReport {
  readonly source: string;
  readonly lastSeen: string;
  readonly advertisement: { readonly lifetime: number; readonly preference: string };
  readonly contradictions: readonly { readonly what: string; readonly ours: string; readonly theirs: string }[];
}

export interface UpstreamReport {
  readonly endpoint: string;
  readonly transport: 'udp' | 'tcp' | 'tls' | 'https';
  readonly healthy: boolean;
  /** Smoothed; undefined before the first answer. */
  readonly rttMs: number | undefined;
  /** Why some thread holds it to be down. */
  readonly reason?: string | undefined;
  readonly totals: Readonly<Record<string, number>>;
}

export interface DnsReport {
  readonly upstreams: readonly UpstreamReport[];
  /** Who makes AAAA records, with which prefixes; undefined before a thread has told. */
  readonly dns64: Dns64Status | undefined;
  /** Figures of the cache, by name; none without a forwarder. */
  readonly cache: Readonly<Record<string, number>>;
  readonly totals: Readonly<Record<string, number>>;
}

/** What came of a reload: `errors` empty = the new configuration is in effect. */
export interface ReloadReport {
  readonly errors: readonly string[];
  /** What by-hand settings the new configuration replaced. */
  readonly overridden: readonly string[];
  /** What of the configuration is other than before: `proxy.listeners.http.whenEmpty changed`. */
  readonly changed: readonly string[];
}

/** A live session; its id holds over all threads, and is in its line of the log. */
export type SessionReport = SessionInfo;

/** What a client is up to at a listener that has `rate` or `maxPerSource`. */
export interface SourceReport {
  readonly listener: string;
  /** Its address; of IPv6 clients the /64. */
  readonly client: string;
  readonly sessions: number;
  /** New connections in the present window. */
  readonly connections: number;
  /** Until it may be forgotten, unless it has sessions then. */
  readonly expiresMs: number;
  readonly refused: number;
}

export interface SourceFilter {
  readonly listener: string | undefined;
  /** Those refused at least once. */
  readonly refused: boolean;
  /** Left out before the first. */
  readonly offset: number;
  readonly limit: number;
}

/** What came of a change of records. */
export interface ZoneChangeReport {
  readonly zone: string;
  readonly serial: number;
}

/** The daemon as the admin API sees it. Unknown pools, members and zones are `undefined`, not errors. */
export interface AdminSource {
  status(): StatusReport;
  ready(): ReadyReport;
  /** Prometheus text. */
  metrics(): Promise<string>;
  pools(): readonly PoolReport[];
  zones(): readonly ZoneReport[];
  hasZone(zone: string): boolean;
  records(zone: string, filter: RecordFilter): RecordPageReport | undefined;
  /** All of them, in no order; made as they are read. */
  allRecords(zone: string, filter: RecordChoice): Iterable<RecordReport> | undefined;
  /** The zone as a zone file (RFC 1035 §5). */
  exportZone(zone: string): string | undefined;
  ra(): readonly RaReport[];
  dns(): DnsReport;
  /** Figures over time. */
  history(span: '1h' | '24h'): HistoryReport;
  setMember(
    pool: string,
    member: string,
    order: { readonly state?: AdminState; readonly weight?: number },
  ): MemberReport | undefined;
  reload(): Promise<ReloadReport>;
  /** Resolves when the data threads go by what was changed before: whoever is told so then finds it so. */
  taken(): Promise<void>;
  /** @throws {ProxyError} */
  addMember(pool: string, member: MemberConfig): MemberReport;
  /** After its sessions have ended, unless forced. @throws {ProxyError} */
  removeMember(pool: string, member: string, force: boolean): void;
  /** The longest-lived first. */
  sessions(query: SessionQuery): Promise<readonly SessionReport[]>;
  /** Those refused most first. */
  sources(filter: SourceFilter): readonly SourceReport[];
  /** False: there is no such session. */
  closeSession(id: string): Promise<boolean>;
  /** Replaces an RRset; `client` is who asked, for the log. @throws {ValueError} */
  setRecords(
    zone: string,
    set: {
      readonly name: Uint8Array;
      readonly type: number;
      readonly ttl: number;
      readonly rdata: readonly Uint8Array[];
    },
    check: CheckRecords,
    client: string,
  ): Promise<ZoneChangeReport>;
  /** All of the name, without a type. @throws {ValueError} */
  deleteRecords(
    zone: string,
    name: Uint8Array,
    type: number | undefined,
    check: CheckRecords,
    client: string,
  ): Promise<ZoneChangeReport>;
  /** Asks the primaries of a secondary zone; `whole` = all of it, whatever its serial. @throws {ValueError} */
  refreshZone(zone: string, whole: boolean): void;
  /** Sends NOTIFY to the secondaries of a zone. Returns their endpoints. @throws {ValueError} */
  notifyZone(zone: string): readonly string[];
  /** All of it, or what is cached of a name and of all below it. */
  flushCache(name: Uint8Array | undefined): void;
  /** What is wrong with the edge, and with which nodes. */
  doctor(): Promise<EdgeReport>;
  /** What is wrong with the node of a name, an address or a MAC; takes some seconds where one does not answer. */
  doctorOf(node: string): Promise<NodeReport>;
  readonly events: EventStream;
  readonly nodes: NodeSource;
}
