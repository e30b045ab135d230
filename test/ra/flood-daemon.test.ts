/**
 * The daemon while it is attacked (`attacks.ts`): its schedule, its counters, its memory, and the node that asks afterwards.
 *
 * V6EDGE_FLOOD_MS is how long each attack goes on, 1500 unless set; for a minute each:
 * V6EDGE_FLOOD_MS=60000 npx tap --timeout=600 test/ra/flood-daemon.test.ts
 */
import t from 'tap';
import { DaemonHome, logged, residentMiB } from '../edge/daemon-process.ts';
import { waitFor } from '../lab/process.ts';
import { eventually, inNamespace } from '../linux/netns.ts';
import { attacksFrom, type Victim } from './attacks.ts';
import { nodeLink } from './node-link.ts';

const attackMs = Number(process.env.V6EDGE_FLOOD_MS ?? 1_500);
/** V8 lets its heap grow while it has this much to throw away, by some 100 MiB, and gives them back in the next quiet minute. */
const mostMiB = 256;
/** By this much at most in the second half of an attack that goes on for long enough to tell. */
const growthMiB = 16;
const longMs = 10_000;
/**
 * The longest interval, and a second for a busy machine. With forged routers the kernel's neighbour table fills up
 * (net.ipv6.neigh.default.gc_thresh3, one for the machine), has no room for ff02::1 either, and sendmsg(2) says EINVAL.
 */
const multicastEverySeconds = 5;
const reasons = ['hop_limit', 'length', 'code', 'option', 'source', 'fragment'];
const config = `ra:
  - interface: eth1
    interval: { min: 3s, max: 4s }
    maxDelay: 0s
    prefixes: [{ prefix: "fd00:6:6::/64" }]
    rdnss: { servers: ["fd00:6:6::1"] }`;

if (inNamespace(t, import.meta.filename)) {
  const peer = await nodeLink(t);
  // The tools want an address to begin with.
  await eventually(() => /inet6 fe80/.test(peer.ip('-6 addr show dev node0 -tentative')));
  const [{ ifindex }] = JSON.parse(peer.ip('-j link show dev node0'));
  const home = new DaemonHome(t);
  home.configure(config, 1);
  const daemon = await home.start();
  const invalid = (message: string, reason: string) =>
    `v6edge_ra_invalid_total{message="${message}",reason="${reason}"}`;
  const sum = (metrics: Map<string, number>, message: string) =>
    reasons.reduce((all, reason) => all + metrics.get(invalid(message, reason))!, 0);
  const came = async (what: Victim): Promise<number> => {
    const metrics = await home.metrics();
    const advertisements = sum(metrics, 'advertisement');
    if (what === 'broken messages') return sum(metrics, 'solicitation') + advertisements;
    if (what === 'solicitations') return metrics.get('v6edge_ra_solicitations_total')!;
    return metrics.get('v6edge_ra_other_advertisements_total')! + advertisements;
  };
  const multicasts = async () => (await home.metrics()).get('v6edge_ra_advertisements_sent_total{to="multicast"}')!;
  const failures = async () => (await home.metrics()).get('v6edge_ra_send_failures_total')!;
  const past = async () => (await home.metrics()).get('v6edge_ra_neighbour_table_full_total')!;

  t.test(`${attackMs / 1_000} s of each attack`, { timeout: 60_000 + 6 * attackMs }, async (t) => {
    const attacks = attacksFrom('node0', ifindex);
    const half = () => new Promise((resolve) => setTimeout(resolve, attackMs / 2));
    for (const { name, what, command } of attacks) {
      const [sent, failed, byFrames, before] = [await multicasts(), await failures(), await past(), await came(what)];
      const started = performance.now();
      const resident = [residentMiB(daemon.pid)];
      const child = peer.spawn(...command);
      t.teardown(() => child.kill('SIGKILL'));
      for (let i = 0; i < 2; i++) {
        await half();
        resident.push(residentMiB(daemon.pid));
      }
      await waitFor(what, async () => (await came(what)) > before + 50);
      await waitFor(`${name}: a multicast meanwhile`, async () => (await multicasts()) > sent);
      child.kill('SIGKILL');
      const seconds = (performance.now() - started) / 1_000;
      const text = resident.map((each) => each.toFixed(0)).join(', ');
      t.comment(`${name}: ${(await came(what)) - before} in ${seconds.toFixed(1)} s, resident ${text} MiB`);
      t.comment(`  ${(await multicasts()) - sent} multicasts, ${(await past()) - byFrames} past the neighbour table`);
      t.comment(`  ${(await failures()) - failed} that could not be sent`);
      t.ok(Math.max(...resident) < mostMiB, `${name}: resident ${text} MiB`);
      if (attackMs >= longMs) t.ok(resident[2]! - resident[1]! < growthMiB, `${name}: ${text} MiB: flat`);
      t.ok((await multicasts()) - sent >= Math.floor(seconds / multicastEverySeconds), `${name}: multicasts go on`);
      t.ok(await home.isReady(), name);
    }
    const metrics = await home.metrics();
    for (const message of ['solicitation', 'advertisement']) {
      for (const reason of reasons) {
        t.ok(metrics.get(invalid(message, reason))! > 0, `${message}, ${reason}: counted`);
      }
    }
    t.ok(metrics.get('v6edge_ra_rate_limited_total')! > 0);
    t.match(peer.run('rdisc6', '-1', '-r', '5', '-w', '1000', 'node0'), /fd00:6:6::1/, 'a node that asks is answered');
    t.strictSame(
      logged(daemon, /./).filter(({ level }) => level === 'error' || level === 'fatal' || Number(level) >= 50),
      [],
    );
  });
}
