/** The running daemon as the admin API shows it. */
import type { Lease } from '../dns/leases.ts';
import type { OwnedRRset } from '../dns/snapshot.ts';
import { equalBytes } from '../dns/wire/bytes.ts';
import { nameFromText, nameToText } from '../dns/wire/name.ts';
import { rdataToText } from '../dns/wire/rdata.ts';
import { typeFromText, typeToText } from '../dns/wire/types.ts';
import { writeZoneFile } from '../dns/zonefile.ts';
import type { MemberConfig } from '../proxy/config.ts';
import type { AdminState, MemberStatus } from '../proxy/control.ts';
import {
  ListenerCounter,
  MemberCounter,
  MemberTcp,
  memberCounterBase,
  memberGaugeBase,
  ProxyGauge,
  poolGaugeBase,
} from '../proxy/counters.ts';
import { ProxyError } from '../proxy/errors.ts';
import type { SessionQuery } from '../proxy/session-list.ts';
import type {
  AdminSource,
  CheckRecords,
  DnsReport,
  ListenerReport,
  MemberReport,
  PoolReport,
  RaReport,
  ReadyReport,
  RecordChoice,
  RecordFilter,
  RecordPageReport,
  RecordReport,
  ReloadReport,
  SessionReport,
  SourceFilter,
  SourceReport,
  StatusReport,
  ZoneChangeReport,
  ZoneReport,
} from './admin/source.ts';
import { dnsQueries, dnsReport } from './dns-report.ts';
import type { EdgeReport, NodeReport } from './doctor/report.ts';
import type { Edge } from './edge.ts';
import type { EventStream } from './events.ts';
import { edgeFigures, listenerSum } from './figures.ts';
import { History, type HistoryReport } from './history.ts';
import { edgeMetrics } from './metric-sources.ts';
import { Nodes } from './nodes.ts';
import { binds, readiness } from './readiness.ts';
import { recordPage } from './record-page.ts';
import { version } from './version.ts';

export class EdgeSource implements AdminSource {
  /** Set once the admin API itself listens. */
  adminListening: readonly string[] = [];
  readonly reload: () => Promise<ReloadReport>;
  readonly nodes: Nodes;
  readonly #edge: Edge;
  readonly #configFile: string;
  readonly #metrics: ReturnType<typeof edgeMetrics>;
  readonly #history: History;
  readonly #startedAt: number;
  /** The wall clock may be set meanwhile. */
  readonly #startedMonotonic: number;

  constructor(edge: Edge, options: { readonly configFile: string; readonly reload: () => Promise<ReloadReport> }) {
    this.#edge = edge;
    this.nodes = new Nodes(edge);
    this.#configFile = options.configFile;
    this.reload = options.reload;
    this.#metrics = edgeMetrics(edge);
    this.#history = new History(edge.clock, edgeFigures(edge));
    this.#startedAt = edge.clock.wall();
    this.#startedMonotonic = edge.clock.now();
  }

  status(): StatusReport {
    const edge = this.#edge;
    return {
      version: version(),
      pid: process.pid,
      configFile: this.#configFile,
      startedAt: this.#startedAt,
      uptimeSeconds: Math.floor((edge.clock.now() - this.#startedMonotonic) / 1000),
      threads: edge.threads.list(),
      listeners: [
        ...binds(edge)
          .filter(({ error }) => error === undefined)
          .map(({ role, name, endpoint }): ListenerReport => ({ kind: role, name, endpoint })),
        ...edge.join
          .listening()
          .filter(({ error }) => error === undefined)
          .map(({ endpoint }): ListenerReport => ({ kind: 'join', name: 'join', endpoint })),
        ...this.adminListening.map((endpoint): ListenerReport => ({ kind: 'admin', name: 'admin', endpoint })),
      ],
      joinConfigured: edge.join.config !== undefined,
      totals: {
        sessions: listenerSum(edge, ListenerCounter.sessions),
        sessionsNow: edge.counters.gauge(ProxyGauge.sessions),
        bytesIn: listenerSum(edge, ListenerCounter.bytesIn),
        bytesOut: listenerSum(edge, ListenerCounter.bytesOut),
        queries: dnsQueries(edge),
        threadRestarts: edge.threads.restarts,
      },
    };
  }

  ready(): ReadyReport {
    return readiness(this.#edge);
  }

  metrics(): Promise<string> {
    return this.#metrics.text();
  }

  pools(): PoolReport[] {
    const found = this.#edge.discovery.status();
    return this.#edge.proxy.pools().map((pool) => {
      const status = found.find((one) => one.pool === pool.name);
      const members = pool.members.map((one) => this.#member(one));
      const queued = this.#edge.counters.gauge(poolGaugeBase(pool.slot));
      if (status === undefined) return { ...pool, queued, members };
      const { pool: _, ...discovery } = status;
      return { ...pool, queued, members, discovery };
    });
  }

  hasZone(zone: string): boolean {
    return this.#edge.dns.zone(zone) !== undefined;
  }

  zones(): ZoneReport[] {
    return this.#edge.dns.zones().map(({ name, serial, lastUpdate, secondary }) => ({
      name,
      serial,
      records: this.#edge.dns.recordCount(name),
      lastUpdate,
      role: secondary === undefined ? 'primary' : 'secondary',
      secondary,
    }));
  }

  records(zone: string, filter: RecordFilter): RecordPageReport | undefined {
    if (this.#edge.dns.zone(zone) === undefined) return undefined;
    const { search, after, limit } = filter;
    const page = recordPage(this.#sets(zone, filter), {
      search,
      after: after === undefined ? undefined : nameFromText(after),
      limit,
    });
    return {
      records: page.sets.map((set) => this.#record(zone, set)),
      next: page.next === undefined ? undefined : nameToText(page.next),
    };
  }

  allRecords(zone: string, filter: RecordChoice): Iterable<RecordReport> | undefined {
    if (this.#edge.dns.zone(zone) === undefined) return undefined;
    return this.#found(zone, filter);
  }

  *#found(zone: string, filter: RecordChoice): Generator<RecordReport> {
    const wanted = filter.search?.toLowerCase();
    for (const set of this.#sets(zone, filter)) {
      const record = this.#record(zone, set);
      if (wanted === undefined || record.name.toLowerCase().includes(wanted)) yield record;
    }
  }

  #sets(zone: string, { name, type }: RecordChoice): OwnedRRset[] {
    return this.#edge.dns.records(zone, {
      ...(name === undefined ? {} : { name: nameFromText(name) }),
      ...(type === undefined ? {} : { type: typeFromText(type) }),
    });
  }

  history(span: '1h' | '24h'): HistoryReport {
    return this.#history.report(span);
  }

  /** Begins to keep figures; until `close`. */
  start(): void {
    this.#history.start();
  }

  close(): void {
    this.#history.stop();
  }

  exportZone(zone: string): string | undefined {
    if (this.#edge.dns.zone(zone) === undefined) return undefined;
    return writeZoneFile({ name: nameFromText(zone), rrsets: this.#edge.dns.records(zone) });
  }

  ra(): RaReport[] {
    return this.#edge.ra.status().map((one) => ({
      ...one,
      lastSent: one.lastSent === undefined ? undefined : Date.parse(one.lastSent.at),
      lastSolicitation: one.lastSolicitation === undefined ? undefined : Date.parse(one.lastSolicitation.at),
      lastSolicitedBy: one.lastSolicitation?.from,
      totals: { ...one.counters },
      advertised: one.advertisement,
    }));
  }

  dns(): DnsReport {
    return dnsReport(this.#edge);
  }

  setMember(pool: string, member: string, order: { state?: AdminState; weight?: number }): MemberReport | undefined {
    try {
      return this.#member(this.#edge.proxy.setMember(pool, member, order));
    } catch (error) {
      if (error instanceof ProxyError && error.code.endsWith('_UNKNOWN')) return undefined;
      throw error;
    }
  }

  taken(): Promise<void> {
    return this.#edge.threads.taken();
  }

  addMember(pool: string, member: MemberConfig): MemberReport {
    return this.#member(this.#edge.proxy.addMember(pool, member));
  }

  removeMember(pool: string, member: string, force: boolean): void {
    this.#edge.proxy.removeMember(pool, member, { force });
    if (force) this.#edge.threads.broadcast({ kind: 'close-sessions', pool, member });
  }

  async sessions(query: SessionQuery): Promise<SessionReport[]> {
    const lists = await this.#edge.threads.sessions(query);
    return lists
      .flatMap(({ sessions }) => sessions)
      .sort((a, b) => b.ageMs - a.ageMs)
      .slice(0, query.limit);
  }

  sources({ listener, refused, offset, limit }: SourceFilter): SourceReport[] {
    const names = new Map(this.#edge.proxySnapshot?.listeners.map(({ slot, name }) => [slot, name]));
    return this.#edge.threads
      .sources()
      .flatMap(({ slot, ...figures }) => {
        const name = names.get(slot);
        return name === undefined ? [] : [{ listener: name, ...figures }];
      })
      .filter((each) => (listener ?? each.listener) === each.listener && (!refused || each.refused > 0))
      .slice(offset, offset + limit);
  }

  closeSession(id: string): Promise<boolean> {
    return this.#edge.threads.closeSession(id);
  }

  async setRecords(
    zone: string,
    { name, type, ttl, rdata }: Parameters<AdminSource['setRecords']>[1],
    check: CheckRecords,
    client: string,
  ): Promise<ZoneChangeReport> {
    const checkSets = (before: readonly OwnedRRset[]) => check(before.map((set) => this.#record(zone, set)));
    return { zone, serial: await this.#edge.dns.edits.setRRset(zone, name, type, ttl, rdata, checkSets, client) };
  }

  async deleteRecords(
    zone: string,
    name: Uint8Array,
    type: number | undefined,
    check: CheckRecords,
    client: string,
  ): Promise<ZoneChangeReport> {
    const checkSets = (before: readonly OwnedRRset[]) => check(before.map((set) => this.#record(zone, set)));
    return { zone, serial: await this.#edge.dns.edits.deleteRRset(zone, name, type, checkSets, client) };
  }

  #record(zone: string, set: OwnedRRset): RecordReport {
    return recordReport(set, this.#edge.dns.leases(zone, set.owner, set.rrset.type));
  }

  refreshZone(zone: string, whole: boolean): void {
    this.#edge.dns.refresh(zone, whole);
  }

  notifyZone(zone: string): readonly string[] {
    return this.#edge.dns.notify(zone);
  }

  flushCache(name: Uint8Array | undefined): void {
    this.#edge.threads.broadcast({ kind: 'flush-cache', name });
  }

  async doctor(): Promise<EdgeReport> {
    const { examineEdge } = await import('./doctor/doctor.ts');
    return await examineEdge(this.#edge, this);
  }

  async doctorOf(node: string): Promise<NodeReport> {
    const { examineNode } = await import('./doctor/doctor.ts');
    return await examineNode(this.#edge, this, node);
  }

  get events(): EventStream {
    return this.#edge.events;
  }

  #member(status: MemberStatus): MemberReport {
    const { counters } = this.#edge;
    const base = memberCounterBase(status.slot);
    const read = (counter: number) => counters.counter(base + counter);
    const samples = read(MemberTcp.samples);
    return {
      ...status,
      active: counters.gauge(memberGaugeBase(status.slot)),
      totals: Object.fromEntries(Object.entries(MemberCounter).map(([name, offset]) => [name, read(offset)])),
      tcp: {
        samples,
        rttMs: samples === 0 ? undefined : Math.round((read(MemberTcp.rttSeconds) / samples) * 1e5) / 100,
        segments: read(MemberTcp.segments),
        retransmits: read(MemberTcp.retransmits),
        lost: read(MemberTcp.lost),
      },
    };
  }
}

function recordReport({ owner, rrset }: OwnedRRset, leases: readonly Lease[]): RecordReport {
  const end = (rdata: Uint8Array) => leases.find((lease) => equalBytes(lease.rdata, rdata))?.expiresAt ?? null;
  return {
    name: nameToText(owner),
    type: typeToText(rrset.type),
    ttl: rrset.ttl,
    data: rrset.rdata.map((rdata) => rdataToText(rrset.type, rdata)),
    ...(leases.length === 0 ? {} : { expiresAt: rrset.rdata.map(end) }),
  };
}
