/**
 * Each option alone, and all of them together, as they leave the daemon: what rdisc6, ndptool, radvdump, dhcpcd and the kernel
 * report beyond what they do of an advertisement without any. tshark judges the same in clients.test.ts, systemd-networkd in
 * networkd.test.ts; what lies beyond the limits is refused with the configuration (test/edge/config/ra-limits.test.ts).
 */
import t, { type Test } from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { nullLogger } from '../../src/core/logger.ts';
import type { RaInterfaceConfig } from '../../src/ra/config.ts';
import { eventually, inNamespace } from '../linux/netns.ts';
import { type Judge, judges, Panel, type Reports, routerInterfaces } from './judges.ts';
import { liveControl } from './live.ts';
import { prefix, raConfig } from './support.ts';

interface Case {
  readonly name: string;
  readonly config: Partial<RaInterfaceConfig>;
  /** The lines that a judge adds, or why it adds none. */
  readonly says: Readonly<Record<Judge, readonly string[] | string>>;
  /** One of those that are advertised together, too. */
  readonly together?: true;
}

const bare = raConfig({
  maxDelayMs: 0,
  prefixes: [],
  rdnss: undefined,
  dnssl: undefined,
  sourceLinkLayer: false,
  source: parseAddress('fe80::1'),
});

const noTimers = 'its hook is not told of timers';
const noRoutes = 'its hook is not told of routes (RFC 4191)';
const forPrograms = 'handed to programs that ask by netlink, which ip(8) does not';
const unknownTo = (option: string): Case['says'] => ({
  rdisc6: `1.0 does not know ${option}`,
  ndptool: `1.8 does not know ${option}`,
  radvdump: `2.19 does not know ${option}`,
  dhcpcd: `9.4 does not know ${option}`,
  kernel: forPrograms,
});

const cases: readonly Case[] = [
  {
    name: 'prefix',
    config: { prefixes: [prefix('fd00:6:6::/64')] },
    together: true,
    says: {
      rdisc6: [
        'Prefix : fd00:6:6::/64',
        'On-link : Yes',
        'Autonomous address conf.: Yes',
        'Valid time : 86400 (0x00015180) seconds',
        'Pref. time : 14400 (0x00003840) seconds',
      ],
      ndptool: [
        'Prefix: fd00:6:6::/64, valid_time: 86400s, preferred_time: 14400s, on_link: yes, autonomous_addr_conf: yes, router_addr: no',
      ],
      radvdump: [
        'prefix fd00:6:6::/64 { AdvValidLifetime 86400; AdvPreferredLifetime 14400; AdvOnLink on; AdvAutonomous on; AdvRouterAddr off; }',
      ],
      dhcpcd: [
        'nd1_prefix_information1_prefix=fd00:6:6::',
        'nd1_prefix_information1_length=64',
        'nd1_prefix_information1_flags=LA',
        'nd1_prefix_information1_vltime=86400',
        'nd1_prefix_information1_pltime=14400',
      ],
      kernel: [
        'fd00:6:6::/64 proto kernel metric 256 expires 86400sec pref medium',
        '2: node1 inet6 fd00:6:6::ff:fe00:101/64 scope global dynamic mngtmpaddr \\ valid_lft 86400sec preferred_lft 14400sec',
      ],
    },
  },
  {
    name: 'prefix without flags, for ever',
    config: {
      prefixes: [
        prefix('2001:db8::/65', {
          onLink: false,
          autonomous: false,
          validSeconds: Number.POSITIVE_INFINITY,
          preferredSeconds: Number.POSITIVE_INFINITY,
        }),
      ],
    },
    says: {
      rdisc6: [
        'Prefix : 2001:db8::/65',
        'On-link : No',
        'Autonomous address conf.: No',
        'Valid time : infinite (0xffffffff)',
        'Pref. time : infinite (0xffffffff)',
      ],
      ndptool: [
        'Prefix: 2001:db8::/65, valid_time: infinity, preferred_time: infinity, on_link: no, autonomous_addr_conf: no, router_addr: no',
      ],
      radvdump: [
        'prefix 2001:db8::/65 { AdvValidLifetime infinity; AdvPreferredLifetime infinity; AdvOnLink off; AdvAutonomous off; AdvRouterAddr off; }',
      ],
      dhcpcd: [
        'nd1_prefix_information1_prefix=2001:db8::',
        'nd1_prefix_information1_length=65',
        'nd1_prefix_information1_flags=',
        'nd1_prefix_information1_vltime=4294967295',
        'nd1_prefix_information1_pltime=4294967295',
      ],
      kernel: 'neither on link nor for addresses: nothing follows',
    },
  },
  {
    name: 'default router',
    config: { defaultLifetimeSeconds: 1800, preference: 'high' },
    together: true,
    says: {
      rdisc6: ['Router preference : high', 'Router lifetime : 1800 (0x00000708) seconds'],
      ndptool: ['Default router preference: high', 'Router lifetime: 1800s'],
      radvdump: ['AdvDefaultLifetime 1800', 'AdvDefaultPreference high'],
      dhcpcd: ['nd1_flags=h', 'nd1_lifetime=1800'],
      kernel: ['default via fe80::1 proto ra metric 1024 expires 1800sec pref high'],
    },
  },
  {
    name: 'default router, for as long as there is (RFC 8319)',
    config: { defaultLifetimeSeconds: 65_535, preference: 'low' },
    says: {
      rdisc6: ['Router preference : low', 'Router lifetime : 65535 (0x0000ffff) seconds'],
      ndptool: ['Default router preference: low', 'Router lifetime: 65535s'],
      radvdump: ['AdvDefaultLifetime 65535', 'AdvDefaultPreference low'],
      dhcpcd: ['nd1_flags=l', 'nd1_lifetime=65535'],
      kernel: ['default via fe80::1 proto ra metric 1024 expires 65540sec pref low'],
    },
  },
  {
    name: 'M',
    config: { managed: true },
    says: {
      rdisc6: ['Stateful address conf. : Yes'],
      ndptool: ['Managed address configuration: yes'],
      radvdump: ['AdvManagedFlag on'],
      dhcpcd: ['nd1_flags=M'],
      kernel: forPrograms,
    },
  },
  {
    name: 'O',
    config: { other: true },
    says: {
      rdisc6: ['Stateful other conf. : Yes'],
      ndptool: ['Other configuration: yes'],
      radvdump: ['AdvOtherConfigFlag on'],
      dhcpcd: ['nd1_flags=O'],
      kernel: forPrograms,
    },
  },
  {
    name: 'H',
    config: { homeAgent: true },
    says: {
      rdisc6: ['Mobile home agent : Yes'],
      ndptool: '1.8 does not print it',
      radvdump: ['AdvHomeAgentFlag on'],
      dhcpcd: ['nd1_flags=H'],
      kernel: 'nothing follows for a node that is not mobile',
    },
  },
  {
    name: 'hop limit, the highest',
    config: { hopLimit: 255 },
    together: true,
    says: {
      rdisc6: ['Hop limit : 255 ( 0xff)'],
      ndptool: ['Hop limit: 255'],
      radvdump: ['AdvCurHopLimit 255'],
      dhcpcd: ['nd1_hoplimit=255'],
      kernel: ['hop limit 255'],
    },
  },
  {
    name: 'hop limit, none',
    config: { hopLimit: 0 },
    says: {
      rdisc6: ['Hop limit : undefined ( 0x00)'],
      ndptool: ['Hop limit: 0'],
      radvdump: ['AdvCurHopLimit 0'],
      dhcpcd: 'its hook is told of those that are given',
      kernel: 'keeps the one that it has',
    },
  },
  {
    name: 'reachable time, the longest',
    config: { reachableTimeMs: 3_600_000 },
    together: true,
    says: {
      rdisc6: ['Reachable time : 3600000 (0x0036ee80) milliseconds'],
      ndptool: ['Reachable time: 3600000ms'],
      radvdump: ['AdvReachableTime 3600000'],
      dhcpcd: noTimers,
      kernel: ['reachable time 3600000'],
    },
  },
  {
    name: 'retransmit timer',
    config: { retransTimerMs: 1_500 },
    together: true,
    says: {
      rdisc6: ['Retransmit time : 1500 (0x000005dc) milliseconds'],
      ndptool: ['Retransmit time: 1500ms'],
      radvdump: ['AdvRetransTimer 1500'],
      dhcpcd: noTimers,
      kernel: ['retransmit time 1500'],
    },
  },
  {
    name: 'MTU, the least',
    config: { mtu: 1280 },
    together: true,
    says: {
      rdisc6: ['MTU : 1280 bytes (valid)'],
      ndptool: ['MTU: 1280'],
      radvdump: ['AdvLinkMTU 1280'],
      dhcpcd: ['nd1_mtu=1280'],
      kernel: ['mtu 1280'],
    },
  },
  {
    name: 'source link-layer address',
    config: { sourceLinkLayer: true },
    together: true,
    says: {
      rdisc6: ['Source link-layer address: 02:00:00:00:00:01'],
      ndptool: ['Source linkaddr: 02:00:00:00:00:01'],
      radvdump: ['AdvSourceLLAddress on'],
      dhcpcd: ['nd1_source_address=020000000001'],
      kernel: 'among its neighbours, as it is anyway',
    },
  },
  {
    name: 'route',
    config: {
      routes: [{ prefix: parseCidr('2001:db8:1::/48'), lifetimeSeconds: 600, preference: 'low', until: undefined }],
    },
    together: true,
    says: {
      rdisc6: ['Route : 2001:db8:1::/48', 'Route preference : low', 'Route lifetime : 600 (0x00000258) seconds'],
      ndptool: ['Route: 2001:db8:1::/48, lifetime: 600s, preference: low'],
      radvdump: ['route 2001:db8:1::/48 { AdvRoutePreference low; AdvRouteLifetime 600; }'],
      dhcpcd: noRoutes,
      kernel: ['2001:db8:1::/48 via fe80::1 proto ra metric 1024 expires 600sec pref low'],
    },
  },
  {
    name: 'route to a single address, for ever',
    config: {
      routes: [
        {
          prefix: parseCidr('2001:db8::2/128'),
          lifetimeSeconds: Number.POSITIVE_INFINITY,
          preference: 'high',
          until: undefined,
        },
      ],
    },
    says: {
      rdisc6: ['Route : 2001:db8::2/128', 'Route preference : high', 'Route lifetime : infinite (0xffffffff)'],
      ndptool: ['Route: 2001:db8::2/128, lifetime: infinity, preference: high'],
      radvdump: ['route 2001:db8::2/128 { AdvRoutePreference high; AdvRouteLifetime infinity; }'],
      dhcpcd: noRoutes,
      kernel: ['2001:db8::2 via fe80::1 proto ra metric 1024 pref high'],
    },
  },
  {
    name: 'RDNSS',
    config: { rdnss: { servers: [parseAddress('fd00:6:6::1')], lifetimeSeconds: 1800, whileHealthy: false } },
    together: true,
    says: {
      rdisc6: ['Recursive DNS server : fd00:6:6::1', 'DNS server lifetime : 1800 (0x00000708) seconds'],
      ndptool: ['Recursive DNS Servers: fd00:6:6::1, lifetime: 1800s'],
      radvdump: ['RDNSS fd00:6:6::1 { AdvRDNSSLifetime 1800; }'],
      dhcpcd: ['nd1_rdnss1_servers=fd00:6:6::1', 'nd1_rdnss1_lifetime=1800'],
      kernel: forPrograms,
    },
  },
  {
    name: 'RDNSS, two for ever',
    config: {
      rdnss: {
        servers: [parseAddress('fd00:6:6::1'), parseAddress('2001:db8::53')],
        lifetimeSeconds: Number.POSITIVE_INFINITY,
        whileHealthy: false,
      },
    },
    says: {
      rdisc6: [
        'Recursive DNS server : fd00:6:6::1',
        'Recursive DNS server : 2001:db8::53',
        'DNS servers lifetime : infinite (0xffffffff)',
      ],
      ndptool: ['Recursive DNS Servers: fd00:6:6::1, 2001:db8::53, lifetime: infinity'],
      radvdump: ['RDNSS fd00:6:6::1 2001:db8::53 { AdvRDNSSLifetime infinity; }'],
      dhcpcd: ['nd1_rdnss1_servers=fd00:6:6::1 2001:db8::53', 'nd1_rdnss1_lifetime=4294967295'],
      kernel: forPrograms,
    },
  },
  {
    name: 'DNSSL',
    config: { dnssl: { domains: ['cluster.test', 'a.example'], lifetimeSeconds: 1800 } },
    together: true,
    says: {
      rdisc6: ['DNS search list : cluster.test a.example', 'DNS search list lifetime: 1800 (0x00000708) seconds'],
      ndptool: ['DNS Search List: cluster.test a.example, lifetime: 1800s'],
      radvdump: ['DNSSL cluster.test a.example { AdvDNSSLLifetime 1800; }'],
      dhcpcd: ['nd1_dnssl1_search=cluster.test a.example', 'nd1_dnssl1_lifetime=1800'],
      kernel: forPrograms,
    },
  },
  {
    name: 'DNSSL, taken back',
    config: { dnssl: { domains: ['cluster.test'], lifetimeSeconds: 0 } },
    says: {
      rdisc6: ['DNS search list : cluster.test', 'DNS search list lifetime: 0 (0x00000000) seconds'],
      ndptool: ['DNS Search List: cluster.test, lifetime: 0s'],
      radvdump: ['DNSSL cluster.test { AdvDNSSLLifetime 0; }'],
      dhcpcd: ['nd1_dnssl1_search=cluster.test', 'nd1_dnssl1_lifetime=0'],
      kernel: forPrograms,
    },
  },
  {
    name: 'PREF64',
    config: { pref64: { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800 } },
    together: true,
    says: unknownTo('PREF64 (RFC 8781)'),
  },
  {
    name: 'captive portal',
    config: { captivePortal: 'https://portal.example/api' },
    together: true,
    says: unknownTo('captive portals (RFC 8910)'),
  },
];

if (inNamespace(t, import.meta.filename)) {
  const panel = await Panel.open(t);
  /** What the judges make of an advertisement, as it leaves a daemon that has said nothing before. */
  const judge = async (t: Test, config: Partial<RaInterfaceConfig>): Promise<Reports> => {
    panel.renew();
    const { control } = await liveControl(t, nullLogger);
    await control.start(routerInterfaces.map((one) => ({ ...bare, ...config, interface: one })));
    await eventually(() => control.ready);
    return panel.reports();
  };
  let nothing: Reports;
  const added = (reports: Reports, judge: Judge): string[] =>
    reports[judge].filter((line) => !nothing[judge].includes(line)).sort();
  const linesOf = (says: Case['says'], judge: Judge): readonly string[] =>
    typeof says[judge] === 'string' ? [] : says[judge];

  t.test('no option: the header', async (t) => {
    nothing = await judge(t, {});
    t.match(nothing.rdisc6.join('\n'), /Router lifetime : 0 .*\n.*from fe80::1$/s);
    t.match(nothing.ndptool, ['Type: RA', 'Hop limit: 64', 'Managed address configuration: no']);
    t.match(nothing.radvdump, ['AdvSendAdvert on', 'AdvManagedFlag off']);
    t.strictSame([...nothing.dhcpcd].sort(), ['nd1_flags=', 'nd1_from=fe80::1', 'nd1_hoplimit=64', 'nd1_lifetime=0']);
    t.notMatch(nothing.kernel.join('\n'), /default|global/);
  });

  for (const { name, config, says } of cases) {
    t.test(name, async (t) => {
      const reports = await judge(t, config);
      for (const one of judges) {
        const why = typeof says[one] === 'string' ? `: ${says[one]}` : '';
        t.strictSame(added(reports, one), [...linesOf(says, one)].sort(), one + why);
      }
    });
  }

  t.test('all together', async (t) => {
    const together = cases.filter((one) => one.together);
    const reports = await judge(t, Object.assign({}, ...together.map(({ config }) => config)));
    for (const one of judges) {
      t.strictSame(added(reports, one), together.flatMap(({ says }) => linesOf(says, one)).sort(), one);
    }
  });
}
