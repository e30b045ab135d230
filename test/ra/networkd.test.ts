/**
 * What a booted node makes of our daemon: systemd-networkd takes addresses, systemd-resolved DNS. Also what it keeps and what it
 * loses when the daemon is reloaded, restarted, killed, and stopped.
 *
 * The systemd of Debian 13 (257), which knows NAT64 prefixes and captive portals, judges after `export V6EDGE_TEST_RELEASE=trixie`:
 * `test/e2e/rootfs.sh && npx tap --timeout=200 test/ra/networkd.test.ts`. The container itself gets nothing from outside.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Container } from '../e2e/container.ts';
import { DaemonHome } from '../edge/daemon-process.ts';
import { waitFor } from '../lab/process.ts';
import { inNamespace, ip, run } from '../linux/netns.ts';
import { Capture } from './capture.ts';

const network = `[Match]
Name=prv0
[Network]
LinkLocalAddressing=ipv6
IPv6AcceptRA=yes
[IPv6AcceptRA]
UseDomains=yes
UsePREF64=yes
`;

const advertised = (more = '') => `dns:
  listen: ["[fd00:6:6::1]:53"]
  allow: ["fd00:6:6::/64"]
  zones: [{ name: cluster.test, ns: [edge.cluster.test], file: FOLDER/cluster.test.zone }]
ra:
  - interface: eth1
    interval: { min: 3s, max: 4s }
    prefixes: [{ prefix: "fd00:6:6::/64", valid: 1h, preferred: 30m }]
    routes: [{ prefix: "fd00:9::/48", lifetime: 30m }]
    rdnss: { servers: ["fd00:6:6::1"], lifetime: 20m }
${more}`;
/** What networkd makes something of since 254 (the portal) and 255. */
const newer =
  '    captivePortal: "https://portal.example/terms"\n    pref64: { prefix: "64:ff9b::/96", lifetime: 30m }\n';
/** A file of the node that ends the look at what it has. */
const enough = '/run/enough';
const dnssl = '    dnssl: { domains: [cluster.test], lifetime: 20m }\n';
const zone = `$ORIGIN cluster.test.
$TTL 300
@ SOA edge hostmaster 1 3600 600 86400 300
@ NS edge
edge AAAA fd00:6:6::1
`;

/** What networkd says of a NAT64 prefix. */
interface Nat64 {
  readonly Prefix: number[];
  readonly PrefixLength: number;
}
/** What is read, and what it is to match, by a name for people. */
type Expected = Record<string, [() => Promise<string>, RegExp]>;

if (inNamespace(t, import.meta.filename)) {
  const container = await Container.boot(t, {
    prepare: (root) => {
      mkdirSync(join(root, 'etc/systemd/network'), { recursive: true });
      writeFileSync(join(root, 'etc/systemd/network/prv0.network'), network);
    },
  });
  await container.must(['systemctl', 'start', 'systemd-networkd', 'systemd-resolved']);
  await container.attach('eth1', 'prv0', '02:00:00:00:00:09');
  run('sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/eth1/forwarding');
  ip('addr add fd00:6:6::1/64 dev eth1 nodad');
  const home = new DaemonHome(t);
  writeFileSync(join(home.folder, 'cluster.test.zone'), zone);
  const configure = (more?: string): void => home.configure(advertised(more).replace('FOLDER', home.folder), 1);
  const dns = () => container.must(['resolvectl', 'dns', 'prv0']);
  const domain = () => container.must(['resolvectl', 'domain', 'prv0']);
  const routes = () => container.must(['ip', '-6', 'route', 'show']);
  const address = () => container.must(['ip', '-6', 'addr', 'show', 'dev', 'prv0', 'scope', 'global']);
  const sentMulticasts = async () =>
    (await home.metrics()).get('v6edge_ra_advertisements_sent_total{to="multicast"}') ?? 0;
  /** Waits until the node has what it should, all of it. */
  const has = async (what: Expected): Promise<void> => {
    for (const [name, [read, expected]] of Object.entries(what)) {
      let text = '';
      const holds = async () => {
        text = await read();
        return expected.test(text);
      };
      await waitFor(name, holds, { timeoutMs: 15_000, why: () => text });
    }
  };
  const nextMulticast = async () => {
    const sent = await sentMulticasts();
    await waitFor('an advertisement', async () => (await sentMulticasts()) > sent);
  };
  const everything: Expected = {
    'DNS server': [dns, /: fd00:6:6::1$/m],
    'search domain': [domain, /: cluster\.test$/m],
    address: [address, /inet6 fd00:6:6:(?!:1)[0-9a-f:]+\/64/],
    route: [routes, /^fd00:9::\/48 (nhid \d+ )?via fe80::/m],
  };

  const version = Number(/^systemd (\d+)/.exec(await container.must(['systemctl', '--version']))![1]);
  configure(dnssl);
  let daemon = await home.start();

  t.test('addresses, routes, DNS and search domain; names of the zone resolve', async (t) => {
    await has(everything);
    t.notMatch(await routes(), /^default/m, 'we are no default router');
    await has({
      'a short name': [
        async () => (await container.exec(['resolvectl', 'query', 'edge'])).stdout,
        /^edge.*fd00:6:6::1/m,
      ],
    });
  });

  t.test('a reload that lacks the search domain takes it back, and nothing else', async (t) => {
    configure();
    daemon.kill('SIGHUP');
    await has({ 'no search domain': [domain, /:\s*$/m] });
    t.match(await dns(), everything['DNS server']![1]);
    configure(dnssl);
    daemon.kill('SIGHUP');
    await has(everything);
  });

  t.test('a restart: no advertisement takes anything back, and the node never lacks anything', async (t) => {
    const capture = await Capture.start(t);
    const watch = container.spawn([
      'sh',
      '-c',
      `until [ -e ${enough} ]; do resolvectl dns prv0; resolvectl domain prv0; done`,
    ]);
    daemon.kill('SIGUSR2');
    await daemon.exited;
    await has(everything);
    daemon = await home.start();
    // The first of the new process and one of its schedule.
    await waitFor('advertisements of the new process', async () => (await sentMulticasts()) >= 2);
    const sent = await capture.lifetimes();
    t.ok(sent.length >= 2, `${sent.length} advertisements`);
    t.strictSame(
      sent.filter(({ dns, search, route }) => !(dns > 0 && search > 0 && route > 0)),
      [],
      'none with lifetime 0',
    );
    await has(everything);
    container.write(enough, '');
    await watch.exited;
    const seen = watch.stdout.trim().split('\n');
    t.ok(seen.length > 10, `looked ${seen.length} times`);
    t.strictSame(
      seen.filter((line) => !/: (fd00:6:6::1|cluster\.test)$/.test(line)),
      [],
      'nothing was missing at any time',
    );
  });

  t.test('a daemon that is killed leaves everything as it was', async () => {
    daemon.kill('SIGKILL');
    await daemon.exited;
    await has(everything);
    daemon = await home.start();
  });

  t.test('a real stop takes DNS, search domain and route back at once, and leaves the address', async (t) => {
    await has(everything);
    const capture = await Capture.start(t);
    daemon.kill('SIGTERM');
    await has({
      'no DNS server': [dns, /:\s*$/m],
      'no search domain': [domain, /:\s*$/m],
      'no route': [routes, /^(?![\s\S]*fd00:9::\/48)[\s\S]*$/],
    });
    await daemon.exited;
    t.match(await address(), everything.address![1]);
    const sent = await capture.lifetimes();
    t.ok(
      sent.filter(({ dns, search, route }) => dns === 0 && search === 0 && route === 0).length >= 2,
      'said more than once, in case a node missed it',
    );
    t.ok(
      sent.every(({ prefix }) => prefix > 0),
      'the prefix stays',
    );
  });

  t.test('and its next start gives them back', async () => {
    daemon = await home.start();
    await has(everything);
  });

  t.test(`captive portal and NAT64 prefix: systemd ${version} takes what it knows`, async (t) => {
    const link = async () => JSON.parse(await container.must(['networkctl', 'status', '--json=short', 'prv0']));
    const nat64 = async () => {
      const { PREF64 = [] } = (await link()).NDisc ?? {};
      return PREF64.map((one: Nat64) => `${Buffer.from(one.Prefix).toString('hex')}/${one.PrefixLength}`).join();
    };
    const portal = async () => (await link()).CaptivePortal ?? 'none';
    const ours: Expected = {
      'NAT64 prefix': [nat64, /^0064ff9b0{24}\/96$/],
      portal: [portal, /^https:\/\/portal\.example\/terms$/],
    };
    const none: Expected = { 'no NAT64 prefix': [nat64, /^$/], 'no portal': [portal, /^none$/] };
    const knows = version >= 255;
    t.comment(knows ? 'both are known' : `systemd ${version} knows neither: they are to do no harm`);
    await nextMulticast();
    await has(none);
    // networkd keeps a portal for as long as its router is a default router.
    configure(`${dnssl}    defaultLifetime: 30m\n${newer}`);
    daemon.kill('SIGHUP');
    await nextMulticast();
    await has({ ...everything, ...(knows ? ours : none), 'default route': [routes, /^default/m] });
    t.notMatch(
      await container.journal('-u', 'systemd-networkd'),
      /(invalid|malformed|failed to parse).*(RA|advert|option)/i,
    );
    configure(dnssl);
    daemon.kill('SIGHUP');
    await nextMulticast();
    // A portal has no lifetime of its own (RFC 8910 §2.3), and nothing takes it back.
    await has({ ...everything, 'no NAT64 prefix': [nat64, /^$/] });
  });

  t.test('an edge that does not forward: its neighbour advertisements lack the Router flag', async (t) => {
    const forward = (value: number) => run('sh', '-c', `echo ${value} > /proc/sys/net/ipv6/conf/eth1/forwarding`);
    // Of a node that has forgotten our link-layer address and asks for it.
    const askForNeighbour = async () => {
      const router = /via (fe80::\S+)/.exec(await routes())![1]!;
      await container.must(['ip', 'neigh', 'flush', 'dev', 'prv0']);
      await container.must(['ping', '-6', '-c', '1', '-W', '5', `${router}%prv0`]);
    };
    configure(`${dnssl}    defaultLifetime: 30m\n`);
    daemon.kill('SIGHUP');
    await has({ ...everything, 'default route': [routes, /^default (nhid \d+ )?via fe80::/m] });
    // The next one, 3 s away by now, gives back what is lost.
    await nextMulticast();
    forward(0);
    await askForNeighbour();
    // 256 drops all that it learned from such a router; later ones what RFC 4861 §7.3.3 says, older ones nothing.
    if (version >= 257) await has({ 'no default route': [routes, /^(?![\s\S]*default)[\s\S]*$/] });
    if (version !== 256) {
      t.match(await dns(), everything['DNS server']![1]);
      t.match(await domain(), everything['search domain']![1]);
      t.match(await address(), everything.address![1]);
      t.match(await routes(), everything.route![1]);
    }
    if (version < 256) t.match(await routes(), /^default/m);
    forward(1);
    await nextMulticast();
    await has({ ...everything, 'default route': [routes, /^default/m] });
    await askForNeighbour();
    t.match(await routes(), /^default/m, 'a router that says that it is one loses nothing');
  });
}
