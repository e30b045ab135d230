import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { joinEnv } from '../../../src/edge/join/bundle.ts';
import { edgeEnv, formatEnv, otherSettings } from '../../../src/edge/join/env-file.ts';
import { parseMaterial } from '../../../src/edge/join/material.ts';
import { describe, exec } from '../../lab/process.ts';
import { joinConfig, storedNode } from './stage.ts';

const scripts = join(import.meta.dirname, '../../../scripts/node-bootstrap');
const namesIn = (file: string) =>
  [...readFileSync(join(scripts, file), 'utf8').matchAll(/^([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name!);

t.test('what would end a line or its quotes is our own mistake', (t) => {
  for (const value of ['a\nB=1', 'a"', "a'", '$HOME', '`id`', 'a\\', '\x07']) {
    t.throws(() => formatEnv({ NAME: value }), { code: 'V6_ASSERT' }, JSON.stringify(value));
  }
  for (const name of ['', 'name', 'A B', '1A', 'A='])
    t.throws(() => formatEnv({ [name]: '' }), { code: 'V6_ASSERT' }, name);
  t.equal(
    formatEnv({ A: '', B: 'fd00::/64', C: 'one two', D: 'https://x/v{minor}/' }),
    'A=\nB=fd00::/64\nC="one two"\nD=https://x/v{minor}/\n',
  );
  t.end();
});

t.test('we write every setting that the scripts know, and none that they do not', (t) => {
  const known = namesIn('edge.env.example');
  const own = Object.keys(edgeEnv(joinConfig()));
  t.strictSame(
    own.filter((name) => !known.includes(name)),
    [],
    'none that they do not know',
  );
  const others = known.filter((name) => !own.includes(name));
  t.strictSame(otherSettings(scripts), others);
  const settings = Object.fromEntries(others.map((name, i) => [name, `v${i}`]));
  t.match(edgeEnv(joinConfig(`  cluster: { settings: ${JSON.stringify(settings)} }`)), settings, 'all that they know');
  for (const name of ['NO_SUCH', 'ZONE', 'path']) {
    t.throws(() => joinConfig(`  cluster: { settings: { ${name}: x } }`), /the scripts have no such setting/, name);
  }
  const parts = {
    node: storedNode('w1'),
    zone: 'cluster.test',
    material: undefined,
    reportUrl: 'http://x',
    secret: 's',
  };
  t.strictSame(Object.keys(joinEnv(parts)), namesIn('join.env.example'));
  t.end();
});

t.test('services are by default what the scripts have', (t) => {
  const example = readFileSync(join(scripts, 'edge.env.example'), 'utf8');
  for (const name of ['SRV_WORKER', 'SRV_CONTROL_PLANE'] as const) {
    t.equal(edgeEnv(joinConfig(''))[name], new RegExp(`^${name}="?([^"\n]*)`, 'm').exec(example)![1], name);
  }
  t.end();
});

t.test('settings of a cluster', (t) => {
  t.match(edgeEnv(joinConfig()), {
    ZONE: 'cluster.test',
    EDGE_ADDRESS: 'fd00:6:6::1',
    PRIVATE_SUBNET: 'fd00:6:6::/64',
    POD_SUBNET: 'fd00:6:6:100::/56',
    SERVICE_SUBNET: 'fd00:6:6:ff00::/112',
    SRV_WORKER: '_http._tcp:80 _https._tcp:443:100',
    SRV_CONTROL_PLANE: '_kube-api._tcp:6443',
    DNS_TTL: '60',
    DNS_LEASE: '2h',
    KUBERNETES_MINOR: '',
    PTR: 'edge',
  });
  t.end();
});

t.test('the scripts take what we write', async (t) => {
  const dir = t.testdir({});
  const material = parseMaterial(
    `BOOTSTRAP_TOKEN=abcdef.0123456789abcdef\nCA_CERT_HASHES=sha256:${'0a'.repeat(32)}\n`,
    'api',
    0,
  );
  const parts = {
    node: storedNode('w1'),
    zone: 'cluster.test',
    material,
    reportUrl: 'http://[fd00:6:6::1]:8654/join/report',
    secret: 'a_b-c',
  };
  const config = joinConfig(
    '  cluster: { sans: [api.example.org, "2001:db8:1::1"], repositories: { mirrors: ["docker.io=mirror.example.net/docker"] } }',
  );
  writeFileSync(join(dir, 'edge.env'), formatEnv(edgeEnv(config)));
  writeFileSync(join(dir, 'join.env'), formatEnv(joinEnv(parts)));
  const read =
    '. "$1/lib.sh"; load_settings; load_join; echo "$NODE_FQDN $ROLE $PRIVATE_SUBNET $EXTRA_SANS $KUBEADM_TOKEN $DNS_KEY_NAME"';
  const env = { ENV_FILE: join(dir, 'edge.env'), JOIN_FILE: join(dir, 'join.env') };
  const result = await exec(['bash', '-c', read, 'test', scripts], { env });
  t.equal(result.code, 0, describe(result));
  t.equal(
    result.stdout.trim(),
    'w1.cluster.test worker fd00:6:6::/64 api.example.org 2001:db8:1::1 abcdef.0123456789abcdef w1.cluster.test',
  );
});

t.test('the key of a control plane’s certificates is for control planes alone', (t) => {
  const material = {
    token: 'abcdef.0123456789abcdef',
    tokenExpiresAt: 1,
    caCertHashes: ['sha256:aa', 'sha256:bb'],
    certificateKey: 'cc',
    certificateKeyExpiresAt: 1,
    at: 0,
    by: 'api',
  };
  const parts = { zone: 'cluster.test', material, reportUrl: 'http://x', secret: 's' };
  const worker = joinEnv({ ...parts, node: storedNode('w1') });
  t.match(worker, { ROLE: 'worker', CLUSTER_INIT: 'no', CERTIFICATE_KEY: '', CA_CERT_HASHES: 'sha256:aa sha256:bb' });
  t.match(joinEnv({ ...parts, node: storedNode('cp1', { role: 'control-plane', mode: 'init' }) }), {
    ROLE: 'control-plane',
    CLUSTER_INIT: 'yes',
    CERTIFICATE_KEY: 'cc',
    DNS_KEY_NAME: 'cp1.cluster.test',
  });
  t.end();
});
