/**
 * What nodes make of advertisements with several options of a kind: the kernel, ndptool, radvdump, dhcpcd; and tshark for each
 * option alone. What the others make of each alone: judges.test.ts.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress, parseCidr } from '../../src/core/address.ts';
import { nullLogger } from '../../src/core/logger.ts';
import { Icmp6Socket } from '../../src/linux/icmp6.ts';
import { buildAdvertisement, encodePackets } from '../../src/ra/advertisement.ts';
import type { RaInterfaceConfig } from '../../src/ra/config.ts';
import { encodeRouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';
import { eventually, inNamespace, ip, PeerNamespace, run } from '../linux/netns.ts';
import { liveControl } from './live.ts';
import { prefix, raConfig } from './support.ts';

const ownMac = '02:00:00:00:00:01';
const allNodes = parseAddress('ff02::1');

const everything = raConfig({
  maxDelayMs: 0,
  defaultLifetimeSeconds: 1800,
  preference: 'high',
  hopLimit: 33,
  mtu: 1400,
  retransTimerMs: 1_500,
  prefixes: [prefix('fd00:6:6::/64'), prefix('fd00:7:7::/64', { autonomous: false, validSeconds: Infinity })],
  routes: [
    { prefix: parseCidr('2001:db8:1::/48'), lifetimeSeconds: 600, preference: 'low', until: undefined },
    { prefix: parseCidr('2001:db8:2::/64'), lifetimeSeconds: 600, preference: 'high', until: undefined },
    { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 600, preference: 'medium', until: undefined },
  ],
  pref64: { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800 },
  captivePortal: 'https://portal.example/api',
});

if (inNamespace(t, import.meta.filename)) {
  const peer = await PeerNamespace.open(t);
  ip(`link add eth1 address ${ownMac} type veth peer name node0 netns ${peer.pid}`);
  run('sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/eth1/forwarding');
  ip('addr add fe80::1/64 dev eth1 nodad');
  peer.sysctl('net/ipv6/conf/node0/accept_ra_rt_info_max_plen', 128);
  peer.sysctl('net/ipv6/conf/node0/accept_dad', 0);
  ip('link set eth1 up');
  peer.ip('link set node0 up');
  const { control, network } = await liveControl(t, nullLogger);

  t.test(
    'the kernel: address, default route and routes with preference, MTU, hop limit, retransmit time',
    async (t) => {
      await control.start([{ ...everything, source: parseAddress('fe80::1') }]);
      const routes = (): string => peer.ip('-6 route show');
      await eventually(() => /default via fe80::1 dev node0 .*pref high/.test(routes()));
      t.match(routes(), /2001:db8:1::\/48 via fe80::1 dev node0 proto ra .*pref low/);
      t.match(routes(), /2001:db8:2::\/64 via fe80::1 dev node0 proto ra .*pref high/);
      t.match(routes(), /64:ff9b::\/96 via fe80::1 dev node0 proto ra .*pref medium/);
      t.match(routes(), /fd00:6:6::\/64 dev node0 proto kernel/);
      t.match(routes(), /fd00:7:7::\/64 dev node0 proto kernel/);
      const sysctl = (name: string): string => peer.run('cat', `/proc/sys/net/ipv6/${name}`).trim();
      t.equal(sysctl('conf/node0/mtu'), '1400');
      t.equal(sysctl('conf/node0/hop_limit'), '33');
      t.equal(sysctl('neigh/node0/retrans_time_ms'), '1500');
      const addresses = peer.ip('-6 addr show dev node0 scope global');
      t.match(addresses, /inet6 fd00:6:6:/);
      t.notMatch(addresses, /fd00:7:7:/, 'no address of a prefix without A');
    },
  );

  t.test('ndptool', async (t) => {
    const monitor = peer.spawn('stdbuf', '-oL', 'ndptool', 'monitor', '-t', 'ra', '-i', 'node0');
    let text = '';
    monitor.stdout!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const again = setInterval(() => peer.spawn('ndptool', 'send', '-t', 'rs', '-i', 'node0'), 300);
    await eventually(() => /DNS Search List/.test(text));
    clearInterval(again);
    monitor.kill();
    for (const expected of [
      /from addr: fe80::1, iface: node0/,
      /Hop limit: 33/,
      /Default router preference: high/,
      /Router lifetime: 1800s/,
      /Retransmit time: 1500ms/,
      /Source linkaddr: 02:00:00:00:00:01/,
      /Prefix: fd00:6:6::\/64, valid_time: 86400s, preferred_time: 14400s, on_link: yes, autonomous_addr_conf: yes/,
      /Prefix: fd00:7:7::\/64, valid_time: infinity.*autonomous_addr_conf: no/,
      /MTU: 1400/,
      /Route: 2001:db8:1::\/48, lifetime: 600s, preference: low/,
      /Route: 64:ff9b::\/96, lifetime: 600s, preference: medium/,
      /Recursive DNS Servers: fd00:6:6::1, lifetime: 1800s/,
      /DNS Search List: cluster\.test, lifetime: 1800s/,
    ]) {
      t.match(text, expected);
    }
  });

  t.test('radvdump', async (t) => {
    const dump = peer.spawn('stdbuf', '-oL', 'radvdump');
    let text = '';
    dump.stdout!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const again = setInterval(() => peer.spawn('ndptool', 'send', '-t', 'rs', '-i', 'node0'), 300);
    await eventually(() => /End of interface definition/.test(text));
    clearInterval(again);
    dump.kill();
    const flat = text.replaceAll(/\s+/g, ' ');
    for (const expected of [
      /AdvCurHopLimit 33; AdvDefaultLifetime 1800; AdvHomeAgentFlag off; AdvDefaultPreference high; AdvLinkMTU 1400;/,
      /prefix fd00:6:6::\/64 \{ AdvValidLifetime 86400; AdvPreferredLifetime 14400; AdvOnLink on; AdvAutonomous on;/,
      /prefix fd00:7:7::\/64 \{ AdvValidLifetime infinity; [^}]*AdvAutonomous off;/,
      /route 2001:db8:1::\/48 \{ AdvRoutePreference low; AdvRouteLifetime 600; \}/,
      /RDNSS fd00:6:6::1 \{ AdvRDNSSLifetime 1800; \}/,
      /DNSSL cluster\.test \{ AdvDNSSLLifetime 1800; \}/,
    ]) {
      t.match(flat, expected);
    }
  });

  t.test('dhcpcd', async (t) => {
    const dir = t.testdir({});
    writeFileSync(join(dir, 'hook'), `#!/bin/sh\n[ "$reason" = TEST ] && env >>${dir}/env\n`, { mode: 0o755 });
    const client = peer.spawn(
      'dhcpcd',
      '-6',
      '-B',
      '-T',
      '-t',
      '20',
      '-f',
      '/dev/null',
      '-c',
      join(dir, 'hook'),
      'node0',
    );
    await new Promise((resolve) => client.on('close', resolve));
    const seen = run('cat', join(dir, 'env'));
    for (const expected of [
      /^nd1_from=fe80::1$/m,
      /^nd1_flags=h$/m,
      /^nd1_hoplimit=33$/m,
      /^nd1_lifetime=1800$/m,
      /^nd1_mtu=1400$/m,
      /^nd1_prefix_information1_prefix=fd00:6:6::$/m,
      /^nd1_prefix_information1_flags=LA$/m,
      /^nd1_prefix_information1_vltime=86400$/m,
      /^nd1_rdnss1_servers=fd00:6:6::1$/m,
      /^nd1_dnssl1_search=cluster\.test$/m,
      /^nd1_source_address=020000000001$/m,
    ]) {
      t.match(seen, expected);
    }
  });

  t.test('tshark has nothing to complain of: each option alone, all together, and at their limits', async (t) => {
    const none = { prefixes: [], rdnss: undefined, dnssl: undefined, sourceLinkLayer: false };
    const { prefixes, routes, pref64, captivePortal, rdnss, dnssl } = everything;
    const configs: [name: string, config: Partial<RaInterfaceConfig>][] = [
      ['nothing', none],
      ['prefixes', { ...none, prefixes }],
      ...routes.map((route): [string, Partial<RaInterfaceConfig>] => ['a route', { ...none, routes: [route] }]),
      ['rdnss', { ...none, rdnss }],
      ['dnssl', { ...none, dnssl }],
      ['mtu', { ...none, mtu: 1280 }],
      ['link-layer address', { ...none, sourceLinkLayer: true }],
      ['pref64', { ...none, pref64 }],
      ['captive portal', { ...none, captivePortal }],
      ['flags', { ...none, managed: true, other: true, homeAgent: true }],
      ['limits', { ...none, hopLimit: 255, reachableTimeMs: 3_600_000, retransTimerMs: 0xffff_ffff }],
      ['everything', everything],
      ['everything ends', { ...everything, defaultLifetimeSeconds: 0, preference: 'medium' }],
      [
        'sixty servers and a long list of names',
        {
          ...none,
          rdnss: {
            servers: Array.from({ length: 60 }, (_, i) => parseAddress(`fd00::${i + 1}`)),
            lifetimeSeconds: Infinity,
            whileHealthy: false,
          },
          dnssl: { domains: Array.from({ length: 40 }, (_, i) => `${'n'.repeat(i + 1)}.test`), lifetimeSeconds: 60 },
        },
      ],
    ];
    const link = network.link('eth1')!;
    const packets = configs.flatMap(([, config]) =>
      encodePackets(buildAdvertisement(raConfig(config), link, network.addresses(link.index)), link.mtu),
    );
    for (const length of [32, 40, 48, 56, 64, 96]) {
      const base = parseAddress(length === 96 ? '64:ff9b::' : '2001:db8::');
      const option = { kind: 'pref64' as const, prefix: { base, length }, lifetimeSeconds: 65_528 };
      packets.push(encodeRouterAdvertisement({ ...buildAdvertisement(raConfig(none), link, []), options: [option] }));
    }
    const pcap = join(t.testdir({}), 'all.pcap');
    const filter = `icmp6 and ip6[40] == 134 and ether src ${ownMac}`;
    const capture = peer.spawn(
      'tcpdump',
      '-i',
      'node0',
      '-c',
      String(packets.length),
      '--immediate-mode',
      '-w',
      pcap,
      filter,
    );
    const closed = new Promise((resolve) => capture.on('close', resolve));
    await new Promise<void>((resolve) =>
      capture.stderr!.on('data', (text: Buffer) => text.includes('listening on') && resolve()),
    );
    const socket = new Icmp6Socket([], () => {});
    for (const packet of packets) t.ok(socket.send(packet, allNodes, link.index, parseAddress('fe80::1')) > 0);
    socket.close();
    await closed;
    const frames = run(
      'tshark',
      '-r',
      pcap,
      '-T',
      'fields',
      '-e',
      'icmpv6.checksum.status',
      '-e',
      '_ws.expert.message',
    );
    const lines = frames.trimEnd().split('\n');
    t.equal(lines.length, packets.length);
    t.strictSame([...new Set(lines.map((line) => line.trim()))], ['1'], 'checksums are good, and no expert has a word');
  });
}
