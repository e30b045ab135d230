/** Metrics of each interface that advertises: what nodes were told, and for how long it holds. Read from its status at a scrape. */
import { unreachable } from '../core/errors.ts';
import type { RaInterfaceStatus } from '../ra/status.ts';
import type { Metrics, Sample } from './metrics.ts';

const interfaceLabels = ['interface'];

/** Adds them. */
export function addRaMetrics(metrics: Metrics, status: () => readonly RaInterfaceStatus[]): void {
  const each = function* (value: (one: RaInterfaceStatus) => number | undefined): Generator<Sample> {
    for (const one of status()) {
      const found = value(one);
      if (found !== undefined) yield { labels: { interface: one.interface }, value: found };
    }
  };
  metrics.addSamples(
    { name: 'v6edge_ra_interface_advertising', help: 'Whether the interface advertises now' },
    interfaceLabels,
    () => each(({ state }) => (state === 'advertising' ? 1 : 0)),
    'gauge',
  );
  metrics.addSamples(
    {
      name: 'v6edge_ra_last_multicast_timestamp_seconds',
      help: 'When all nodes on the interface were last told, Unix time',
    },
    interfaceLabels,
    () => each(({ lastMulticast }) => (lastMulticast === undefined ? undefined : Date.parse(lastMulticast) / 1000)),
    'gauge',
  );
  metrics.addSamples(
    {
      name: 'v6edge_ra_interface_contradictions',
      help: 'What other routers on the link say now that contradicts ours (RFC 4861 section 6.2.7)',
    },
    interfaceLabels,
    () => each(({ routers }) => routers.reduce((sum, { contradictions }) => sum + contradictions.length, 0)),
    'gauge',
  );
  metrics.addSamples(
    {
      name: 'v6edge_ra_lifetime_seconds',
      help: 'Lifetimes that nodes are told: of us as a router, of prefixes (valid and preferred), routes, DNS servers, domains and NAT64 prefixes',
    },
    ['interface', 'of', 'item'],
    function* () {
      for (const one of status()) yield* lifetimes(one);
    },
    'gauge',
  );
}

function* lifetimes({ interface: name, advertisement }: RaInterfaceStatus): Generator<Sample> {
  if (advertisement === undefined) return;
  const sample = (of: string, item: string, lifetime: unknown): Sample => ({
    labels: { interface: name, of, item },
    value: lifetime === 'infinity' ? Number.POSITIVE_INFINITY : Number(lifetime),
  });
  yield sample('router', '', advertisement.lifetime);
  for (const { kind, ...option } of advertisement.options) {
    switch (kind) {
      case 'prefix-information':
        yield sample('prefix-valid', String(option.prefix), option.valid);
        yield sample('prefix-preferred', String(option.prefix), option.preferred);
        break;
      case 'route-information':
        yield sample('route', String(option.prefix), option.lifetime);
        break;
      case 'rdnss':
        for (const server of option.servers as string[]) yield sample('rdnss', server, option.lifetime);
        break;
      case 'dnssl':
        for (const domain of option.domains as string[]) yield sample('dnssl', domain, option.lifetime);
        break;
      case 'pref64':
        yield sample('pref64', String(option.prefix), option.lifetime);
        break;
      case 'mtu':
      case 'source-link-layer-address':
      case 'captive-portal':
      case 'raw':
        break;
      default:
        unreachable(kind);
    }
  }
}
