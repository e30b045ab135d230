/** DNS as the admin API shows it: what all data threads say of their upstreams and caches, as one. */
import { COUNT, dnsCounters } from '../dns/counters.ts';
import type { DnsReport } from './admin/source.ts';
import { dnsCounterBase } from './counter-layout.ts';
import type { Edge } from './edge.ts';

export function dnsReport(edge: Edge): DnsReport {
  const { reports } = edge;
  const upstreams = (reports[0]?.upstreams ?? []).map((first) => {
    const same = reports.flatMap((report) => report.upstreams.filter(({ name }) => name === first.name));
    const sum = (field: 'sent' | 'answered' | 'timeouts' | 'failures') =>
      same.reduce((total, one) => total + one[field], 0);
    const times = same.map(({ rttMs }) => rttMs).filter((ms) => ms !== undefined);
    return {
      endpoint: first.name,
      transport: first.transport,
      healthy: same.some(({ state }) => state === 'up'),
      reason: same.find(({ reason }) => reason !== undefined)?.reason,
      rttMs: times.length === 0 ? undefined : times.reduce((a, b) => a + b) / times.length,
      totals: {
        sent: sum('sent'),
        answered: sum('answered'),
        timeouts: sum('timeouts'),
        failures: sum('failures'),
      },
    };
  });
  const cache = (field: 'entries' | 'bytes' | 'capacity' | 'evicted') =>
    reports.reduce((total, report) => total + report.cache[field], 0);
  return {
    upstreams,
    dns64: reports[0]?.dns64,
    cache: {
      entries: cache('entries'),
      bytes: cache('bytes'),
      capacity: cache('capacity'),
      evicted: cache('evicted'),
    },
    totals: Object.fromEntries(
      dnsCounters.map(({ name, labels }, index) => [
        [name.replace(/^v6edge_dns_|_total$/g, ''), ...Object.values(labels ?? {})].join('_'),
        dnsCount(edge, index),
      ]),
    ),
  };
}

/** Queries since the start, by all transports. */
export function dnsQueries(edge: Edge): number {
  return dnsCount(edge, COUNT.UDP) + dnsCount(edge, COUNT.TCP) + dnsCount(edge, COUNT.TLS);
}

function dnsCount({ counters }: Edge, index: number): number {
  return counters.counter(dnsCounterBase + index);
}
