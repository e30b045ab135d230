/** The templates of scripts/node-bootstrap/manifests as the scripts' own library renders them. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { describe, exec } from '../../lab/process.ts';

export const scripts = join(import.meta.dirname, '../../../scripts/node-bootstrap');
export const manifests = join(scripts, 'manifests');

/** Paths of all templates, relative to the folder. */
export const templates = readdirSync(manifests, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.yaml'))
  .sort();

const zeros = '0'.repeat(64);
const edge = `ZONE=k8s.example.net
EDGE_ADDRESS=fd42:6ed9:e001:1::1
PRIVATE_SUBNET=fd42:6ed9:e001:1::/64
POD_SUBNET=fd42:6ed9:e001:100::/56
SERVICE_SUBNET=fd42:6ed9:e001:ff00::/112
EXTRA_SANS="edge.example.net 2001:db8:0:1::1 192.0.2.10"
ACME_EMAIL=admin@example.net
KUARD_HOST=kuard.example.net
NFS_SERVER=nfs1.k8s.example.net
`;
const join_ = `ROLE=control-plane
NODE_NAME=cp1
KUBEADM_TOKEN=abcdef.0123456789abcdef
CA_CERT_HASHES="sha256:${zeros} sha256:${zeros.replaceAll('0', '1')}"
CERTIFICATE_KEY=${zeros}
`;

// What the programs set before they render, in one place for all templates.
const program = `
parse_options -- --env "$1/edge.env" --join "$1/join.env"
load_settings
load_join
NODE_ADDRESS=fd42:6ed9:e001:1::11
kubeadm() { echo "v$KUBERNETES_MINOR.4"; }
have() { [ "$1" = kubeadm ]; }
kubeadm_values
BOOTSTRAP_TOKEN=$KUBEADM_TOKEN
ARCHITECTURE=amd64
PROXY_TRUSTED=$EDGE_ADDRESS/128
ACME_KEY_NAME=acme-key
ACME_KEY_ALGORITHM=HMACSHA256
render "$2"
`;

/**
 * A template as text, every placeholder filled.
 * @param settings lines that go behind edge.env's
 * @throws {Error} with what the library said
 */
export async function render(template: string, settings = ''): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'v6edge-manifests-'));
  try {
    const names = [...settings.matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => `${name}=`);
    const kept = edge.split('\n').filter((line) => !names.some((name) => line.startsWith(name)));
    writeFileSync(join(folder, 'edge.env'), `${kept.join('\n')}\n${settings}\n`);
    writeFileSync(join(folder, 'join.env'), join_);
    const source = `. ${scripts}/lib.sh; . ${scripts}/kubeadm-steps.sh; ${program}`;
    const result = await exec(['bash', '-c', source, 'render', folder, join(manifests, template)]);
    if (result.code !== 0) throw new Error(describe(result));
    return result.stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly [key: string]: unknown;
}

/** The documents of a YAML text; a mistake in it, or a key that stands twice, throws. */
export function documents(text: string): KubernetesObject[] {
  return parseAllDocuments(text, { uniqueKeys: true }).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    return document.toJS() as KubernetesObject;
  });
}

/** What lies at a path of names and positions, `spec.ports.0.name`; undefined: nothing does. Names with dots go into an array. */
export function at(value: unknown, path: string | readonly string[]): unknown {
  const steps = typeof path === 'string' ? path.split('.') : path;
  return steps.reduce<unknown>((one, step) => (one as Record<string, unknown> | undefined)?.[step], value);
}
