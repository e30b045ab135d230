/** Which counters of the running daemon stand under which metric. */
import { controlCounters } from '../dns/control-counters.ts';
import { dnsCounters, dnsGauges } from '../dns/counters.ts';
import {
  listenerCounterBase,
  listenerCounterSpecs,
  listenerGaugeBase,
  listenerGaugeSpecs,
  memberCounterBase,
  memberCounterSpecs,
  memberGaugeBase,
  memberGaugeSpecs,
  proxyCounterSpecs,
  proxyGaugeSpecs,
} from '../proxy/counters.ts';
import { raCounters, raGauges } from '../ra/counters.ts';
import { dnsCounterBase, dnsGaugeBase } from './counter-layout.ts';
import type { Edge } from './edge.ts';
import { Metrics, type Slot } from './metrics.ts';

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
          value: member.state === 'up' ? 1 : 0,
        })),
      ),
    'gauge',
  );
  metrics.addTable(dnsCounters, (index) => counters.counter(dnsCounterBase + index), 'counter');
  metrics.addTable(dnsGauges, (index) => counters.gauge(dnsGaugeBase + index), 'gauge');
  metrics.addTable(controlCounters, (index) => edge.dnsControlCounters.get(index), 'counter');
  metrics.addTable(raCounters, (index) => edge.raCounters.get(index), 'counter');
  metrics.addTable(raGauges, (index) => edge.raCounters.gauge(index), 'gauge');
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
  return metrics;
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

function members(edge: Edge, base: Base, kind: 'counter' | 'gauge'): Slot[] {
  return (edge.proxySnapshot?.pools ?? []).flatMap((pool) =>
    pool.members.map(({ name, slot }) => ({
      labels: { pool: pool.name, member: name },
      read: read(edge, base(slot), kind),
    })),
  );
}
