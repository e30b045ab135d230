/** The archive that a node gets: the scripts, the cluster's settings, its own settings and its key. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ValueError } from '../../core/errors.ts';
import { formatKeyFile } from '../../dns/keyfile.ts';
import { type EnvVariables, formatEnv } from './env-file.ts';
import type { Material } from './material.ts';
import { nodeKey } from './node-grants.ts';
import type { StoredNode } from './state.ts';
import { encodeTar, type TarEntry } from './tar.ts';

/** Where the scripts are in the archive. */
const scriptsFolder = 'node-bootstrap/';
/** The scripts are some dozen files; beyond these there is another folder in their place. */
const maxFiles = 500;
const maxOctets = 8 * 1024 ** 2;

const secretMode = 0o600;

/** The folders and files of a folder with scripts, in the order of their paths; hidden ones are left out. @throws {ValueError} */
export function readScripts(folder: string): TarEntry[] {
  const entries: TarEntry[] = [{ path: scriptsFolder, mode: 0o755, data: new Uint8Array(0) }];
  let octets = 0;
  const found = readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => ({ entry, file: join(entry.parentPath, entry.name) }))
    .filter(({ file }) => !file.slice(folder.length).includes('/.'))
    .sort((a, b) => (a.file < b.file ? -1 : 1));
  for (const { entry, file } of found) {
    const path = scriptsFolder + file.slice(folder.length + 1);
    if (entry.isDirectory()) entries.push({ path: `${path}/`, mode: 0o755, data: new Uint8Array(0) });
    if (!entry.isFile()) continue;
    const { size } = statSync(file);
    octets += size;
    if (octets > maxOctets || entries.length >= maxFiles)
      throw new ValueError(`${folder} has more in it than node scripts`);
    // As it is installed, no file there can be run by itself; the scripts run each other.
    entries.push({ path, mode: /\.sh$/.test(path) ? 0o755 : 0o644, data: readFileSync(file) });
  }
  return entries;
}

/** What all nodes of a cluster get alike: the scripts and edge.env. */
export function sharedEntries(scripts: readonly TarEntry[], settings: EnvVariables): TarEntry[] {
  return [{ path: 'edge.env', mode: 0o644, data: Buffer.from(formatEnv(settings)) }, ...scripts];
}

/**
 * SHA-256, hexadecimal, of what `sha256sum` prints for the files in the order of their paths: stage one works out the same of what
 * it unpacked.
 */
export function scriptsDigest(entries: readonly TarEntry[]): string {
  const lines = entries
    .filter(({ path }) => !path.endsWith('/'))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ path, data }) => `${createHash('sha256').update(data).digest('hex')}  ${path}\n`);
  return createHash('sha256').update(lines.join('')).digest('hex');
}

/** What a node's own part is made of. */
export interface NodeParts {
  readonly node: StoredNode;
  readonly zone: string;
  /** What `kubeadm join` needs; undefined for the node that makes the cluster. */
  readonly material: Material | undefined;
  /** Where it reports to. */
  readonly reportUrl: string;
  readonly secret: string;
}

/** join.env: scripts/node-bootstrap/join.env.example explains each. */
export function joinEnv({ node, zone, material, reportUrl, secret }: NodeParts): EnvVariables {
  const key = nodeKey(node, zone);
  return {
    ROLE: node.role,
    NODE_NAME: node.name,
    CLUSTER_INIT: node.mode === 'init' ? 'yes' : 'no',
    DNS_KEY_NAME: key.name,
    DNS_KEY_ALGORITHM: key.algorithm,
    DNS_KEY_SECRET: Buffer.from(key.secret).toString('base64'),
    KUBEADM_TOKEN: material?.token ?? '',
    CA_CERT_HASHES: material?.caCertHashes.join(' ') ?? '',
    CERTIFICATE_KEY: node.role === 'control-plane' ? (material?.certificateKey ?? '') : '',
    REPORT_URL: reportUrl,
    NODE_SECRET: secret,
  };
}

/** The archive, compressed; the same parts give the same bytes. */
export function encodeBundle(shared: readonly TarEntry[], parts: NodeParts): Uint8Array {
  const own: TarEntry[] = [
    { path: 'join.env', mode: secretMode, data: Buffer.from(formatEnv(joinEnv(parts))) },
    { path: 'node.key', mode: secretMode, data: Buffer.from(formatKeyFile(nodeKey(parts.node, parts.zone))) },
  ];
  return gzipSync(encodeTar([...shared, ...own]), { level: 9 });
}
