/** Turns what the admin API answers into text for people. */

import { formatEndpoint, parseAddress } from '../../core/address.ts';
import { formatDuration } from '../../core/duration.ts';
import type {
  MemberReport,
  PoolReport,
  RaReport,
  RecordReport,
  SessionReport,
  SourceReport,
  ZoneReport,
} from '../admin/source.ts';
import type { StoredZoneReport } from './store.ts';
import { type Colour, formatAge, formatTable, type Paint } from './table.ts';
import { yamlOf } from './yaml.ts';

const stateColour: Readonly<Record<MemberReport['state'], Colour>> = {
  up: 'green',
  down: 'red',
  drain: 'yellow',
  maint: 'yellow',
};

export function showPools(pools: readonly PoolReport[], paint: Paint): string {
  if (pools.length === 0) return 'no pools are configured\n';
  const rows = pools.flatMap((pool) =>
    pool.members.length === 0
      ? [[pool.name, paint('dim', 'no members'), '', '', '', '', '', '']]
      : pool.members.map((each, i) => memberRow(i === 0 ? pool.name : '', each, paint)),
  );
  const removed = pools.flatMap((pool) => (pool.removed ?? []).map((each) => removedText(pool.name, each)));
  const columns = [
    { title: 'POOL' },
    { title: 'MEMBER' },
    { title: 'ADDRESS' },
    { title: 'STATE' },
    { title: 'FOR', right: true },
    { title: 'WEIGHT', right: true },
    { title: 'ACTIVE', right: true },
    { title: 'WHY' },
  ];
  return formatTable(columns, rows, paint) + removed.join('');
}

function removedText(pool: string, { name, address, port }: PoolReport['removed'][number]): string {
  const endpoint = formatEndpoint({ kind: 'inet', address: parseAddress(address), port });
  return `${pool}/${name} of the configuration was removed at run time; to have it back: v6edge member ${pool} ${name} --add '${endpoint}'\n`;
}

function memberRow(pool: string, member: MemberReport, paint: Paint): string[] {
  const endpoint = formatEndpoint({ kind: 'inet', address: parseAddress(member.address), port: member.port });
  return [
    pool,
    member.backup ? `${member.name} (backup${member.tier > 1 ? ` ${member.tier}` : ''})` : member.name,
    endpoint,
    paint(stateColour[member.state], member.state),
    formatAge(member.inStateMs),
    String(member.weight),
    String(member.active),
    member.warning === undefined || member.warning === member.reason
      ? member.reason
      : `${member.reason}; ${member.warning}`,
  ];
}

export function showSessions(sessions: readonly SessionReport[], paint: Paint): string {
  if (sessions.length === 0) return 'no sessions\n';
  return formatTable(
    [
      { title: 'ID' },
      { title: 'LISTENER' },
      { title: 'CLIENT' },
      { title: 'POOL' },
      { title: 'MEMBER' },
      { title: 'STATE' },
      { title: 'AGE', right: true },
      { title: 'IDLE', right: true },
      { title: 'IN', right: true },
      { title: 'OUT', right: true },
    ],
    sessions.map((each) => [
      each.id,
      each.listener,
      each.client,
      each.pool,
      each.member ?? '',
      each.state,
      formatAge(each.ageMs),
      formatAge(each.idleMs),
      String(each.bytesIn),
      String(each.bytesOut),
    ]),
    paint,
  );
}

export function showSources(sources: readonly SourceReport[], paint: Paint): string {
  if (sources.length === 0) return 'no clients are counted (listeners with `rate` or `maxPerSource` count them)\n';
  return formatTable(
    [
      { title: 'LISTENER' },
      { title: 'CLIENT' },
      { title: 'SESSIONS', right: true },
      { title: 'IN WINDOW', right: true },
      { title: 'REFUSED', right: true },
      { title: 'FORGOTTEN IN', right: true },
    ],
    sources.map((each) => [
      each.listener,
      each.client,
      String(each.sessions),
      String(each.connections),
      each.refused === 0 ? '0' : paint('yellow', String(each.refused)),
      formatAge(each.expiresMs),
    ]),
    paint,
  );
}

export function showZones(zones: readonly ZoneReport[], now: number, paint: Paint): string {
  if (zones.length === 0) return 'no zones are configured\n';
  const columns = [
    { title: 'ZONE' },
    { title: 'ROLE' },
    { title: 'SERIAL', right: true },
    { title: 'RECORDS', right: true },
    { title: 'LAST UPDATE' },
  ];
  const row = (each: ZoneReport) => [
    each.name,
    each.role,
    each.secondary?.state === 'missing' ? '' : String(each.serial),
    String(each.records),
    // The store does not keep when.
    each.lastUpdate === undefined ? 'not since start' : ago(each.lastUpdate, now),
  ];
  if (zones.every(({ secondary }) => secondary === undefined)) return formatTable(columns, zones.map(row), paint);
  const more = [
    { title: 'STATE' },
    { title: 'PRIMARY' },
    { title: 'CONFIRMED' },
    { title: 'EXPIRES IN' },
    { title: 'WHY' },
  ];
  return formatTable(
    [...columns, ...more],
    zones.map((each) => {
      const { secondary } = each;
      if (secondary === undefined) return row(each);
      const { state, primary, primaries, lastRefresh, expires, lastError } = secondary;
      return [
        ...row(each),
        paint(state === 'loaded' ? 'green' : 'red', state),
        primary ?? primaries[0]!,
        ago(lastRefresh, now),
        expires === undefined ? '' : formatAge(Math.max(0, expires - now)),
        lastError ?? '',
      ];
    }),
    paint,
  );
}

export function showStoredZones(zones: readonly StoredZoneReport[], paint: Paint): string {
  if (zones.length === 0) return 'the store has no zones\n';
  return formatTable(
    [
      { title: 'ZONE' },
      { title: 'SERIAL', right: true },
      { title: 'RRSETS', right: true },
      { title: 'CHANGES KEPT', right: true },
    ],
    zones.map((each) => [each.name, String(each.serial), String(each.rrsets), String(each.journal)]),
    paint,
  );
}

export function showRecords(records: readonly RecordReport[], now: number, paint: Paint): string {
  const leased = records.some(({ expiresAt }) => expiresAt !== undefined);
  const columns = [{ title: 'NAME' }, { title: 'TTL', right: true }, { title: 'TYPE' }, { title: 'DATA' }];
  const left = (at: number | null | undefined) =>
    at === null || at === undefined ? '' : formatDuration(Math.max(0, Math.round((at - now) / 1000)) * 1000);
  return formatTable(
    leased ? [...columns, { title: 'GONE IN' }] : columns,
    records.flatMap((each) =>
      each.data.map((data, i) => [
        each.name,
        String(each.ttl),
        each.type,
        data,
        ...(leased ? [left(each.expiresAt?.[i])] : []),
      ]),
    ),
    paint,
  );
}

export function showRa(interfaces: readonly RaReport[], now: number, paint: Paint): string {
  if (interfaces.length === 0) return 'no router advertisements are configured\n';
  const table = formatTable(
    [
      { title: 'INTERFACE' },
      { title: 'STATE' },
      { title: 'LAST SENT' },
      { title: 'LAST SOLICITATION' },
      { title: 'FROM' },
      { title: 'WHY' },
    ],
    interfaces.map((each) => [
      each.interface,
      paint(each.state === 'advertising' ? 'green' : 'yellow', each.state),
      ago(each.lastSent, now),
      ago(each.lastSolicitation, now),
      each.lastSolicitedBy ?? '',
      each.lastError ?? each.reason ?? '',
    ]),
    paint,
  );
  return [table, ...interfaces.map((each) => raDetails(each, now, paint))].join('');
}

/** What an interface sends, as the configuration would say it, and the other routers there. */
function raDetails(report: RaReport, now: number, paint: Paint): string {
  const { interface: name, source, nextMulticastInMs, asConfig, withdrawn = [], routers = [] } = report;
  let text = '';
  if (asConfig !== undefined) {
    const next = nextMulticastInMs === undefined ? '' : `, to all nodes again in ${formatAge(nextMulticastInMs)}`;
    text += `\n${paint('bold', name)} sends from ${source ?? '?'}${next}\n`;
    text += indent(yamlOf(asConfig.entry, asConfig.remarks));
  }
  for (const { kind, lifetime: _, ...rest } of withdrawn) {
    text += `  taken back: ${kind} ${Object.values(rest).flat().join(' ')}\n`;
  }
  for (const { source: router, lastSeen, advertisement, contradictions } of routers) {
    const { lifetime, preference } = advertisement;
    const kind = lifetime === 0 ? 'no default router' : `default router for ${lifetime} s, preference ${preference}`;
    text += `\n${paint('bold', name)} hears ${router}: ${kind}, last ${ago(Date.parse(lastSeen), now)}\n`;
    for (const { what, ours, theirs } of contradictions) {
      text += `  ${paint('yellow', `${what}: ours ${ours}, theirs ${theirs}`)}\n`;
    }
  }
  return text;
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ');
}

function ago(at: number | undefined, now: number): string {
  return at === undefined ? 'never' : `${formatAge(now - at)} ago`;
}
