/**
 * announce.sh with the real nsupdate, against the daemon: pools follow, a repeated announcement changes nothing, a node's own key does for it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DaemonHome } from '../edge/daemon-process.ts';
import { exec, mustExec, type Result, waitFor } from '../lab/process.ts';
import { inNamespace, ip } from '../linux/netns.ts';

const edge = 'fd00:6:6::1';
const script = join(import.meta.dirname, '../../scripts/node-bootstrap/announce.sh');
const secret = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==';
const configuration = `proxy:
  pools: { workers: { check: { type: none }, discover: { srv: _http._tcp.cluster.test } } }
dns:
  listen: ["[${edge}]:53"]
  allow: ["fd00:6:6::/64"]
  keys: { worker1.cluster.test: { algorithm: hmac-sha256, secret: "${secret}" } }
  zones:
    - name: cluster.test
      ns: [edge.cluster.test]
      lease: 2h
      reverse: true
      update:
        - { key: worker1.cluster.test, match: self, types: [AAAA] }
        - { key: worker1.cluster.test, match: name, name: _http._tcp.cluster.test, types: [SRV] }
    - { name: 0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa, ns: [edge.cluster.test] }`;

if (inNamespace(t, import.meta.filename)) {
  ip('link add edge0 type veth peer name priv0');
  for (const name of ['edge0', 'priv0']) ip(`link set ${name} up`);
  ip(`address add ${edge}/128 dev edge0 nodad`);
  ip('address add fd00:6:6::21/64 dev priv0 nodad');
  const root = mkdtempSync(join(tmpdir(), 'v6edge-announce-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'etc/v6edge-node'), { recursive: true });
  const settings = (file: string, lines: readonly string[]) =>
    writeFileSync(join(root, 'etc/v6edge-node', file), `${lines.join('\n')}\n`);
  settings('edge.env', [
    'ZONE=cluster.test',
    `EDGE_ADDRESS=${edge}`,
    'PRIVATE_SUBNET=fd00:6:6::/64',
    'POD_SUBNET=fd00:6:6:100::/56',
    'SERVICE_SUBNET=fd00:6:6:ff00::/112',
    'PRIVATE_INTERFACE=priv0',
    'PUBLIC_INTERFACE=none',
    'SRV_WORKER=_http._tcp:80',
  ]);
  settings('join.env', ['ROLE=worker', 'NODE_NAME=worker1']);
  const key = (text: string) =>
    settings('dns.key', ['key "worker1.cluster.test" {', '  algorithm hmac-sha256;', `  secret "${text}";`, '};']);
  key(secret);
  const announce = (...args: string[]): Promise<Result> =>
    exec(['bash', script, ...args], { env: { ROOT: root, LC_ALL: 'C.UTF-8' }, timeoutMs: 30_000 });
  const dig = async (...question: string[]) =>
    (await mustExec(['dig', '+short', '+time=2', `@${edge}`, ...question])).trim();
  const serial = async () => (await dig('cluster.test', 'SOA')).split(' ')[2];
  const home = new DaemonHome(t);
  home.configure(configuration);
  await home.start();
  const members = async () => {
    const { members } = await home.json<{ members: { name: string; address: string; port: number }[] }>(
      '/v1/pools/workers',
    );
    return members.map(({ address, port }) => `${address} ${port}`);
  };
  const pool = (expected: readonly string[]) =>
    waitFor('the pool to follow', async () => (await members()).join() === expected.join(), { timeoutMs: 10_000 });

  await t.test('entering: name, PTR record and membership', async (t) => {
    const result = await announce('--enter');
    t.match(result, { code: 0, stdout: /announced worker1\.cluster\.test fd00:6:6::21/ });
    t.equal(await dig('worker1.cluster.test', 'AAAA'), 'fd00:6:6::21');
    t.equal(await dig('_http._tcp.cluster.test', 'SRV'), '0 100 80 worker1.cluster.test.');
    t.equal(await dig('-x', 'fd00:6:6::21'), 'worker1.cluster.test.');
    await pool(['fd00:6:6::21 80']);
  });

  await t.test('a refresh changes nothing', async (t) => {
    const before = await serial();
    t.match(await announce('--refresh'), { code: 0 });
    t.equal(await serial(), before);
  });

  await t.test('leaving: out of the pool, and a refresh does not bring it back; the name stays', async (t) => {
    t.match(await announce('--leave'), { code: 0 });
    await pool([]);
    t.match(await announce('--refresh'), { code: 0, stdout: /in no pool/ });
    t.equal(await dig('_http._tcp.cluster.test', 'SRV'), '');
    t.equal(await dig('worker1.cluster.test', 'AAAA'), 'fd00:6:6::21');
  });

  await t.test('another address takes the place of the one before', async (t) => {
    ip('address del fd00:6:6::21/64 dev priv0');
    ip('address add fd00:6:6::22/64 dev priv0 nodad');
    t.match(await announce('--enter'), { code: 0 });
    t.equal(await dig('worker1.cluster.test', 'AAAA'), 'fd00:6:6::22');
    t.equal(await dig('-x', 'fd00:6:6::21'), '');
    t.equal(await dig('-x', 'fd00:6:6::22'), 'worker1.cluster.test.');
    await pool(['fd00:6:6::22 80']);
  });

  await t.test("another's name is refused, and why is told", async (t) => {
    settings('join.env', ['ROLE=worker', 'NODE_NAME=worker2']);
    t.match(await announce('--enter'), {
      code: 1,
      stderr: /REFUSED.*No rule of the edge's zone lets this key do that/s,
    });
    settings('join.env', ['ROLE=worker', 'NODE_NAME=worker1']);
    t.equal(await dig('worker2.cluster.test', 'AAAA'), '');
  });

  await t.test('a wrong secret is told', async (t) => {
    key('YW5vdGhlci1zZWNyZXQ=');
    t.match(await announce('--refresh'), { code: 1, stderr: /BADSIG.*The edge has another secret for the key/s });
    key(secret);
  });

  await t.test('withdrawn: nothing of it is left', async (t) => {
    // No systemd in here: units that are not there are not stopped, and nothing is to be reloaded.
    const result = await announce('--withdraw', '--dry-run');
    t.match(result.stdout, /update delete worker1\.cluster\.test\. AAAA/);
    const text = result.stdout.split('\n').filter((line) => /^(server|zone|update|send)\b/.test(line));
    await mustExec(['nsupdate', '-k', join(root, 'etc/v6edge-node/dns.key')], { input: `${text.join('\n')}\n` });
    t.equal(await dig('worker1.cluster.test', 'AAAA'), '');
    t.equal(await dig('_http._tcp.cluster.test', 'SRV'), '');
    t.equal(await dig('-x', 'fd00:6:6::22'), '');
    await pool([]);
  });
}
