/** The rendered kubeadm configuration against every field that kubeadm.k8s.io/v1beta4 has, and against what kubeadm checks in values. */
import t from 'tap';
import { configurations, faults } from './kubeadm-fields.ts';
import { at, documents, type KubernetesObject, render } from './rendered.ts';

const kubeadm = 'kubeadm.k8s.io/v1beta4';

/** By kind, what lies at a path of it. */
async function configuration(template: string, settings?: string): Promise<(kind: string, path: string) => unknown> {
  const all = documents(await render(`kubeadm/${template}`, settings));
  return (kind, path) =>
    at(
      all.find((one) => one.kind === kind),
      path,
    );
}

const shapeOf = ({ apiVersion, kind }: KubernetesObject) => configurations[`${apiVersion} ${kind}`];

t.test('the table finds what is wrong', (t) => {
  const cases: readonly [string, unknown, string[]][] = [
    ['an unknown field', { kubernetesVersions: 'v1.36.0' }, ['kubernetesVersions: unknown field']],
    ['an unknown field far below', { etcd: { local: { datadir: '/x' } } }, ['etcd.local.datadir: unknown field']],
    [
      'a map of extra arguments, as v1beta3 had it',
      { apiServer: { extraArgs: { 'bind-address': '::' } } },
      ['apiServer.extraArgs: no list'],
    ],
    ['one name for a list', { apiServer: { certSANs: 'edge' } }, ['apiServer.certSANs: no list']],
    ['a number for a duration', { certificateValidityPeriod: 8760 }, ['certificateValidityPeriod: no duration']],
    [
      'an argument that is no text',
      { scheduler: { extraArgs: [{ name: 'v', value: 2 }] } },
      ['scheduler.extraArgs[0].value: no string'],
    ],
  ];
  for (const [name, value, expected] of cases) {
    t.strictSame(faults(value, configurations[`${kubeadm} ClusterConfiguration`]!), expected, name);
  }
  t.end();
});

for (const [template, kinds] of [
  ['init.yaml', ['InitConfiguration', 'ClusterConfiguration', 'KubeletConfiguration', 'KubeProxyConfiguration']],
  ['join-control-plane.yaml', ['JoinConfiguration']],
  ['join-worker.yaml', ['JoinConfiguration']],
  ['reset.yaml', ['ResetConfiguration']],
] as const) {
  t.test(`${template}: every field is one that there is`, async (t) => {
    const all = documents(await render(`kubeadm/${template}`));
    t.strictSame(
      all.map(({ kind }) => kind),
      kinds,
    );
    for (const one of all) {
      const shape = shapeOf(one);
      t.ok(shape, `${one.apiVersion} ${one.kind}`);
      t.strictSame(faults(one, shape!), []);
    }
  });
}

t.test('init: the values are what kubeadm takes, and what an IPv6-only cluster needs', async (t) => {
  const value = await configuration('init.yaml');
  for (const [kind, path, wanted] of [
    ['InitConfiguration', 'bootstrapTokens.0.token', /^[a-z0-9]{6}\.[a-z0-9]{16}$/],
    ['InitConfiguration', 'certificateKey', /^[0-9a-f]{64}$/],
    // The private address, without brackets.
    ['InitConfiguration', 'localAPIEndpoint.advertiseAddress', 'fd42:6ed9:e001:1::11'],
    ['InitConfiguration', 'nodeRegistration.kubeletExtraArgs', [{ name: 'node-ip', value: 'fd42:6ed9:e001:1::11' }]],
    ['InitConfiguration', 'nodeRegistration.criSocket', /^unix:\/\//],
    ['ClusterConfiguration', 'controlPlaneEndpoint', 'edge.k8s.example.net:6443'],
    // What kubeadm itself brings.
    ['ClusterConfiguration', 'kubernetesVersion', 'v1.36.4'],
    ['ClusterConfiguration', 'networking.podSubnet', 'fd42:6ed9:e001:100::/56'],
    ['ClusterConfiguration', 'networking.serviceSubnet', 'fd42:6ed9:e001:ff00::/112'],
    ['KubeletConfiguration', 'clusterDNS', ['fd42:6ed9:e001:ff00::a']],
    // kubeadm before 1.36 cannot wait for ::1.
    ['KubeletConfiguration', 'healthzBindAddress', undefined],
    ['KubeProxyConfiguration', 'nodePortAddresses', ['fd42:6ed9:e001:1::/64']],
  ] as const) {
    const found = value(kind, path);
    if (wanted instanceof RegExp) t.match(found, wanted, path);
    else t.strictSame(found, wanted, path);
  }
  t.strictSame(value('ClusterConfiguration', 'apiServer.certSANs'), [
    'edge.k8s.example.net',
    'fd42:6ed9:e001:1::1',
    'cp1.k8s.example.net',
    'edge.example.net',
    '2001:db8:0:1::1',
    '192.0.2.10',
  ]);
});

t.test('the address of cluster DNS is the tenth of Services, however they are written', async (t) => {
  for (const [subnet, dns] of [
    ['fd42::/108', 'fd42::a'],
    ['fd42:0:0:ff00::/112', 'fd42:0:0:ff00::a'],
    ['fd42:1:2:3:4:5:6:0/112', 'fd42:0001:0002:0003:0004:0005:0006:000a'],
    ['fd42:1:2:3::4:500/120', 'fd42:0001:0002:0003:0000:0000:0004:050a'],
  ] as const) {
    const value = await configuration('init.yaml', `SERVICE_SUBNET=${subnet}`);
    t.strictSame(value('KubeletConfiguration', 'clusterDNS'), [dns], subnet);
  }
});

t.test(
  'joins: bootstrap discovery with every hash; a control plane has its own API endpoint and the key',
  async (t) => {
    for (const template of ['join-worker.yaml', 'join-control-plane.yaml']) {
      const value = await configuration(template);
      const join = (path: string) => value('JoinConfiguration', path);
      t.equal(join('discovery.bootstrapToken.apiServerEndpoint'), 'edge.k8s.example.net:6443');
      t.equal(join('discovery.bootstrapToken.token'), join('discovery.tlsBootstrapToken'));
      t.strictSame(join('discovery.bootstrapToken.caCertHashes'), [
        `sha256:${'0'.repeat(64)}`,
        `sha256:${'1'.repeat(64)}`,
      ]);
      t.equal(join('discovery.bootstrapToken.unsafeSkipCAVerification'), undefined);
      const isControlPlane = template === 'join-control-plane.yaml';
      t.equal(
        join('controlPlane.localAPIEndpoint.advertiseAddress'),
        isControlPlane ? 'fd42:6ed9:e001:1::11' : undefined,
      );
      t.equal(join('controlPlane.certificateKey'), isControlPlane ? '0'.repeat(64) : undefined);
      t.equal((join('nodeRegistration.taints') as unknown[]).length, isControlPlane ? 1 : 0);
    }
  },
);

t.test('another port, and an edge that is named by settings', async (t) => {
  const value = await configuration('init.yaml', 'EDGE_NAME=api.example.org\nAPI_PORT=8443');
  t.equal(value('ClusterConfiguration', 'controlPlaneEndpoint'), 'api.example.org:8443');
  t.equal(value('ClusterConfiguration', 'apiServer.certSANs.0'), 'api.example.org');
});
