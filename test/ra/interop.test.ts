/** Against real peers on a veth pair: the kernel's SLAAC, rdisc6, tshark. */
import { writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { formatAddress, parseAddress, parseCidr } from '../../src/core/address.ts';
import { MemoryLogger, nullLogger } from '../../src/core/logger.ts';
import { kernelSysctl } from '../../src/linux/sysctl.ts';
import type { RaInterfaceConfig } from '../../src/ra/config.ts';
import { RaCounter } from '../../src/ra/counters.ts';
import { eventually, inNamespace, ip, PeerNamespace, run } from '../linux/netns.ts';
import { liveControl } from './live.ts';
import { prefix, raConfig } from './support.ts';

const ownMac = '02:00:00:00:00:01';

/** Every option at once. */
const everyOption: Partial<RaInterfaceConfig> = {
  defaultLifetimeSeconds: 1800,
  preference: 'low',
  mtu: 1400,
  prefixes: [
    prefix('fd00:6:6::/64', { onLink: false, validSeconds: Infinity, preferredSeconds: Infinity }),
    prefix('2001:db8::/64', { autonomous: false }),
  ],
  routes: [
    { prefix: parseCidr('2001:db8:1::/80'), lifetimeSeconds: 600, preference: 'high', until: undefined },
    { prefix: parseCidr('2001:db8:2:3:4::/96'), lifetimeSeconds: 700, preference: 'low', until: undefined },
  ],
  rdnss: {
    servers: [parseAddress('fd00:6:6::1'), parseAddress('fd00:6:6::2')],
    lifetimeSeconds: 1200,
    whileHealthy: false,
  },
  dnssl: { domains: ['cluster.test', 'a.example'], lifetimeSeconds: 1200 },
  pref64: { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800 },
  captivePortal: 'https://portal.example/api',
};

if (inNamespace(t, import.meta.filename)) {
  const linkLocalOf = (out: string): string | undefined =>
    JSON.parse(out)[0]?.addr_info.find(
      (a: { scope: string; tentative?: boolean }) => a.scope === 'link' && a.tentative !== true,
    )?.local;
  const waitReady = (peer: PeerNamespace) =>
    eventually(
      () =>
        linkLocalOf(ip('-6 -j addr show dev eth1')) !== undefined &&
        linkLocalOf(peer.ip('-6 -j addr show dev node0')) !== undefined,
    );

  /** eth1 here, node0 in the other namespace, both not yet up. */
  const pair = async (t: Test): Promise<PeerNamespace> => {
    const peer = await PeerNamespace.open(t);
    ip(`link add eth1 address ${ownMac} type veth peer name node0 netns ${peer.pid}`);
    t.teardown(() => ip('link del eth1'));
    return peer;
  };

  t.test('no start race: the first advertisement leaves when the link-local address leaves DAD', async (t) => {
    const peer = await pair(t);
    const log = new MemoryLogger();
    const { control, network } = await liveControl(t, log);
    await control.start([raConfig({ interval: { minMs: 3_000, maxMs: 4_000 }, maxDelayMs: 0 })]);
    t.match(control.status(), [{ state: 'down' }]);
    let readyAt = 0;
    t.teardown(
      network.onChange(() => {
        const link = network.link('eth1');
        if (
          readyAt === 0 &&
          link !== undefined &&
          network.addresses(link.index).some((a) => a.scope === 'link' && !a.tentative)
        )
          readyAt = performance.now();
      }),
    );
    peer.ip('link set node0 up');
    ip('link set eth1 up');
    await eventually(() => control.ready);
    await eventually(() => control.status()[0]!.counters.sentMulticast > 0);
    const delay = performance.now() - readyAt;
    t.ok(delay < 50, `sent ${delay.toFixed(1)} ms after the end of DAD`);
    t.equal(control.status()[0]!.counters.sendFailures, 0, 'no send before that failed');
    t.equal(kernelSysctl.read('net/ipv6/conf/eth1/accept_ra'), '0', 'we do not listen to other routers');
    t.equal(log.lines.filter((line) => line.level === 'error').length, 0);

    await t.test('a kernel node: address by SLAAC, no default route', async (t) => {
      const addresses = () =>
        (JSON.parse(peer.ip('-6 -j addr show dev node0 scope global'))[0]?.addr_info ?? []).filter(
          (a: { local?: string; tentative?: boolean }) => a.local !== undefined && a.tentative !== true,
        ) as { local: string }[];
      await eventually(() => addresses().length > 0);
      t.match(addresses()[0]!.local, /^fd00:6:6:/);
      t.equal(peer.ip('-6 route show default').trim(), '');
      t.match(peer.ip('-6 route show'), /fd00:6:6::\/64 dev node0 proto kernel/);
    });

    await t.test('rdisc6 prints what we say', async (t) => {
      const out = await output(peer, 'rdisc6', '-1', 'node0');
      t.match(out, /Hop limit +: +64/);
      t.match(out, /Router lifetime +: +0/);
      t.match(out, /Prefix +: fd00:6:6::\/64/);
      t.match(out, /Recursive DNS server +: fd00:6:6::1/);
      t.match(out, /DNS search list +: cluster\.test/);
      t.match(out, /Source link-layer address: 02:00:00:00:00:01/);
    });

    await t.test('rdisc6 is answered at once when no delay is configured', async (t) => {
      const before = performance.now();
      await output(peer, 'rdisc6', '-1', '-q', 'node0');
      t.ok(performance.now() - before < 500);
      t.ok(control.status()[0]!.counters.sentUnicast >= 2);
    });

    await t.test('the interface goes down, is renamed, and comes back', async (t) => {
      ip('link set eth1 down');
      await eventually(() => control.status()[0]!.state === 'down');
      ip('link set eth1 name other');
      await eventually(() => control.status()[0]!.state === 'missing');
      ip('link set other name eth1');
      ip('link set eth1 up');
      const sent = control.status()[0]!.counters.sentMulticast;
      await eventually(() => control.ready && control.status()[0]!.counters.sentMulticast > sent);
      t.equal(control.status()[0]!.counters.sendFailures, 0);
      const flapped = control.status()[0]!.counters.sentMulticast;
      for (let flap = 0; flap < 5; flap++) {
        ip('link set eth1 down');
        ip('link set eth1 up');
      }
      await eventually(() => control.ready && control.status()[0]!.counters.sentMulticast > flapped);
      t.match(ip('-6 maddr show dev eth1'), /inet6 ff02::2$/m, 'solicitations are heard');
      await output(peer, 'rdisc6', '-1', 'node0');
    });
  });

  t.test('tshark finds nothing to complain of; malformed solicitations are counted', async (t) => {
    const peer = await pair(t);
    ip('link set eth1 up');
    peer.ip('link set node0 up');
    await waitReady(peer);
    const { control, counters } = await liveControl(t, nullLogger);
    const dir = t.testdir({});
    const capture = peer.spawn(
      'tcpdump',
      '-i',
      'node0',
      '-U',
      '--immediate-mode',
      '-w',
      `${dir}/all.pcap`,
      'icmp6 and ip6[40] == 134',
    );
    await new Promise<void>((resolve) =>
      capture.stderr!.on('data', (text: Buffer) => text.includes('listening on') && resolve()),
    );
    await control.start([raConfig({ ...everyOption, maxDelayMs: 0 })]);
    await eventually(() => control.status()[0]!.counters.sentMulticast > 0);

    const link = linkLocalOf(ip('-6 -j addr show dev eth1'))!;
    const script = `
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
i = socket.if_nametoindex('node0')
def send(hexa, hops=255):
    s.setsockopt(41, 16, hops); s.sendto(bytes.fromhex(hexa), ('${link}', 0, 0, i))
send('8500000000000000', 64)
send('8501000000000000')
send('85000000')
send('8500000000000000' + '0100020000000001')
send('8500000000000000' + '0105020000000001')
send('8600000000000000', 255)
# RFC 6980 section 5: in two fragments, and in a packet that only says that it is one (RFC 6946).
s.setsockopt(41, 16, 255); s.setsockopt(41, 24, 1280)
s.sendto(bytes.fromhex('8500000000000000' + 'fdb0' + '00' * 1406), ('${link}', 0, 0, i))
e = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); e.bind(('node0', 0))
src, dst = [socket.inet_pton(socket.AF_INET6, a) for a in ('${linkLocalOf(peer.ip('-6 -j addr show dev node0'))}', '${link}')]
rs = bytes.fromhex('8500000000000000')
data = src + dst + struct.pack('!II', len(rs), 58) + rs
total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
while total >> 16: total = (total & 0xffff) + (total >> 16)
rs = rs[:2] + struct.pack('!H', total ^ 0xffff) + rs[4:]
e.send(bytes.fromhex('${ownMac.replaceAll(':', '')}' + '020000000002' + '86dd' + '60000000')
    + struct.pack('!HBB', 8 + len(rs), 44, 255) + src + dst + bytes.fromhex('3a00000000000007') + rs)
send('8500000000000000' + 'fd01ffffffffffff')
`;
    writeFileSync(`${dir}/bad.py`, script);
    await output(peer, 'python3', `${dir}/bad.py`);
    await eventually(() => control.status()[0]!.counters.sentUnicast > 0);
    const invalid = [0, 1, 2, 3, 4, 5].map((i) => counters.get(RaCounter.invalidSolicitation + i));
    t.strictSame(invalid, [1, 1, 1, 2, 0, 2], 'hop limit, length, code, option, source, fragment');
    t.equal(counters.get(RaCounter.invalidAdvertisement + 1), 1, 'an advertisement that is too short');
    t.equal(control.status()[0]!.state, 'advertising');

    const done = new Promise((resolve) => capture.on('close', resolve));
    await new Promise((resolve) => setTimeout(resolve, 100));
    capture.kill('SIGINT');
    await done;
    const frames = run('tshark', '-r', `${dir}/all.pcap`, '-Y', `eth.src == ${ownMac}`).trim().split('\n').length;
    t.ok(frames >= 2, `${frames} frames to judge`);
    const expert = run(
      'tshark',
      '-r',
      `${dir}/all.pcap`,
      '-Y',
      `eth.src == ${ownMac} && (_ws.expert || _ws.malformed)`,
    );
    t.equal(expert, '', 'no expert information');
    const text = run('tshark', '-r', `${dir}/all.pcap`, '-V', '-c', '1');
    for (const expected of [
      /Checksum Status: Good/,
      /DNS Search List Option cluster.test a.example/,
      /Recursive DNS Servers: fd00:6:6::1/,
      /PREF64|Pref64/i,
      /Hop Limit: 255/,
    ]) {
      t.match(text, expected);
    }
  });

  t.test('a default router that ceases loses its route', async (t) => {
    const peer = await pair(t);
    run('sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/eth1/forwarding');
    ip('link set eth1 up');
    peer.ip('link set node0 up');
    await waitReady(peer);
    const { control } = await liveControl(t, nullLogger);
    await control.start([raConfig({ defaultLifetimeSeconds: 1800 })]);
    await eventually(() => peer.ip('-6 route show default').includes('via fe80'));
    const router = formatAddress(parseAddress(linkLocalOf(ip('-6 -j addr show dev eth1'))!));
    t.match(peer.ip('-6 route show default'), new RegExp(`default via ${router} dev node0 proto ra`));
    await control.stop({ final: true, graceMs: 0 });
    await eventually(() => peer.ip('-6 route show default').trim() === '');
    t.match(peer.ip('-6 addr show dev node0 scope global'), /fd00:6:6:/, 'the address stays');
  });

  t.test('another link-local address: a kernel node has one default router, the new one', async (t) => {
    const peer = await pair(t);
    run('sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/eth1/forwarding');
    ip('link set eth1 up');
    peer.ip('link set node0 up');
    await waitReady(peer);
    const { control } = await liveControl(t, nullLogger);
    await control.start([raConfig({ defaultLifetimeSeconds: 1800 })]);
    await eventually(() => peer.ip('-6 route show default').includes('via fe80'));
    const old = linkLocalOf(ip('-6 -j addr show dev eth1'))!;
    ip('addr add fe80::77/64 dev eth1 nodad');
    ip(`addr del ${old}/64 dev eth1`);
    await eventually(() => {
      const routes = peer.ip('-6 route show default');
      return routes.includes('via fe80::77') && !routes.includes(old);
    });
    t.equal(control.status()[0]!.counters.sendFailures, 0, 'the kernel lets us speak for the old one');
    t.equal(control.status()[0]!.source, 'fe80::77');
  });
}

/** Output of a program in the namespace; asynchronous, so that the daemon in this process can answer it. */
async function output(peer: PeerNamespace, command: string, ...args: string[]): Promise<string> {
  const child = peer.spawn(command, ...args);
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await new Promise((resolve) => child.on('close', resolve));
  return text;
}
