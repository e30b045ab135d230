/** Which counters of the running daemon stand under which metric. */

import { controlCounters, transferCounter } from '../dns/control-counters.ts';
import { COUNT, dnsCounters, dnsGauges } from '../dns/counters.ts';
import type { SecondaryStatus } from '../dns/secondary/secondary-zone.ts';
import {
  FORWARDED_WAIT,
  LOCAL_WAIT,
  OTHER_ZONES,
  UPSTREAM,
  upstreamCounterBase,
  upstreamCounterSpecs,
  upstreamRttSpec,
  waitSpec,
  waits,
  zoneCounterBase,
  zoneCounterSpecs,
} from '../dns/slot-counters.ts';
import type { MemberStatus } from '../proxy/control.ts';
import {
  listenerCounterBase,
  listenerCounterSpecs,
  listenerGaugeBase,
  listenerGaugeSpecs,
  memberCounterBase,
  memberCounterSpecs,
  memberGaugeBase,
  memberGaugeSpecs,
  poolGaugeBase,
  poolGaugeSpecs,
  proxyCounterSpecs,
  proxyGaugeSpecs,
} from '../proxy/counters.ts';
import { takesSessions } from '../proxy/snapshot.ts';
import { raCounters, raGauges } from '../ra/counters.ts';
import { dnsCounterBase, dnsGaugeBase } from './counter-layout.ts';
import type { Edge } from './edge.ts';
import { joinCounters } from './join/counters.ts';
import { roles } from './join/state.ts';
import { Metrics, type Slot } from './metrics.ts';
import { addRaMetrics } from './ra-metrics.ts';
import { version } from './version.ts';

/** All metrics of a daemon. */
export function edgeMetrics(edge: Edge): Metrics {
  const metrics = new Metrics();
  const { counters } = edge;
  metrics.addTable(proxyCounterSpecs, (index) => counters.counter(index), 'counter');
  metrics.addTable(proxyGaugeSpecs, (index) => counters.gauge(index), 'gauge');
  metrics.addSlots(
    listenerCounterSpecs,
    ['listener'],
    () => listeners(edge, listenerCounterBase, 'counter'),
    'counter',
  );
  metrics.addSlots(listenerGaugeSpecs, ['listener'], () => listeners(edge, listenerGaugeBase, 'gauge'), 'gauge');
  metrics.addSlots(
    memberCounterSpecs,
    ['pool', 'member'],
    () => members(edge, memberCounterBase, 'counter'),
    'counter',
  );
  metrics.addSlots(memberGaugeSpecs, ['pool', 'member'], () => members(edge, memberGaugeBase, 'gauge'), 'gauge');
  metrics.addSamples(
    { name: 'v6edge_proxy_member_up', help: 'Whether the member takes new sessions.' },
    ['pool', 'member'],
    () =>
      (edge.proxySnapshot?.pools ?? []).flatMap((pool) =>
        pool.members.map((member) => ({
          labels: { pool: pool.name, member: member.name },
          value: takesSessions(member) ? 1 : 0,
        })),
      ),
    'gauge',
  );
  const member = (name: string, help: string, value: (status: MemberStatus) => number, type: 'counter' | 'gauge') =>
    metrics.addSamples(
      { name: `v6edge_proxy_member_${name}`, help },
      ['pool', 'member'],
      () =>
        edge.proxy
          .pools()
          .flatMap((pool) =>
            pool.members.map((status) => ({ labels: { pool: pool.name, member: status.name }, value: value(status) })),
          ),
      type,
    );
  member('check_failures_total', 'Checks that failed.', ({ checks }) => checks.failed, 'counter');
  member('downs_total', 'Times the member went down.', ({ checks }) => checks.wentDown, 'counter');
  member('down_seconds_total', 'Time that the member was down.', ({ checks }) => checks.downMs / 1000, 'counter');
  member(
    'check_seconds',
    'How long the last check took; 0 before the first.',
    ({ lastCheck }) => (lastCheck?.durationMs ?? 0) / 1000,
    'gauge',
  );
  member(
    'weight',
    'What the member counts for now: by the operator, and while it starts slowly.',
    ({ weight }) => weight,
    'gauge',
  );
  member(
    'max_connections',
    'Sessions at once that the member gets now; 0 = no limit.',
    ({ maxConnections }) => maxConnections,
    'gauge',
  );
  metrics.addSlots(poolGaugeSpecs, ['pool'], () => pools(edge, poolGaugeBase, 'gauge'), 'gauge');
  metrics.addSamples(
    { name: 'v6edge_proxy_pool_members_up', help: 'Members of the pool that take new sessions.' },
    ['pool'],
    () =>
      (edge.proxySnapshot?.pools ?? []).map(({ name, members }) => ({
        labels: { pool: name },
        value: members.filter(takesSessions).length,
      })),
    'gauge',
  );
  metrics.addTable(dnsCounters, (index) => counters.counter(dnsCounterBase + index), 'counter');
  addDnsSlots(metrics, edge);
  metrics.addTable(dnsGauges, (index) => counters.gauge(dnsGaugeBase + index), 'gauge');
  metrics.addSamples(
    { name: 'v6edge_dns_upstream_up', help: 'Whether an upstream answers, as any data thread sees it.' },
    ['upstream'],
    () => {
      const all = edge.reports.flatMap(({ upstreams }) => upstreams);
      return [...new Set(all.map(({ name }) => name))].map((upstream) => ({
        labels: { upstream },
        value: all.some(({ name, state }) => name === upstream && state === 'up') ? 1 : 0,
      }));
    },
    'gauge',
  );
  const axfr = transferCounter('axfr');
  metrics.addTable(
    controlCounters,
    (index) =>
      // Data threads send small zones themselves.
      edge.dnsControlCounters.get(index) + (index === axfr ? counters.counter(dnsCounterBase + COUNT.TRANSFER) : 0),
    'counter',
  );
  const secondaries = (value: (status: SecondaryStatus) => number | undefined) => () =>
    edge.dns.zones().flatMap(({ name, secondary }) => {
      const sample = secondary === undefined ? undefined : value(secondary);
      return sample === undefined ? [] : [{ labels: { zone: name }, value: sample }];
    });
  metrics.addSamples(
    { name: 'v6edge_dns_secondary_up', help: 'Whether a secondary zone is served: it came, and has not expired.' },
    ['zone'],
    secondaries(({ state }) => (state === 'loaded' ? 1 : 0)),
    'gauge',
  );
  metrics.addSamples(
    { name: 'v6edge_dns_secondary_expires_seconds', help: 'Time until a secondary zone expires.' },
    ['zone'],
    secondaries(({ expires }) => (expires === undefined ? undefined : (expires - edge.clock.wall()) / 1000)),
    'gauge',
  );
  metrics.addSamples(
    { name: 'v6edge_dns_secondary_age_seconds', help: 'Time since a primary confirmed a secondary zone.' },
    ['zone'],
    secondaries(({ lastRefresh }) =>
      lastRefresh === undefined ? undefined : (edge.clock.wall() - lastRefresh) / 1000,
    ),
    'gauge',
  );
  metrics.addTable(raCounters, (index) => edge.raCounters.get(index), 'counter');
  metrics.addTable(raGauges, (index) => edge.raCounters.gauge(index), 'gauge');
  addRaMetrics(metrics, () => edge.ra.status());
  metrics.addTable(joinCounters, (index) => edge.joinCounters.get(index), 'counter');
  metrics.addSamples(
    { name: 'v6edge_join_nodes', help: 'Nodes that joined and were not removed, by role.' },
    ['role'],
    () =>
      roles.map((role) => ({
        labels: { role },
        value: edge.join.book.nodes.filter((each) => each.role === role).length,
      })),
    'gauge',
  );
  const hooks = (field: 'told' | 'missed') => () =>
    edge.hooks.status().map(({ receiver, ...counts }) => ({ labels: { receiver }, value: counts[field] }));
  metrics.addSamples(
    { name: 'v6edge_hook_told_total', help: 'Events that a hook was told of.' },
    ['receiver'],
    hooks('told'),
    'counter',
  );
  metrics.addSamples(
    { name: 'v6edge_hook_missed_total', help: 'Events that a hook was not told of: it failed, or too many waited.' },
    ['receiver'],
    hooks('missed'),
    'counter',
  );
  metrics.addSamples(
    { name: 'v6edge_thread_restarts_total', help: 'Data threads that ended by themselves and were started again.' },
    [],
    () => [{ labels: {}, value: edge.threads.restarts }],
    'counter',
  );
  metrics.addSamples(
    { name: 'v6edge_threads', help: 'Data threads that serve.' },
    [],
    () => [{ labels: {}, value: edge.threads.alive }],
    'gauge',
  );
  metrics.addSamples(
    { name: 'v6edge_info', help: 'Always 1; its label says which version runs.' },
    ['version'],
    () => [{ labels: { version: version() }, value: 1 }],
    'gauge',
  );
  return metrics;
}

/** How long clients wait for DNS, and what each zone and upstream does. */
function addDnsSlots(metrics: Metrics, { counters, dnsSettings }: Edge): void {
  const from = (base: number): Slot['read'] => {
    return (offset) => counters.counter(dnsCounterBase + base + offset);
  };
  const zones = (): Slot[] => [
    ...[...dnsSettings.zones.slots].map(([zone, slot]) => ({ labels: { zone }, read: from(zoneCounterBase(slot)) })),
    // Names of special use and of our ingress, and zones that have no slot.
    { labels: { zone: '' }, read: from(zoneCounterBase(OTHER_ZONES)) },
  ];
  const upstreams = (offset: number) => (): Slot[] =>
    [...dnsSettings.upstreams.slots].map(([upstream, slot]) => ({
      labels: { upstream },
      read: from(upstreamCounterBase(slot) + offset),
    }));
  metrics.addSlots(zoneCounterSpecs, ['zone'], zones, 'counter');
  metrics.addSlots(upstreamCounterSpecs, ['upstream'], upstreams(0), 'counter');
  metrics.addHistogram(upstreamRttSpec, ['upstream'], upstreams(UPSTREAM.RTT));
  metrics.addHistogram(waitSpec, ['source'], () => [
    { labels: { source: waits[0] }, read: from(LOCAL_WAIT) },
    { labels: { source: waits[1] }, read: from(FORWARDED_WAIT) },
  ]);
}

type Base = (slot: number) => number;

function read(edge: Edge, base: number, kind: 'counter' | 'gauge'): Slot['read'] {
  return kind === 'counter'
    ? (offset) => edge.counters.counter(base + offset)
    : (offset) => edge.counters.gauge(base + offset);
}

function listeners(edge: Edge, base: Base, kind: 'counter' | 'gauge'): Slot[] {
  return (edge.proxySnapshot?.listeners ?? []).map(({ name, slot }) => ({
    labels: { listener: name },
    read: read(edge, base(slot), kind),
  }));
}

function pools(edge: Edge, base: Base, kind: 'counter' | 'gauge'): Slot[] {
  return (edge.proxySnapshot?.pools ?? []).map(({ name, slot }) => ({
    labels: { pool: name },
    read: read(edge, base(slot), kind),
  }));
}

function members(edge: Edge, base: Base, kind: 'counter' | 'gauge'): Slot[] {
  return (edge.proxySnapshot?.pools ?? []).flatMap((pool) =>
    pool.members.map(({ name, slot }) => ({
      labels: { pool: pool.name, member: name },
      read: read(edge, base(slot), kind),
    })),
  );
}
