/** `v6edge status`: all three roles on one screen, and before anything else whether something is wrong. */
import { takesSessions } from '../../proxy/snapshot.ts';
import type { DnsReport, ListenerReport, PoolReport, RaReport, StatusReport, ZoneReport } from '../admin/source.ts';
import { type ApiTarget, callApi, getJson } from './client.ts';
import { formatAge, formatBytes, type Paint } from './table.ts';

/** What the daemon says of itself at one moment. */
export interface Overview {
  readonly status: StatusReport;
  /** What keeps it from being ready, in its words; empty = ready. */
  readonly waitingFor: readonly string[];
  readonly notes: readonly string[];
  readonly pools: readonly PoolReport[];
  readonly zones: readonly ZoneReport[];
  readonly dns: DnsReport;
  readonly ra: readonly RaReport[];
}

/** More lines of one part than this are summed up: it is to be one screen, and the part's own command shows all. */
const linesPerPart = 8;

/**
 * Asks for everything at once.
 * @throws {ApiError}
 */
export async function readOverview(target: ApiTarget): Promise<Overview> {
  const [status, health, pools, zones, dns, ra] = await Promise.all([
    getJson<StatusReport>(target, '/v1/status'),
    readHealth(target),
    getJson<PoolReport[]>(target, '/v1/pools'),
    getJson<ZoneReport[]>(target, '/v1/zones'),
    getJson<DnsReport>(target, '/v1/dns'),
    getJson<RaReport[]>(target, '/v1/ra'),
  ]);
  return { status, ...health, pools, zones, dns, ra };
}

async function readHealth(target: ApiTarget): Promise<Pick<Overview, 'waitingFor' | 'notes'>> {
  const { body } = await callApi(target, '/readyz', { statuses: [503] });
  const { waitingFor = [], notes = [] } = JSON.parse(body) as Partial<Pick<Overview, 'waitingFor' | 'notes'>>;
  return { waitingFor, notes };
}

/** @param now wall clock, milliseconds */
export function showOverview(overview: Overview, now: number, paint: Paint): string {
  const { status, waitingFor, notes } = overview;
  const threads = status.threads.map(
    ({ name, state, restarts }) => `${name} ${state}${restarts > 0 ? ` (restarted ${restarts} times)` : ''}`,
  );
  const troubles = [...waitingFor, ...troublesOf(overview)];
  const verdict = waitingFor.length > 0 ? paint('red', 'not ready') : paint('green', 'ready');
  const lines = [
    `v6edge ${status.version}, pid ${status.pid}, up ${formatAge(status.uptimeSeconds * 1000)}: ${verdict}`,
    ...troubles.map((each) => `  ${paint('red', each)}`),
    ...notes.map((each) => `  ${paint('dim', each)}`),
    '',
    part('configuration', [status.configFile]),
    part('threads', [threads.join(', ')]),
    part('admin', listening(status.listeners, 'admin')),
    ...proxyLines(overview, paint),
    ...dnsLines(overview, now, paint),
    ...raLines(overview, now, paint),
  ];
  return `${lines.join('\n')}\n`;
}

/** What is wrong without keeping the daemon from being ready. */
function troublesOf({ pools, dns, ra, status }: Overview): string[] {
  const troubles: string[] = [];
  for (const { name, state } of status.threads) {
    if (state === 'silent' || state === 'restarting') troubles.push(`thread ${name} is ${state}`);
  }
  for (const { name, members, discovery } of pools) {
    if (members.length === 0) {
      const none = discovery === undefined ? 'it has no members' : `${discovery.name} names no members yet`;
      troubles.push(`pool ${name}: ${discovery?.error ?? none}`);
    } else if (!members.some(({ state }) => state === 'up')) troubles.push(`pool ${name}: no member is up`);
    else if (!members.some(takesSessions)) {
      troubles.push(`pool ${name}: no member takes sessions: every one that is up has weight 0`);
    } else
      for (const each of members)
        if (each.state === 'down') troubles.push(`${name}/${each.name} is down: ${each.reason}`);
  }
  for (const { endpoint, healthy, reason } of dns.upstreams) {
    if (!healthy) troubles.push(`upstream ${endpoint} is down${reason === undefined ? '' : `: ${reason}`}`);
  }
  for (const { interface: name, routers = [], lastError } of ra) {
    if (lastError !== undefined) troubles.push(`${name}: the last advertisement was not sent: ${lastError}`);
    for (const { source, contradictions } of routers) {
      if (contradictions.length > 0) {
        troubles.push(
          `${name}: router ${source} contradicts ours: ${contradictions.map(({ what }) => what).join(', ')}`,
        );
      }
    }
  }
  return troubles;
}

function proxyLines({ status, pools }: Overview, paint: Paint): string[] {
  const { sessionsNow = 0, sessions = 0, bytesIn = 0, bytesOut = 0 } = status.totals;
  const listeners = listening(status.listeners, 'proxy');
  if (listeners.length === 0 && pools.length === 0) return [];
  const poolLine = ({ name, members }: PoolReport) => {
    const up = members.filter(takesSessions).length;
    const colour = up === members.length ? 'green' : up === 0 ? 'red' : 'yellow';
    const others = members
      .filter((each) => !takesSessions(each))
      .map((each) => `${each.name} ${each.state === 'up' ? 'weight 0' : each.state}`);
    const active = members.reduce((sum, each) => sum + each.active, 0);
    const share = members.length === 0 ? paint('red', 'no members') : paint(colour, `${up} of ${members.length} up`);
    return `${name}: ${share}, ${count(active, 'session')}${others.length > 0 ? ` (${few(others)})` : ''}`;
  };
  return [
    '',
    part('proxy', [
      `${count(sessionsNow, 'session')} now, ${sessions} since the start; ${formatBytes(bytesIn)} in, ${formatBytes(bytesOut)} out`,
    ]),
    part('  listeners', short(listeners, 'listeners', '--json')),
    part('  pools', short(pools.map(poolLine), 'pools', 'v6edge pools')),
  ];
}

function dnsLines({ status, dns, zones }: Overview, now: number, paint: Paint): string[] {
  const listeners = listening(status.listeners, 'dns');
  if (listeners.length === 0) return [];
  const { answers_cache = 0, answers_stale = 0, answers_forwarded = 0 } = dns.totals;
  const fromCache = answers_cache + answers_stale;
  const asked = fromCache + answers_forwarded;
  const ratio =
    asked === 0 ? '' : `, ${Math.round((100 * fromCache) / asked)} % of what is forwarded came from the cache`;
  const zoneLine = ({ name, role, serial, records, lastUpdate, secondary }: ZoneReport) => {
    const state = secondary === undefined || secondary.state === 'loaded' ? '' : `, ${paint('red', secondary.state)}`;
    const changed = lastUpdate === undefined ? '' : `, changed ${formatAge(now - lastUpdate)} ago`;
    return `${name}: ${role}, serial ${serial}, ${count(records, 'record')}${changed}${state}`;
  };
  const upstreamLine = ({ endpoint, healthy, rttMs }: DnsReport['upstreams'][number]) =>
    `${endpoint}: ${paint(healthy ? 'green' : 'red', healthy ? 'well' : 'down')}${rttMs === undefined ? '' : `, ${rttMs.toFixed(1)} ms`}`;
  return [
    '',
    part('dns', [`${count(status.totals.queries ?? 0, 'query', 'queries')} since the start${ratio}`]),
    part('  listeners', short(listeners, 'listeners', '--json')),
    ...(zones.length === 0 ? [] : [part('  zones', short(zones.map(zoneLine), 'zones', 'v6edge zones'))]),
    ...(dns.upstreams.length === 0
      ? []
      : [part('  upstreams', short(dns.upstreams.map(upstreamLine), 'upstreams', '--json'))]),
  ];
}

function raLines({ ra }: Overview, now: number, paint: Paint): string[] {
  if (ra.length === 0) return [];
  const line = ({ interface: name, state, reason = '', lastSent, lastSolicitation, routers = [] }: RaReport) => {
    const words = [
      `${name}: ${paint(state === 'advertising' ? 'green' : 'yellow', state)}`,
      ...(reason === '' ? [] : [reason]),
      lastSent === undefined ? 'nothing sent yet' : `sent ${formatAge(now - lastSent)} ago`,
      ...(lastSolicitation === undefined ? [] : [`solicited ${formatAge(now - lastSolicitation)} ago`]),
      ...(routers.length === 0 ? [] : [`other routers: ${few(routers.map(({ source }) => source))}`]),
    ];
    return words.join(', ');
  };
  return ['', part('ra', short(ra.map(line), 'interfaces', 'v6edge ra'))];
}

/** Listeners of a kind, one line a name. */
function listening(listeners: readonly ListenerReport[], kind: ListenerReport['kind']): string[] {
  const byName = new Map<string, string[]>();
  for (const each of listeners) {
    if (each.kind === kind) byName.set(each.name, [...(byName.get(each.name) ?? []), each.endpoint]);
  }
  return [...byName].map(([name, endpoints]) => `${name === kind ? '' : `${name} on `}${endpoints.join(', ')}`);
}

/** A heading with its lines beside it. */
function part(title: string, lines: readonly string[]): string {
  return lines.map((line, i) => `${(i === 0 ? title : '').padEnd(15)}${line}`).join('\n');
}

function short(lines: readonly string[], what: string, where: string): string[] {
  if (lines.length <= linesPerPart) return [...lines];
  return [...lines.slice(0, linesPerPart - 1), `… and ${lines.length - linesPerPart + 1} more ${what}: ${where}`];
}

function few(words: readonly string[]): string {
  return words.length <= 4 ? words.join(', ') : `${words.slice(0, 3).join(', ')} and ${words.length - 3} more`;
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
