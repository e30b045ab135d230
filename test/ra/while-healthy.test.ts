/**
 * `rdnss.whileHealthy` from end to end: the daemon with its DNS, an upstream that stops and goes on, and what leaves the
 * interface meanwhile. A line that flaps moves no node to and fro; one that is gone does, once.
 *
 * V6EDGE_TEST_LONG=1 goes on until DNS is said to be gone and to be back again, which takes 75 s more.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { backAfterMs, goneAfterMs } from '../../src/edge/dns-health.ts';
import { DaemonHome, logged } from '../edge/daemon-process.ts';
import { waitFor } from '../lab/process.ts';
import { eventually, inNamespace } from '../linux/netns.ts';
import { Capture } from './capture.ts';
import { nodeLink } from './node-link.ts';

const long = process.env.V6EDGE_TEST_LONG !== undefined;
const upstreamConfig = (folder: string) => `server:
  interface: 127.0.0.1@5300
  chroot: ""
  directory: "${folder}"
  pidfile: ""
  username: ""
  use-syslog: no
  do-daemonize: no
  local-zone: "world.example." redirect
  local-data: "world.example. 1 AAAA 2001:db8::80"
remote-control:
  control-enable: no
`;
const config = `dns:
  listen: ["127.0.0.1:53"]
  allow: ["127.0.0.0/8"]
  forward: { upstreams: ["127.0.0.1:5300"], timeout: 500ms }
ra:
  - interface: eth1
    interval: { min: 3s, max: 4s }
    rdnss: { servers: ["fd00:6:6::1"], lifetime: 20m, whileHealthy: true }`;

if (inNamespace(t, import.meta.filename)) {
  await nodeLink(t);
  const home = new DaemonHome(t);
  home.configure(config, 1);
  const child = (command: string, ...args: string[]): ChildProcess => {
    const started = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], { stdio: 'ignore' });
    t.teardown(() => started.kill('SIGKILL'));
    return started;
  };
  const file = join(home.folder, 'unbound.conf');
  writeFileSync(file, upstreamConfig(home.folder));
  const upstream = child('unbound', '-d', '-c', file);
  const daemon = await home.start();
  // Nodes ask all the time, for names that nobody has in a cache: each thread learns of an upstream by its queries.
  child(
    'sh',
    '-c',
    'i=0; while :; do i=$((i + 1)); dig +tries=1 +timeout=1 @127.0.0.1 n$i.world.example AAAA >/dev/null; sleep 0.1; done',
  );
  const up = async () => (await home.metrics()).get('v6edge_dns_upstream_up{upstream="127.0.0.1:5300"}');
  const isUp = (expected: 0 | 1) =>
    waitFor(`an upstream that is ${expected === 1 ? 'up' : 'down'}`, async () => (await up()) === expected, {
      timeoutMs: 15_000,
      everyMs: 50,
    });
  const said = (message: RegExp) => logged(daemon, message).length;
  const multicasts = async () => (await home.metrics()).get('v6edge_ra_advertisements_sent_total{to="multicast"}') ?? 0;
  const nextMulticast = async () => {
    const sent = await multicasts();
    await waitFor('an advertisement', async () => (await multicasts()) > sent);
  };
  /** Down, and up again before DNS is said to be gone. */
  const flap = async () => {
    upstream.kill('SIGSTOP');
    await isUp(0);
    upstream.kill('SIGCONT');
    await isUp(1);
  };

  t.test('an upstream that flaps: DNS stays advertised', async (t) => {
    await isUp(1);
    const capture = await Capture.start(t);
    for (let i = 0; i < 4; i++) await flap();
    await nextMulticast();
    const lifetimes = (await capture.lifetimes()).map(({ dns }) => dns);
    t.ok(lifetimes.length > 0, `lifetimes ${lifetimes.join(' ')}`);
    t.strictSame([...new Set(lifetimes)], [1200]);
    t.equal(said(/DNS here cannot serve/), 0);
  });

  if (long) {
    t.test('one that is gone: lifetime 0 once; a short return is no return; then DNS is back', async (t) => {
      const capture = await Capture.start(t);
      upstream.kill('SIGSTOP');
      await isUp(0);
      const down = performance.now();
      await eventually(() => said(/DNS here cannot serve/) === 1, goneAfterMs + 10_000);
      t.ok(performance.now() - down > goneAfterMs - 1_500, 'not at once');
      upstream.kill('SIGCONT');
      await isUp(1);
      await flap();
      const back = performance.now();
      await eventually(() => said(/DNS here can serve again/) === 1, backAfterMs + 10_000);
      t.ok(performance.now() - back > backAfterMs - 1_500, 'what flaps begins anew');
      await nextMulticast();
      const lifetimes = (await capture.lifetimes()).map(({ dns }) => dns);
      t.comment(lifetimes.join(' '));
      const changes = lifetimes.filter((one, i) => one !== lifetimes[i - 1]);
      t.strictSame(changes, [1200, 0, 1200], `lifetimes ${lifetimes.join(' ')}`);
      t.equal(said(/DNS here cannot serve/), 1);
    });
  }
}
