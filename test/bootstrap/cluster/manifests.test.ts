/**
 * The manifests for the cluster, as rendered: no placeholder left, the OpenAPI schemas of Kubernetes and cert-manager's (the packages
 * of kubernetes-models) hold, and no field is one that these do not have, which their schemas alone would let pass and their types do not.
 */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { exec } from '../../lab/process.ts';
import { at, documents, type KubernetesObject, render, templates } from './rendered.ts';

const checkout = join(import.meta.dirname, '../../..');

// `apiVersion kind` of what we apply: the package that brings its schema and type.
const models: Readonly<Record<string, string>> = {
  'v1 Namespace': 'kubernetes-models/v1/Namespace',
  'v1 Service': 'kubernetes-models/v1/Service',
  'v1 ServiceAccount': 'kubernetes-models/v1/ServiceAccount',
  'apps/v1 DaemonSet': 'kubernetes-models/apps/v1/DaemonSet',
  'apps/v1 Deployment': 'kubernetes-models/apps/v1/Deployment',
  'networking.k8s.io/v1 Ingress': 'kubernetes-models/networking.k8s.io/v1/Ingress',
  'networking.k8s.io/v1 IngressClass': 'kubernetes-models/networking.k8s.io/v1/IngressClass',
  'rbac.authorization.k8s.io/v1 ClusterRole': 'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRole',
  'rbac.authorization.k8s.io/v1 ClusterRoleBinding':
    'kubernetes-models/rbac.authorization.k8s.io/v1/ClusterRoleBinding',
  'storage.k8s.io/v1 StorageClass': 'kubernetes-models/storage.k8s.io/v1/StorageClass',
  'cert-manager.io/v1 ClusterIssuer': '@kubernetes-models/cert-manager/cert-manager.io/v1/ClusterIssuer',
};
const whole = [
  'traefik.yaml',
  'kuard.yaml',
  'cert-manager/issuers.yaml',
  'cert-manager/issuers-dns01.yaml',
  'storage/storageclass.yaml',
];

const modelOf = ({ apiVersion, kind }: KubernetesObject) => models[`${apiVersion} ${kind}`];

/** Why an object is not what its schema wants; undefined: it is. */
async function complaint(object: KubernetesObject): Promise<string | undefined> {
  const model = modelOf(object);
  if (model === undefined) return `no schema for ${object.apiVersion} ${object.kind}`;
  const { [object.kind]: Model } = (await import(model)) as Record<string, new (data: unknown) => { validate(): void }>;
  try {
    new Model!(object).validate();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** What the compiler says to objects written down as values of their types: fields that there are not, among others. */
async function typeFaults(objects: readonly KubernetesObject[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-types-'));
  try {
    symlinkSync(join(checkout, 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    const lines = objects.map(
      (object, index) =>
        `import type { I${object.kind} as T${index} } from ${JSON.stringify(modelOf(object))};\n` +
        `export const o${index}: T${index} = ${JSON.stringify(object, null, 1)};`,
    );
    writeFileSync(join(folder, 'objects.ts'), lines.join('\n'));
    const compilerOptions = {
      noEmit: true,
      strict: true,
      skipLibCheck: true,
      target: 'es2022',
      module: 'nodenext',
      types: ['node'],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['objects.ts'] }));
    // Without what the test runner loads into every Node.js process below it, whatever environment that is given.
    const argv = ['env', '-u', 'NODE_OPTIONS', join(checkout, 'node_modules/.bin/tsc'), '-p', folder];
    const result = await exec(argv, { timeoutMs: 120_000 });
    return result.stdout + result.stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

t.test('the judges find what is wrong', async (t) => {
  const service = (spec: object) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'x' }, spec });
  t.match(await complaint(service({ ports: [{ port: '80' }] })), /port/, 'a text for a number');
  t.match(
    await complaint({ apiVersion: 'apps/v1', kind: 'DaemonSet', spec: { template: {} } }),
    /selector/,
    'what is needed',
  );
  t.match(await complaint({ apiVersion: 'v2', kind: 'Service' }), /no schema/);
  t.match(
    await typeFaults([service({ externalTraficPolicy: 'Local' })]),
    /externalTraficPolicy/,
    'a field that there is not',
  );
  t.equal(await typeFaults([service({ externalTrafficPolicy: 'Local' })]), '');
});

t.test('no placeholder is left over, and none is unknown', async (t) => {
  t.ok(templates.length >= 13, `${templates.length} templates`);
  for (const template of templates) {
    const text = await render(template);
    t.notMatch(text, /@[A-Z_]+@/, template);
    documents(text);
  }
});

t.test('schemas and types', async (t) => {
  const objects: KubernetesObject[] = [];
  for (const template of whole) {
    for (const object of documents(await render(template))) {
      t.equal(await complaint(object), undefined, `${template}: ${object.kind}`);
      objects.push(object);
    }
  }
  t.equal(await typeFaults(objects), '');
});

t.test('one name for the whole way of a request', async (t) => {
  const all = (await Promise.all(whole.map((template) => render(template)))).flatMap(documents);
  const of = (kind: string, name?: string) =>
    all.filter((one) => one.kind === kind && (name === undefined || at(one, 'metadata.name') === name));
  const [traefik, service] = [of('DaemonSet')[0], of('Service', 'traefik')[0]];
  t.strictSame(
    at(service, 'spec.selector'),
    at(traefik, 'spec.template.metadata.labels'),
    'the Service finds the controller',
  );
  t.strictSame(at(service, 'spec.ipFamilies'), ['IPv6']);
  t.equal(at(service, 'spec.externalTrafficPolicy'), 'Local');
  const container = at(traefik, 'spec.template.spec.containers.0');
  const ports = (at(container, 'ports') as unknown[]).map((port) => at(port, 'name'));
  for (const port of at(service, 'spec.ports') as unknown[]) t.ok(ports.includes(at(port, 'targetPort')));
  const args = at(container, 'args') as string[];
  for (const entry of ['web', 'websecure']) {
    t.ok(
      args.includes(`--entryPoints.${entry}.proxyProtocol.trustedIPs=fd42:6ed9:e001:1::1/128`),
      'the edge alone is believed',
    );
  }
  t.notOk(args.some((one) => /insecure/i.test(one)));
  const ingressClass = at(of('IngressClass')[0], 'metadata.name');
  t.ok(args.includes(`--providers.kubernetesIngress.ingressClass=${ingressClass}`));
  const [ingress] = of('Ingress');
  t.equal(at(ingress, 'spec.ingressClassName'), ingressClass);
  const issuer = at(ingress, ['metadata', 'annotations', 'cert-manager.io/cluster-issuer']) as string;
  t.equal(of('ClusterIssuer', issuer).length, 1);
  for (const one of of('ClusterIssuer')) {
    const staging = /staging/.test(at(one, 'spec.acme.server') as string);
    t.equal(staging, /staging/.test(at(one, 'metadata.name') as string), 'its name says which');
    const solver = at(one, 'spec.acme.solvers.0');
    if (at(solver, 'http01')) t.equal(at(solver, 'http01.ingress.ingressClassName'), ingressClass);
    else t.equal(at(solver, 'dns01.rfc2136.nameserver'), '[fd42:6ed9:e001:1::1]:53');
  }
});

t.test('every image has its registry in its name, and a version', async (t) => {
  for (const template of whole) {
    for (const [, image] of (await render(template)).matchAll(/image: "?([^"\s]+)/g)) {
      t.match(image, /^[a-z0-9.-]+\.[a-z]+\/.+:(?!latest)[\w.-]+$/, 'CRI-O takes no short names');
    }
  }
});

t.test('Calico: IPv6 alone, the pool spelled out, no controllers', async (t) => {
  const [pool] = documents(await render('calico/ippool.yaml'));
  t.strictSame(pool?.spec, {
    cidr: 'fd42:6ed9:e001:100::/56',
    blockSize: 122,
    ipipMode: 'Never',
    vxlanMode: 'Always',
    natOutgoing: true,
    disabled: false,
    nodeSelector: 'all()',
    allowedUses: ['Workload', 'Tunnel'],
  });
  const [config] = documents(await render('calico/config-ipv6.yaml', 'CALICO_MTU=1380'));
  t.equal(at(config, 'data.veth_mtu'), '1380');
  // install-cni puts a number there.
  const network: unknown = JSON.parse((at(config, 'data.cni_network_config') as string).replace('__CNI_MTU__', '1380'));
  t.strictSame(at(network, 'plugins.0.ipam'), { type: 'calico-ipam', assign_ipv4: 'false', assign_ipv6: 'true' });
  const [overlay] = documents(await render('calico/kustomization.yaml'));
  const patches = overlay!.patches as { readonly patch?: string; readonly path?: string }[];
  // One object a patch: with several deletions in one, kustomize 5.5 ends with a panic.
  const dropped = patches.flatMap(({ patch }) => (patch === undefined ? [] : [documents(patch)]));
  for (const all of dropped) {
    t.equal(all.length, 1);
    t.equal(at(all[0], 'metadata.name'), 'calico-kube-controllers');
    t.equal(all[0]!.$patch, 'delete');
  }
  const kinds = dropped.map(([one]) => one!.kind).sort();
  t.strictSame(kinds, ['ClusterRole', 'ClusterRoleBinding', 'Deployment', 'PodDisruptionBudget', 'ServiceAccount']);
  for (const { path } of patches) if (path !== undefined) t.ok(templates.includes(`calico/${path}`), path);
});
