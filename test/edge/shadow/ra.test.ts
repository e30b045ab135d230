/** The shadow beside a real radvd, in a network namespace. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { importConfigs } from '../../../src/edge/cli/import.ts';
import type { ShadowReport } from '../../../src/edge/shadow/report.ts';
import { exec, waitFor } from '../../lab/process.ts';
import { inNamespace, ip, run } from '../../linux/netns.ts';

const program = join(import.meta.dirname, '../../../bin/v6edge');

if (inNamespace(t, import.meta.filename)) {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-shadow-ra-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  run('sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.all.forwarding=1');
  for (const line of [
    'link add eth1 type veth peer name node1',
    'link add eth2 type veth peer name node2',
    'link set node1 up',
    'link set node2 up',
    'link set eth1 up',
    'link set eth2 up',
  ]) {
    ip(line);
  }
  const radvdConf = join(folder, 'radvd.conf');
  // On the second interface nothing is sent but to who asks.
  writeFileSync(
    radvdConf,
    `interface eth1 {
  AdvSendAdvert on; MinRtrAdvInterval 200; MaxRtrAdvInterval 600; AdvDefaultLifetime 0; AdvLinkMTU 1400;
  prefix fd00:6:6::/64 { AdvValidLifetime 3600; AdvPreferredLifetime 1800; };
  route fd00:7::/48 { AdvRouteLifetime 1800; };
  RDNSS fd00:6:6::1 fd00:6:6::2 { AdvRDNSSLifetime 1200; };
  DNSSL cluster.test { AdvDNSSLLifetime 1200; };
};
interface eth2 {
  AdvSendAdvert on; UnicastOnly on; AdvDefaultLifetime 1800; prefix fd00:8::/64 { };
};
`,
  );
  const shadow = async (...words: string[]) =>
    await exec([program, 'shadow', ...words], { env: { NODE_OPTIONS: '' }, timeoutMs: 60_000 });
  const out = join(folder, 'out');
  importConfigs({ haproxy: undefined, named: undefined, radvd: radvdConf, out });
  const config = join(out, 'v6edge.yaml');

  t.test('nobody advertises yet', async (t) => {
    const { code, stdout } = await shadow('--config', config);
    t.equal(code, 0, 'no difference');
    t.match(
      stdout,
      /advertisements on eth1 were not compared: nobody on this host answered a solicitation within 4\.5 s\n/,
    );
    t.match(stdout, /advertisements on eth2 were not compared/);
  });

  t.test('the import says the same; what was changed since is told', async (t) => {
    const words = ['radvd', '-n', '-m', 'stderr', '-d', '3', '-C', radvdConf, '-p', join(folder, 'pid')];
    const radvd = spawn('setpriv', ['--pdeathsig', 'KILL', ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
    t.teardown(() => radvd.kill('SIGKILL'));
    let said = '';
    radvd.stderr.on('data', (text) => {
      said += text;
    });
    await waitFor('radvd to serve both', () => /eth1/.test(said) && /eth2/.test(said), { why: () => said });

    const same = await shadow('--radvd', radvdConf);
    t.equal(same.code, 0, `${same.stdout}${same.stderr}`);
    t.match(same.stdout, /^0 questions and 0 connections, the advertisements of 2 interfaces: the same\n/);

    const text = readFileSync(config, 'utf8');
    t.match(text, /fd00:6:6::2/);
    writeFileSync(
      config,
      text.replace('fd00:6:6::2', 'fd00:6:6::3').replace('mtu: 1400', 'mtu: 0').replace('fd00:8::/64', 'fd00:9::/64'),
    );
    const other = await shadow('--config', config, '--json');
    t.equal(other.code, 1, other.stderr);
    const report = JSON.parse(other.stdout) as ShadowReport;
    t.equal(report.advertisements, 2);
    t.match(report.differences, [
      { of: 'ra', what: 'eth1', part: 'mtu', old: '1400', ours: '0' },
      { of: 'ra', what: 'eth1', part: 'rdnss', old: /fd00:6:6::1; fd00:6:6::2/, ours: /fd00:6:6::1; fd00:6:6::3/ },
      { of: 'ra', what: 'eth2', part: 'prefixes', old: /^prefix fd00:8::\/64, /, ours: /^prefix fd00:9::\/64, / },
    ]);
    t.equal(report.differences.length, 3);
  });

  t.test('without the right to listen', async (t) => {
    const words = ['--bounding-set', '-net_raw', program, 'shadow', '--config', config];
    const { stdout } = await exec(['setpriv', ...words], { env: { NODE_OPTIONS: '' }, timeoutMs: 60_000 });
    t.match(stdout, /advertisements were not compared: that needs root/);
  });
}
