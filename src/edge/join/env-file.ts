/** Files of settings as the node scripts read them: `NAME=value` or `NAME="value"` a line; nothing is expanded. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatAddress, formatCidr } from '../../core/address.ts';
import { assert } from '../../core/errors.ts';
import type { JoinConfig, NodeService } from './settings.ts';

/** Those that keys of the configuration are for. */
const own = [
  'CLUSTER_NAME',
  'ZONE',
  'CLUSTER_DOMAIN',
  'KUBERNETES_MINOR',
  'EDGE_ADDRESS',
  'EDGE_NAME',
  'API_PORT',
  'EDGE_LINK_LOCAL',
  'PRIVATE_SUBNET',
  'POD_SUBNET',
  'SERVICE_SUBNET',
  'PRIVATE_INTERFACE',
  'PUBLIC_INTERFACE',
  'FIREWALL',
  'SEARCH_DOMAINS',
  'EXTRA_SANS',
  'KUBERNETES_REPOSITORY',
  'CRIO_REPOSITORY',
  'KUBERNETES_KEY_FINGERPRINT',
  'CRIO_KEY_FINGERPRINT',
  'IMAGE_REPOSITORY',
  'REGISTRY_MIRRORS',
  'SRV_WORKER',
  'SRV_CONTROL_PLANE',
  'DNS_TTL',
  'DNS_LEASE',
  'PTR',
  'DNS_KEY_FILE',
] as const;
type OwnSetting = (typeof own)[number];
const ownSettings: ReadonlySet<string> = new Set(own);

/** Names and values in their order. An empty value is the scripts' default. */
export type EnvVariables = Readonly<Record<string, string>>;

/** Writes the file. Values are checked where they come in: what could end a line or its quotes is our own mistake here. */
export function formatEnv(variables: EnvVariables): string {
  return Object.entries(variables)
    .map(([name, value]) => {
      assert(
        /^[A-Z][A-Z0-9_]*$/.test(name) && /^[^\p{Cc}"'`\\$]*$/u.test(value),
        `${name} cannot stand in a file of settings`,
      );
      return /^[\w.,:;@%+=/{}[\]-]*$/.test(value) ? `${name}=${value}\n` : `${name}="${value}"\n`;
    })
    .join('');
}

/** edge.env: the settings of the cluster, the same on all of its nodes; scripts/node-bootstrap/edge.env.example explains each. */
export function edgeEnv(config: JoinConfig): EnvVariables {
  return { ...ownEnv(config), ...config.cluster.settings };
}

function ownEnv({ zone, services, cluster }: JoinConfig) {
  const { repositories } = cluster;
  return {
    CLUSTER_NAME: cluster.name,
    ZONE: zone,
    CLUSTER_DOMAIN: cluster.domain,
    KUBERNETES_MINOR: cluster.kubernetes ?? '',
    EDGE_ADDRESS: formatAddress(cluster.edgeAddress),
    EDGE_NAME: cluster.edgeName ?? '',
    API_PORT: String(cluster.apiPort),
    EDGE_LINK_LOCAL: cluster.edgeLinkLocal === undefined ? '' : formatAddress(cluster.edgeLinkLocal),
    PRIVATE_SUBNET: formatCidr(cluster.privateSubnet),
    POD_SUBNET: formatCidr(cluster.podSubnet),
    SERVICE_SUBNET: formatCidr(cluster.serviceSubnet),
    PRIVATE_INTERFACE: cluster.privateInterface,
    PUBLIC_INTERFACE: cluster.publicInterface,
    FIREWALL: cluster.firewall ? 'yes' : 'no',
    SEARCH_DOMAINS: cluster.searchDomains ? 'yes' : 'route',
    EXTRA_SANS: cluster.sans.join(' '),
    KUBERNETES_REPOSITORY: repositories.kubernetes ?? '',
    CRIO_REPOSITORY: repositories.crio ?? '',
    KUBERNETES_KEY_FINGERPRINT: repositories.kubernetesKey ?? '',
    CRIO_KEY_FINGERPRINT: repositories.crioKey ?? '',
    IMAGE_REPOSITORY: repositories.images ?? '',
    REGISTRY_MIRRORS: repositories.mirrors.join(' '),
    SRV_WORKER: services.worker.map(serviceText).join(' '),
    SRV_CONTROL_PLANE: services['control-plane'].map(serviceText).join(' '),
    DNS_TTL: String(cluster.ttlSeconds),
    DNS_LEASE: leaseText(cluster.leaseSeconds),
    PTR: cluster.ptr,
    DNS_KEY_FILE: '',
  } satisfies Record<OwnSetting, string>;
}

/** Settings that the scripts in a folder know and that no key of the configuration is for. @throws the file system's error */
export function otherSettings(folder: string): string[] {
  const example = readFileSync(join(folder, 'edge.env.example'), 'utf8');
  return [...example.matchAll(/^([A-Z][A-Z0-9_]*)=/gm)]
    .map(([, name]) => name!)
    .filter((name) => !ownSettings.has(name));
}

function serviceText({ name, port, weight }: NodeService): string {
  return weight === undefined ? `${name}:${port}` : `${name}:${port}:${weight}`;
}

/** In the largest unit that holds it whole. */
function leaseText(seconds: number): string {
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
  ] as const) {
    if (seconds % size === 0) return `${seconds / size}${unit}`;
  }
  return `${seconds}s`;
}
