/** Which figures of the running daemon the history keeps. */
import { dnsCounters } from '../dns/counters.ts';
import { ListenerCounter, listenerCounterBase, ProxyGauge } from '../proxy/counters.ts';
import { dnsCounterBase } from './counter-layout.ts';
import type { Edge } from './edge.ts';
import type { Figure } from './history.ts';

export function edgeFigures(edge: Edge): Figure[] {
  const { counters } = edge;
  const listeners = (offset: number) => () => listenerSum(edge, offset);
  const dns = (name: string, labels?: Readonly<Record<string, string>>) => {
    const indexes = dnsIndexes(name, labels);
    return () => indexes.reduce((sum, index) => sum + counters.counter(dnsCounterBase + index), 0);
  };
  const responses = (rcode: string) => dns('v6edge_dns_responses_total', { rcode });
  const answers = (source: string) => dns('v6edge_dns_answers_total', { source });
  return [
    { name: 'sessions', kind: 'gauge', read: () => counters.gauge(ProxyGauge.sessions) },
    { name: 'connections', kind: 'counter', read: listeners(ListenerCounter.sessions) },
    { name: 'bytesIn', kind: 'counter', read: listeners(ListenerCounter.bytesIn) },
    { name: 'bytesOut', kind: 'counter', read: listeners(ListenerCounter.bytesOut) },
    { name: 'queries', kind: 'counter', read: dns('v6edge_dns_queries_total') },
    { name: 'answersCache', kind: 'counter', read: answers('cache') },
    { name: 'answersZone', kind: 'counter', read: answers('zone') },
    { name: 'answersForwarded', kind: 'counter', read: answers('forwarded') },
    { name: 'answersStale', kind: 'counter', read: answers('stale') },
    { name: 'noerror', kind: 'counter', read: responses('NOERROR') },
    { name: 'nxdomain', kind: 'counter', read: responses('NXDOMAIN') },
    { name: 'servfail', kind: 'counter', read: responses('SERVFAIL') },
    { name: 'refused', kind: 'counter', read: responses('REFUSED') },
  ];
}

/** Over the listeners there are. */
export function listenerSum(edge: Edge, offset: number): number {
  return (edge.proxySnapshot?.listeners ?? []).reduce(
    (sum, { slot }) => sum + edge.counters.counter(listenerCounterBase(slot) + offset),
    0,
  );
}

/** Places in the table of those counters that have the name and all the labels. */
function dnsIndexes(name: string, labels: Readonly<Record<string, string>> = {}): number[] {
  return [...dnsCounters.entries()]
    .filter(([, spec]) => spec.name === name && Object.entries(labels).every(([k, v]) => spec.labels?.[k] === v))
    .map(([index]) => index);
}
