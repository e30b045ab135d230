/** What the doctor says of an edge that is ill: each state is a real daemon's, or a real file system's. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { RCODE } from '../../../src/dns/wire/types.ts';
import { stateFindings } from '../../../src/edge/doctor/edge-findings.ts';
import type { EdgeReport, Finding } from '../../../src/edge/doctor/report.ts';
import { aaaa, askedName, FakeUpstream, reply, soa } from '../../dns/peers.ts';
import { exec, waitFor } from '../../lab/process.ts';
import { inNamespace, ip, run } from '../../linux/netns.ts';
import { DaemonHome } from '../daemon-process.ts';

const program = join(import.meta.dirname, '../../../bin/v6edge');

type Like = Partial<Record<keyof Finding, unknown>>;

if (inNamespace(t, import.meta.filename)) {
  ip('addr add 127.0.0.2/8 dev lo');

  const findings = async (home: DaemonHome) => (await home.json<EdgeReport>('/v1/doctor')).findings;
  const found = async (home: DaemonHome, id: Finding['id']) => (await findings(home)).filter((each) => each.id === id);
  /** Waits until there is the finding. */
  const find = async (home: DaemonHome, id: Finding['id']): Promise<Finding[]> => {
    let seen: Finding[] = [];
    await waitFor(
      id,
      async () => {
        seen = await found(home, id);
        return seen.length > 0;
      },
      { timeoutMs: 15_000, everyMs: 50, why: () => JSON.stringify(seen) },
    );
    return seen;
  };
  const ask = async (port: number, name: string) => {
    const words = ['@127.0.0.2', '-p', String(port), '+tries=1', '+time=4', '+short', name, 'AAAA'];
    return (await exec(['dig', ...words])).stdout.trim();
  };

  t.test('upstreams: one down, all down, up again, without DNS64', async (t) => {
    let silent = false;
    const good = await FakeUpstream.start(t, ({ message }) => {
      if (silent) return undefined;
      const name = askedName(message);
      if (name.startsWith('ipv4only.arpa')) return reply(message, { authority: [soa('arpa')] });
      return reply(message, { answers: [aaaa(name, 1)] });
    });
    const bad = await FakeUpstream.start(t, ({ message }) => reply(message, { rcode: RCODE.SERVFAIL }));
    bad.behaviour = () => undefined;
    const home = new DaemonHome(t);
    home.configure(
      `dns:
  listen: ["127.0.0.2:5353"]
  allow: ["127.0.0.0/8"]
  forward: { policy: ordered, upstreams: ["127.0.0.1:${bad.port}", "127.0.0.1:${good.port}"] }
  dns64: { mode: upstream }`,
      1,
    );
    await home.start();
    t.equal(await ask(5353, 'one.example'), '2001:db8::1', 'the other one answers');
    const down: Like = {
      severity: 'warning',
      subject: `127.0.0.1:${bad.port}`,
      text: /^upstream 127\.0\.0\.1:\d+ is down: /,
      run: [`v6edge query example.com AAAA --server 127.0.0.1:${bad.port}`],
      where: 'edge',
    };
    t.match(await find(home, 'upstream-down'), [down]);
    t.match(await find(home, 'dns64-missing'), [{ severity: 'warning', text: /do not synthesize \(ipv4only\.arpa/ }]);

    silent = true;
    t.equal(await ask(5353, 'two.example'), '', 'nobody does');
    t.match(await find(home, 'upstreams-down'), [
      { severity: 'error', text: /; no other is up, so nothing but our zones and the cache is answered$/ },
      { severity: 'error' },
    ]);
    t.strictSame(await found(home, 'upstream-down'), [], 'not as well');
    t.strictSame(await found(home, 'dns64-missing'), [], 'nor what follows from it');

    silent = false;
    await waitFor('one to be up', async () => (await found(home, 'upstreams-down')).length === 0, {
      timeoutMs: 15_000,
      everyMs: 50,
    });
    t.match(await found(home, 'upstream-down'), [down], 'one is up again');
  });

  t.test(
    'a secondary zone that nobody gives us, an interface that is not there, no prefix to synthesize with',
    async (t) => {
      const primary = await FakeUpstream.closedPort(t);
      const { port } = primary.endpoint as { port: number };
      const upstream = await FakeUpstream.start(t, ({ message }) => reply(message, { authority: [soa('arpa')] }));
      const home = new DaemonHome(t);
      home.configure(
        `dns:
  listen: ["127.0.0.2:5353"]
  allow: ["127.0.0.0/8"]
  forward: { upstreams: ["127.0.0.1:${upstream.port}"] }
  dns64: { mode: synthesize }
  zones: [{ name: copy.test, primaries: ["127.0.0.1:${port}"] }]
ra:
  - { interface: prv9, prefixes: [{ prefix: "fd00:6:6::/64" }] }`,
        1,
      );
      const daemon = home.spawn();
      await waitFor(
        'the admin API',
        async () => (await home.api('GET', '/v1/status').catch(() => undefined))?.status === 200,
        { why: () => daemon.output },
      );
      t.match(await find(home, 'zone-missing'), [
        {
          severity: 'error',
          subject: 'copy.test',
          text: /^secondary zone copy\.test has not come from its primaries: /,
          run: [`v6edge query copy.test SOA --server 127.0.0.1:${port}`],
        },
      ]);
      t.match(await find(home, 'interface-silent'), [
        { severity: 'error', subject: 'prv9', text: /^prv9 does not advertise: /, run: ['ip -6 addr show dev prv9'] },
      ]);
      t.match(await find(home, 'dns64-missing'), [{ severity: 'warning', text: /^no NAT64 prefix is known/ }]);
      ip('link add prv9 type veth peer name node9');
      ip('link set node9 up');
      ip('link set prv9 up');
      await waitFor('it to advertise', async () => (await found(home, 'interface-silent')).length === 0, {
        timeoutMs: 15_000,
        everyMs: 50,
      });
      run('sysctl', '-qw', 'net.ipv6.conf.prv9.disable_ipv6=1');
      t.match(await find(home, 'interface-silent'), [{ run: ['ip -6 addr show dev prv9', /disable_ipv6/] }]);
    },
  );

  t.test('a data thread that hangs', async (t) => {
    const home = new DaemonHome(t);
    home.configure('proxy: { listeners: [{ name: web, bind: ["127.0.0.2:8080"], pool: web }], pools: { web: {} } }', 2);
    const daemon = await home.start({ env: { NODE_OPTIONS: `--import=${join(import.meta.dirname, '../fault.ts')}` } });
    t.strictSame(await found(home, 'thread-ill'), []);
    daemon.kill('SIGURG');
    t.match(await find(home, 'thread-ill'), [
      {
        severity: 'error',
        text: /^data thread \S+ is silent \(restarted 0 times\): its share of the traffic waits$/,
        run: [/journalctl/, 'systemctl restart v6edge'],
      },
    ]);
  });

  t.test('where zones are kept: read-only, gone, nearly full', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'v6edge-doctor-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const mounted = (name: string, options: string): string => {
      const at = join(folder, name);
      mkdirSync(at);
      run('mount', '-t', 'tmpfs', '-o', options, 'tmpfs', at);
      t.teardown(() => run('umount', at));
      return at;
    };
    const small = mounted('small', 'size=4m');
    const roomy = mounted('roomy', 'size=400m');
    t.match(stateFindings(mounted('sealed', 'ro')), [
      {
        id: 'state-dir',
        severity: 'error',
        text: /^updates cannot be stored: EROFS/,
        run: [/^ls -ld /, /^chown -R v6edge: /],
      },
    ]);
    t.match(stateFindings(join(folder, 'none')), [{ id: 'state-dir', text: /ENOENT/ }]);
    t.match(stateFindings(small), [
      { id: 'disk-full', severity: 'error', text: /^4 MiB are free where the zones are kept/ },
    ]);
    t.strictSame(stateFindings(roomy), []);
    writeFileSync(join(roomy, 'filler'), Buffer.alloc(390 * 2 ** 20));
    t.match(stateFindings(roomy), [{ id: 'disk-full', text: /^10 MiB/, run: [`df -h ${roomy}`, /vacuum/] }]);
  });

  t.test('no daemon, and a configuration with errors', async (t) => {
    const home = new DaemonHome(t);
    home.configure('proxy: { listeners: [{ name: web, bind: ["127.0.0.2:8080"], pool: none }] }\nra: 5');
    const words = ['doctor', '--json', '--api', `unix:${home.socket}`, '--config', home.configFile];
    const { stdout, status } = spawnSync(program, words, {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    t.equal(status, 1);
    const report = JSON.parse(stdout) as { healthy: boolean; findings: Finding[] };
    t.equal(report.healthy, false);
    t.match(report.findings[0], {
      id: 'daemon-down',
      severity: 'error',
      run: [/systemctl status/, /journalctl/, /start/],
    });
    const bad = report.findings.filter(({ id }) => id === 'configuration-bad');
    t.ok(bad.length >= 1, 'each error');
    for (const each of bad) {
      t.match(each, { severity: 'error', subject: home.configFile, run: [`v6edge check --config ${home.configFile}`] });
      t.match(each.text, /:\d+:\d+/, 'and where it is');
    }
  });
}
