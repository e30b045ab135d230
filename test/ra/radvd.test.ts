/**
 * The same words to nodes as radvd's: configurations in its language and in ours, and the bytes that each sends. Equal but
 * for the checksum, which the kernel writes; where they are not, the reason stands here, and both mean the same.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { nullLogger } from '../../src/core/logger.ts';
import { loadConfig } from '../../src/edge/config/load.ts';
import { NetworkMonitor } from '../../src/linux/netlink.ts';
import { Reactor } from '../../src/linux/reactor.ts';
import { buildAdvertisement, encodePackets, finalAdvertisement } from '../../src/ra/advertisement.ts';
import type { RaInterfaceConfig } from '../../src/ra/config.ts';
import { parseRouterAdvertisement, type RouterAdvertisement } from '../../src/ra/wire/router-advertisement.ts';
import { eventually, inNamespace, ip, PeerNamespace, run } from '../linux/netns.ts';

interface Case {
  readonly name: string;
  readonly radvd: string;
  readonly ours: string;
  /** Why the bytes are not the same; `meaning` takes off what is different. */
  readonly differs?: string;
  readonly meaning?: (said: RouterAdvertisement) => unknown;
}

/** What it says of routes, without the order of anything. */
const routesOf = ({ options }: RouterAdvertisement) => options.filter(({ kind }) => kind === 'route-information');

const first: readonly Case[] = [
  {
    name: 'the original setup',
    radvd: `MaxRtrAdvInterval 60; AdvDefaultLifetime 0; prefix fd00:6:6::/64 { AdvValidLifetime 3600; AdvPreferredLifetime 1800; };
      RDNSS fd00:6:6::1 { AdvRDNSSLifetime 60; }; DNSSL cluster.test { AdvDNSSLLifetime 60; };`,
    ours: `interval: { max: 60s }
prefixes: [{ prefix: "fd00:6:6::/64", valid: 1h, preferred: 30m }]
rdnss: { servers: ["fd00:6:6::1"], lifetime: 60s }
dnssl: { domains: [cluster.test], lifetime: 60s }`,
  },
  {
    name: 'the defaults of prefix, route and header',
    radvd: 'AdvDefaultLifetime 1800; prefix fd00:6:6::/64 { }; route 2001:db8:1::/80 { AdvRouteLifetime 1800; };',
    ours: `defaultLifetime: 30m
prefixes: [{ prefix: "fd00:6:6::/64" }]
routes: [{ prefix: "2001:db8:1::/80" }]`,
  },
  {
    name: 'every header field',
    radvd: `AdvDefaultLifetime 1800; AdvManagedFlag on; AdvOtherConfigFlag on; AdvCurHopLimit 33;
      AdvReachableTime 12345; AdvRetransTimer 6789; AdvDefaultPreference high; AdvSourceLLAddress off;`,
    ours: `defaultLifetime: 30m
managed: true
other: true
hopLimit: 33
reachableTime: 12345ms
retransTimer: 6789ms
preference: high
sourceLinkLayer: false`,
  },
  {
    name: 'header fields at their limits',
    radvd: `MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime 9000; AdvCurHopLimit 255; AdvReachableTime 3600000;
      AdvRetransTimer 4294967295; AdvDefaultPreference low; AdvLinkMTU 1280;`,
    ours: `interval: { min: 3s, max: 4s }
defaultLifetime: 9000s
hopLimit: 255
reachableTime: 1h
retransTimer: 4294967295ms
preference: low
mtu: 1280`,
  },
  {
    name: 'nothing specified',
    radvd: 'AdvDefaultLifetime 0; AdvCurHopLimit 0; AdvSourceLLAddress off;',
    ours: 'hopLimit: 0\nsourceLinkLayer: false',
  },
  { name: 'home agent', radvd: 'AdvDefaultLifetime 0; AdvHomeAgentFlag on;', ours: 'homeAgent: true' },
  {
    name: 'the whole address of the router in its prefix',
    radvd: 'AdvDefaultLifetime 0; prefix fd00:6:6::1/64 { AdvRouterAddr on; };',
    ours: 'prefixes: [{ prefix: "fd00:6:6::/64", routerAddress: true }]',
  },
  {
    name: 'each /64 of the interface',
    radvd: 'AdvDefaultLifetime 0; prefix ::/64 { AdvValidLifetime 7200; AdvPreferredLifetime 3600; };',
    ours: 'prefixes: [{ prefix: "::/64", valid: 2h, preferred: 1h }]',
  },
  {
    name: 'prefix flags and lifetimes without end',
    radvd: `AdvDefaultLifetime 0; prefix fd00:7::/64 { AdvOnLink off; AdvValidLifetime infinity; AdvPreferredLifetime infinity; };
      prefix fd00:8::/48 { AdvAutonomous off; AdvValidLifetime 4294967294; AdvPreferredLifetime 0; };`,
    ours: `prefixes:
  - { prefix: "fd00:7::/64", onLink: false, valid: infinity, preferred: infinity }
  - { prefix: "fd00:8::/48", autonomous: false, valid: 4294967294s, preferred: 0s }`,
  },
  {
    name: 'every option at once',
    radvd: `AdvDefaultLifetime 1800; AdvDefaultPreference low; AdvLinkMTU 1400;
      prefix fd00:6:6::/64 { AdvOnLink off; }; prefix 2001:db8::/64 { AdvAutonomous off; };
      route 2001:db8:1::/80 { AdvRouteLifetime 600; AdvRoutePreference high; };
      route 2001:db8:2:3:4::/96 { AdvRouteLifetime 700; AdvRoutePreference low; };
      route 2001:db8::9/128 { AdvRouteLifetime 0; };
      RDNSS fd00:6:6::1 fd00:6:6::2 { AdvRDNSSLifetime 1200; };
      DNSSL cluster.test a.example { AdvDNSSLLifetime 1200; };`,
    ours: `defaultLifetime: 30m
preference: low
mtu: 1400
prefixes: [{ prefix: "fd00:6:6::/64", onLink: false }, { prefix: "2001:db8::/64", autonomous: false }]
routes:
  - { prefix: "2001:db8:1::/80", lifetime: 10m, preference: high }
  - { prefix: "2001:db8:2:3:4::/96", lifetime: 700s, preference: low }
  - { prefix: "2001:db8::9/128", lifetime: 0s }
rdnss: { servers: ["fd00:6:6::1", "fd00:6:6::2"], lifetime: 20m }
dnssl: { domains: [cluster.test, a.example], lifetime: 20m }`,
  },
  ...[1, 2, 3, 4, 5, 6, 7, 8].map((length) => {
    const name = `${'n'.repeat(length)}.x`;
    return {
      name: `search domains whose names fill up to 8 octets, ${length}`,
      radvd: `AdvDefaultLifetime 0; DNSSL ${name} ${name}.y { AdvDNSSLLifetime infinity; };`,
      ours: `dnssl: { domains: [${name}, ${name}.y], lifetime: infinity }`,
    };
  }),
  {
    name: 'short routes',
    differs:
      'radvd sends all 16 octets of each route prefix; RFC 4191 §2.3 allows the 8 that matter up to /64, 0 for ::/0',
    radvd: `AdvDefaultLifetime 1800; route 2001:db8:1::/48 { AdvRouteLifetime 600; }; route ::/0 { AdvRouteLifetime 600; };`,
    ours: 'defaultLifetime: 30m\nroutes: [{ prefix: "2001:db8:1::/48", lifetime: 10m }, { prefix: "::/0", lifetime: 10m }]',
    meaning: routesOf,
  },
];

/** What the two send when they end. */
const last: readonly Case[] = [
  {
    name: 'ceasing: lifetimes 0, prefixes as they were',
    radvd: `AdvDefaultLifetime 1800; AdvDefaultPreference high; prefix fd00:6:6::/64 { };
      route 2001:db8:1::/80 { AdvRouteLifetime 600; };
      RDNSS fd00:6:6::1 { AdvRDNSSLifetime 1200; }; DNSSL cluster.test { AdvDNSSLLifetime 1200; };`,
    ours: `defaultLifetime: 30m
preference: high
prefixes: [{ prefix: "fd00:6:6::/64" }]
routes: [{ prefix: "2001:db8:1::/80", lifetime: 10m }]
rdnss: { servers: ["fd00:6:6::1"], lifetime: 20m }
dnssl: { domains: [cluster.test], lifetime: 20m }`,
    differs: 'radvd keeps the preference; RFC 4191 §2.2 wants medium where the router lifetime is 0',
    meaning: ({ preference: _, ...rest }) => rest,
  },
  {
    name: 'ceasing with a prefix that is deprecated',
    radvd: 'AdvDefaultLifetime 0; prefix fd00:6:6::/64 { DeprecatePrefix on; };',
    ours: 'prefixes: [{ prefix: "fd00:6:6::/64", deprecateOnStop: true }]',
  },
];

if (inNamespace(t, import.meta.filename)) {
  const peer = await PeerNamespace.open(t);
  ip(`link add eth1 address 02:00:00:00:00:01 type veth peer name node0 netns ${peer.pid}`);
  run('sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/eth1/forwarding');
  ip('addr add fe80::1/64 dev eth1 nodad');
  ip('addr add fd00:6:6::1/64 dev eth1 nodad');
  ip('link set eth1 up');
  peer.ip('link set node0 up');
  const reactor = new Reactor();
  const network = new NetworkMonitor({ reactor, clock: systemClock, log: nullLogger });
  await network.start();
  t.teardown(() => {
    network.close();
    reactor.close();
  });
  // radvd sends from the address that the kernel made, and not at all while that is in DAD.
  await eventually(() => {
    const addresses = network.addresses(network.link('eth1')!.index);
    return addresses.length === 3 && addresses.every((one) => !one.tentative);
  });
  const link = network.link('eth1')!;
  const meta = { source: parseAddress('fe80::1'), hopLimit: 255 };

  /** The `count`-th advertisement of radvd; it is told to end after the first. */
  const radvdSends = async (dir: string, config: string, count: 1 | 2): Promise<Buffer> => {
    writeFileSync(join(dir, 'radvd.conf'), `interface eth1 { AdvSendAdvert on; ${config} };`);
    const pcap = join(dir, 'radvd.pcap');
    const filter = 'icmp6 and ip6[40] == 134 and ether src 02:00:00:00:00:01';
    const capture = peer.spawn(
      'tcpdump',
      '-i',
      'node0',
      '-c',
      String(count),
      '--immediate-mode',
      '-U',
      '-w',
      pcap,
      filter,
    );
    const closed = new Promise((resolve) => capture.on('close', resolve));
    await new Promise<void>((resolve) =>
      capture.stderr!.on('data', (text: Buffer) => text.includes('listening on') && resolve()),
    );
    const daemon: ChildProcess = spawn(
      'setpriv',
      [
        '--pdeathsig',
        'KILL',
        'radvd',
        '-n',
        '-C',
        join(dir, 'radvd.conf'),
        '-p',
        join(dir, 'pid'),
        '-m',
        'stderr',
        '-d',
        '5',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let log = '';
    daemon.stderr!.on('data', (text: Buffer) => {
      log += text.toString();
    });
    const tooLate = setTimeout(() => capture.kill('SIGINT'), 20_000);
    if (count === 2) {
      // 24 octets of file header; then there is a packet. radvd sends it before it heeds signals.
      await eventually(() => readFileSync(pcap).length > 24 && /polling/.test(log));
      daemon.kill('SIGTERM');
    }
    await closed;
    clearTimeout(tooLate);
    daemon.kill('SIGKILL');
    // 16 octets of packet header each; then Ethernet and IPv6.
    let at = 24;
    const bytes = readFileSync(pcap);
    if (bytes.length === 24) throw new Error(`radvd sent nothing:\n${log}`);
    for (let i = 1; i < count; i++) at += 16 + bytes.readUInt32LE(at + 8);
    const packet = bytes.subarray(at + 16 + 14 + 40, at + 16 + bytes.readUInt32LE(at + 8));
    packet.fill(0, 2, 4);
    return packet;
  };

  const configOf = (dir: string, yaml: string): RaInterfaceConfig => {
    const file = join(dir, 'ours.yaml');
    writeFileSync(file, `ra:\n  - interface: eth1\n${yaml.replaceAll(/^/gm, '    ')}\n`);
    const loaded = loadConfig(file);
    if ('errors' in loaded) throw new Error(JSON.stringify(loaded.errors));
    return loaded.config.ra[0]!;
  };

  const compare = (cases: readonly Case[], count: 1 | 2): void => {
    for (const { name, radvd, ours, differs, meaning } of cases) {
      t.test(name, async (t) => {
        const dir = t.testdir({});
        const theirs = await radvdSends(dir, radvd, count);
        const config = configOf(dir, ours);
        const said = buildAdvertisement(config, link, network.addresses(link.index));
        const marked = config.prefixes.some((prefix) => prefix.deprecateOnStop);
        const packets = encodePackets(count === 1 ? said : finalAdvertisement(said, () => marked), link.mtu);
        t.equal(packets.length, 1);
        const same = Buffer.from(packets[0]!).toString('hex') === theirs.toString('hex');
        t.equal(
          same,
          differs === undefined,
          `${differs ?? 'the same bytes'}\n${Buffer.from(packets[0]!).toString('hex')}\n${theirs.toString('hex')}`,
        );
        if (meaning === undefined) return;
        const [a, b] = [packets[0]!, theirs].map((bytes) => meaning(parseRouterAdvertisement(bytes, meta)));
        t.strictSame(a, b, 'and the same meaning');
      });
    }
  };
  compare(first, 1);
  compare(last, 2);
}
