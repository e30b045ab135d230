/**
 * Two edges on one link, each with an upstream of its own and `whileHealthy`: when one's upstream dies, a node with
 * systemd-networkd and resolved has the other's DNS server alone, and goes on resolving names.
 *
 * V6EDGE_TEST_LONG=1 waits also until the first one's upstream has been back for long enough (30 s) that the node has both.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Container } from '../e2e/container.ts';
import { DaemonHome } from '../edge/daemon-process.ts';
import { waitFor } from '../lab/process.ts';
import { inNamespace, ip, PeerNamespace } from '../linux/netns.ts';

const long = process.env.V6EDGE_TEST_LONG !== undefined;
const program = join(import.meta.dirname, '../../bin/v6edge');
const network = '[Match]\nName=prv0\n[Network]\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=yes\n';
/** More than the time after which DNS without an upstream is said to be gone, 10 s; and to be back, 30 s. */
const goneMs = 25_000;
const backMs = 45_000;

/** An edge: a namespace on the link, its upstream, and v6edge. */
class Edge {
  readonly address: string;
  readonly #peer: PeerNamespace;
  readonly #folder: string;
  readonly home: DaemonHome;
  #upstream: ChildProcess | undefined;

  private constructor(peer: PeerNamespace, folder: string, address: string) {
    this.#peer = peer;
    this.#folder = folder;
    this.address = address;
    // The daemon finds itself in the edge's namespace.
    const wrapper = join(folder, 'v6edge');
    writeFileSync(wrapper, `#!/bin/sh\nexec nsenter -t ${peer.pid} -n ${program} "$@"\n`, { mode: 0o755 });
    this.home = new DaemonHome(t, wrapper);
  }

  static async make(number: number): Promise<Edge> {
    const folder = mkdtempSync(join(tmpdir(), 'v6edge-two-edges-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const peer = await PeerNamespace.open(t);
    ip(`link add edge${number} master nodes type veth peer name eth1 netns ${peer.pid}`);
    ip(`link set edge${number} up`);
    const edge = new Edge(peer, folder, `fd00:6:6::${number}`);
    peer.sysctl('net/ipv6/conf/eth1/forwarding', 1);
    peer.ip(`addr add ${edge.address}/64 dev eth1 nodad`);
    peer.ip('link set eth1 up');
    edge.home.configure(
      `dns:
  listen: ["[${edge.address}]:53"]
  allow: ["fd00:6:6::/64"]
  forward: { upstreams: ["127.0.0.1:5300"], timeout: 1s }
ra:
  - interface: eth1
    interval: { min: 3s, max: 4s }
    prefixes: [{ prefix: "fd00:6:6::/64", valid: 1h, preferred: 30m }]
    rdnss: { servers: ["${edge.address}"], lifetime: 20m, whileHealthy: true }
`,
      1,
    );
    return edge;
  }

  /** Starts the upstream: it knows every name of world.example. */
  startUpstream(): void {
    const file = join(this.#folder, 'unbound.conf');
    writeFileSync(
      file,
      `server:
  interface: 127.0.0.1@5300
  chroot: ""
  directory: "${this.#folder}"
  pidfile: ""
  username: ""
  use-syslog: no
  do-daemonize: no
  local-zone: "world.example." redirect
  local-data: "world.example. 1 AAAA 2001:db8::80"
remote-control:
  control-enable: no
`,
    );
    const upstream = this.#peer.spawn('unbound', '-d', '-c', file);
    t.teardown(() => upstream.kill('SIGKILL'));
    this.#upstream = upstream;
  }

  async killUpstream(): Promise<void> {
    const upstream = this.#upstream!;
    const exited = new Promise((resolve) => upstream.on('exit', resolve));
    upstream.kill('SIGKILL');
    await exited;
  }
}

if (inNamespace(t, import.meta.filename)) {
  ip('link add nodes type bridge mcast_snooping 0');
  ip('link set nodes up');
  const container = await Container.boot(t, {
    prepare: (root) => {
      mkdirSync(join(root, 'etc/systemd/network'), { recursive: true });
      writeFileSync(join(root, 'etc/systemd/network/prv0.network'), network);
    },
  });
  await container.must(['systemctl', 'start', 'systemd-networkd', 'systemd-resolved']);
  await container.attach('node', 'prv0', '02:00:00:00:00:09');
  ip('link set node master nodes');
  const edges = [await Edge.make(1), await Edge.make(2)] as const;
  for (const edge of edges) {
    edge.startUpstream();
    await edge.home.start();
  }
  let asked = 0;
  /** A name that nobody has in a cache, by the node's own resolver. */
  const resolves = async (): Promise<boolean> => {
    const { stdout } = await container.exec(['resolvectl', 'query', '-6', `host${++asked}.world.example`]);
    return stdout.includes('2001:db8::80');
  };
  const servers = async (): Promise<string[]> =>
    (await container.must(['resolvectl', 'dns', 'prv0']))
      .replace(/^.*?:\s*/, '')
      .trim()
      .split(/\s+/)
      .sort();
  const hasServers = (expected: readonly string[], timeoutMs: number): Promise<unknown> => {
    let seen: string[] = [];
    return waitFor(
      `DNS servers ${expected.join(' ')}`,
      async () => {
        seen = await servers();
        return seen.join() === expected.join();
      },
      { timeoutMs, why: () => seen.join(' ') },
    );
  };
  /** Nodes ask each of the two all the time, from outside the node as well: a resolver sticks to one. */
  const clients: ChildProcess[] = edges.map(({ address }) =>
    spawn(
      'setpriv',
      [
        ...['--pdeathsig', 'KILL', 'nsenter', '-t', String(container.leader), '-n', 'sh', '-c'],
        `i=0; while :; do i=$((i + 1)); dig +tries=1 +timeout=1 @${address} n$i-$$.world.example AAAA >/dev/null; sleep 0.2; done`,
      ],
      { stdio: 'ignore' },
    ),
  );
  t.teardown(() => {
    for (const client of clients) client.kill('SIGKILL');
  });

  t.test('a node has both', async (t) => {
    await hasServers(
      edges.map(({ address }) => address),
      15_000,
    );
    await waitFor('a name to resolve', resolves, { timeoutMs: 10_000 });
    t.equal((await edges[0].home.metrics()).get('v6edge_ra_advertising_interfaces'), 1);
  });

  t.test("one's upstream dies: the node has the other alone, and names resolve all the time", async (t) => {
    await edges[0].killUpstream();
    let [tries, failed] = [0, 0];
    const moved = hasServers([edges[1].address], goneMs);
    let over = false;
    void moved.finally(() => {
      over = true;
    });
    while (!over) {
      tries++;
      if (!(await resolves())) failed++;
    }
    await moved;
    t.comment(`${tries} names, ${failed} did not resolve`);
    t.ok(failed <= 1, 'but for the one that was under way');
    for (let i = 0; i < 10; i++) t.ok(await resolves(), 'by the other');
  });

  if (long) {
    t.test('it is back: the node has both again', async () => {
      edges[0].startUpstream();
      await hasServers(
        edges.map(({ address }) => address),
        backMs,
      );
    });
  }
}
