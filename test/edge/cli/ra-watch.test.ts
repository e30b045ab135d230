/** `v6edge ra watch` beside a router of ours on a veth pair: what it prints is configuration that sends the same bytes. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress, parseCidr } from '../../../src/core/address.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { nullLogger } from '../../../src/core/logger.ts';
import { watchAdvertisements } from '../../../src/edge/cli/ra-watch.ts';
import { loadConfig } from '../../../src/edge/config/load.ts';
import { Icmp6Socket } from '../../../src/linux/icmp6.ts';
import { NetworkMonitor } from '../../../src/linux/netlink.ts';
import { Reactor } from '../../../src/linux/reactor.ts';
import { buildAdvertisement, encodePackets } from '../../../src/ra/advertisement.ts';
import { eventually, inNamespace, ip, PeerNamespace } from '../../linux/netns.ts';
import { prefix, raConfig } from '../../ra/support.ts';

const root = join(import.meta.dirname, '../../..');
const allNodes = parseAddress('ff02::1');

if (inNamespace(t, import.meta.filename)) {
  const peer = await PeerNamespace.open(t);
  ip(`link add eth1 address 02:00:00:00:00:01 type veth peer name node0 netns ${peer.pid}`);
  ip('addr add fe80::1/64 dev eth1 nodad');
  ip('link set eth1 up');
  peer.ip('link set node0 up');
  const reactor = new Reactor();
  const network = new NetworkMonitor({ reactor, clock: systemClock, log: nullLogger });
  await network.start();
  const socket = new Icmp6Socket([], () => {});
  t.teardown(() => {
    socket.close();
    network.close();
    reactor.close();
  });
  const source = parseAddress('fe80::1');
  await eventually(() => network.link('eth1')?.up === true);
  const link = network.link('eth1')!;
  const [packet] = encodePackets(
    buildAdvertisement(
      raConfig({
        defaultLifetimeSeconds: 1800,
        preference: 'low',
        homeAgent: true,
        mtu: 1400,
        reachableTimeMs: 12_345,
        prefixes: [prefix('fd00:6:6::/64', { validSeconds: Infinity }), prefix('fd00:7::/64', { onLink: false })],
        routes: [{ prefix: parseCidr('2001:db8::/48'), lifetimeSeconds: 900, until: undefined, preference: 'high' }],
        pref64: { prefix: parseCidr('64:ff9b::/96'), lifetimeSeconds: 1800 },
        captivePortal: 'https://portal.example/api',
      }),
      link,
      [],
    ),
    1500,
  );

  /** Runs the command in the other namespace, sends `bytes` until it has ended, and returns what it printed. */
  const watch = async (bytes: Uint8Array, ...more: string[]): Promise<string> => {
    const child = peer.spawn(join(root, 'bin/v6edge'), 'ra', 'watch', '--interface', 'node0', '--count', '1', ...more);
    let text = '';
    child.stdout!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const again = setInterval(() => socket.send(bytes, allNodes, link.index, source), 50);
    await new Promise((resolve) => child.on('close', resolve));
    clearInterval(again);
    return text;
  };

  t.test('what it prints, put into our configuration, sends the same bytes', async (t) => {
    const text = await watch(packet!);
    t.match(text, /^# 20\d\d-.* from fe80::1, \d+ octets\n- interface: node0\n/);
    const file = join(t.testdir({}), 'seen.yaml');
    writeFileSync(file, `ra:\n${text}`);
    const loaded = loadConfig(file);
    if ('errors' in loaded) throw new Error(JSON.stringify(loaded.errors));
    const same = encodePackets(buildAdvertisement(loaded.config.ra[0]!, link, []), 1500);
    t.equal(Buffer.from(same[0]!).toString('hex'), Buffer.from(packet!).toString('hex'));
  });

  t.test('JSON; what hosts ignore is said to be so', async (t) => {
    t.match(JSON.parse(await watch(packet!, '--json')), {
      interface: 'node0',
      source: 'fe80::1',
      advertisement: { lifetime: 1800, homeAgent: true },
    });
    t.match(
      await watch(Uint8Array.of(134, 0, 0, 0, 64, 0, 0, 0)),
      /from fe80::1 on node0: invalid, hosts ignore it: 8/,
    );
  });

  t.test('no such interface; ends when told to', async (t) => {
    const options = { json: false, count: undefined };
    const never = new AbortController().signal;
    await t.rejects(
      watchAdvertisements({ ...options, interface: 'none0' }, () => {}, never),
      /there is no interface/,
    );
    await watchAdvertisements({ ...options, interface: undefined }, () => {}, AbortSignal.timeout(50));
  });
}
