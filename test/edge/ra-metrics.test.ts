/** Metrics of interfaces, from what the advertising part says of itself. */
import t from 'tap';
import { Metrics } from '../../src/edge/metrics.ts';
import { addRaMetrics } from '../../src/edge/ra-metrics.ts';
import type { RaInterfaceStatus } from '../../src/ra/status.ts';

async function lines(status: readonly Partial<RaInterfaceStatus>[]): Promise<string[]> {
  const metrics = new Metrics();
  addRaMetrics(metrics, () => status as RaInterfaceStatus[]);
  return (await metrics.text()).split('\n').filter((line) => line.startsWith('v6edge_'));
}

const contradiction = { what: 'AdvLinkMTU', ours: '1400', theirs: '1500' };
const router = { source: 'fe80::9', firstSeen: '', lastSeen: '', advertisement: {} as never };

t.test('an interface that does not advertise has no lifetimes, and no time of a multicast', async (t) => {
  t.strictSame(await lines([]), []);
  t.strictSame(await lines([{ interface: 'prv0', state: 'missing', routers: [] }]), [
    'v6edge_ra_interface_advertising{interface="prv0"} 0',
    'v6edge_ra_interface_contradictions{interface="prv0"} 0',
  ]);
});

t.test('what nodes are told', async (t) => {
  const options = [
    { kind: 'prefix-information', prefix: 'fd00:6:6::/64', valid: 'infinity', preferred: 1800 },
    { kind: 'route-information', prefix: 'fd00:7::/48', preference: 'medium', lifetime: 0 },
    { kind: 'rdnss', servers: ['fd00:6:6::1', 'fd00:6:6::2'], lifetime: 1200 },
    { kind: 'dnssl', domains: ['cluster.test'], lifetime: 1100 },
    { kind: 'pref64', prefix: '64:ff9b::/96', lifetime: 1000 },
    { kind: 'mtu', mtu: 1400 },
  ];
  const one: Partial<RaInterfaceStatus> = {
    interface: 'prv0',
    state: 'advertising',
    lastMulticast: '2026-11-25T12:00:00.500Z',
    routers: [
      { ...router, contradictions: [contradiction, contradiction] },
      { ...router, contradictions: [contradiction] },
    ],
    advertisement: { lifetime: 0, options } as never,
  };
  const lifetime = (of: string, item: string, value: string) =>
    `v6edge_ra_lifetime_seconds{interface="prv0",of="${of}",item="${item}"} ${value}`;
  t.strictSame(await lines([one]), [
    'v6edge_ra_interface_advertising{interface="prv0"} 1',
    'v6edge_ra_last_multicast_timestamp_seconds{interface="prv0"} 1795608000.5',
    'v6edge_ra_interface_contradictions{interface="prv0"} 3',
    lifetime('router', '', '0'),
    lifetime('prefix-valid', 'fd00:6:6::/64', '+Inf'),
    lifetime('prefix-preferred', 'fd00:6:6::/64', '1800'),
    lifetime('route', 'fd00:7::/48', '0'),
    lifetime('rdnss', 'fd00:6:6::1', '1200'),
    lifetime('rdnss', 'fd00:6:6::2', '1200'),
    lifetime('dnssl', 'cluster.test', '1100'),
    lifetime('pref64', '64:ff9b::/96', '1000'),
  ]);
});
