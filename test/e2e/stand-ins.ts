/**
 * Repositories of packages as nodes get them, made of stand-ins: `kubeadm`, `kubelet` and CRI-O check what they are given and leave behind
 * what the real ones would, and nothing of them runs a container. What Debian itself would bring stands in by empty packages.
 */
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join, normalize } from 'node:path';
import { mustExec } from '../lab/process.ts';

const minor = '1.36';
/** As the node scripts' settings have them: {minor} becomes the Kubernetes minor version. */
export const repositoryPaths = {
  debian: '/debian/',
  kubernetes: '/kubernetes/v{minor}/deb/',
  crio: '/crio/v{minor}/deb/',
} as const;

interface StandIn {
  readonly name: string;
  readonly version: string;
  /** What goes to /usr/bin, from the folder stand-ins. */
  readonly program?: string;
  readonly unit?: string;
}

const version = `${minor}.4-1.1`;
const crioUnit = `[Unit]
Description=Container Runtime Interface for OCI (stand-in)
[Service]
ExecStart=/usr/bin/crio
Restart=on-failure
[Install]
WantedBy=multi-user.target
`;
const kubeletUnit = `[Unit]
Description=kubelet: The Kubernetes Node Agent (stand-in)
After=network-online.target
ConditionPathExists=/var/lib/kubelet/config.yaml
[Service]
ExecStart=/usr/bin/kubelet
Restart=always
[Install]
WantedBy=multi-user.target
`;
const packages: Readonly<Record<keyof typeof repositoryPaths, readonly StandIn[]>> = {
  // Newer than any, so that they break nothing that breaks older ones.
  debian: ['iptables', 'nftables', 'conntrack', 'nfs-common'].map((name) => ({ name, version: '9:1' })),
  kubernetes: [
    { name: 'kubeadm', version, program: 'kubeadm' },
    { name: 'kubelet', version, program: 'kubelet', unit: kubeletUnit },
    { name: 'kubectl', version },
  ],
  crio: [{ name: 'cri-o', version, program: 'crio', unit: crioUnit }],
};

/** Makes the repositories below `folder`, signed by a key of their own. Returns its fingerprint. */
export async function makeRepositories(folder: string): Promise<string> {
  const home = join(folder, 'gpg');
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const gpg = (...args: string[]) => mustExec(['gpg', '--homedir', home, '--batch', '--quiet', ...args]);
  try {
    await gpg('--passphrase', '', '--quick-generate-key', 'stand-in', 'rsa2048', 'sign', 'never');
    const listing = await gpg('--with-colons', '--list-keys');
    const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(listing)![1]!;
    const key = await gpg('--armor', '--export');
    for (const [name, contents] of Object.entries(packages)) {
      const path = repositoryPaths[name as keyof typeof repositoryPaths].replace('{minor}', minor);
      const repository = join(folder, 'www', path);
      mkdirSync(repository, { recursive: true });
      const entries: string[] = [];
      for (const each of contents) entries.push(await makePackage(each, join(folder, 'build', each.name), repository));
      const index = entries.join('\n');
      writeFileSync(join(repository, 'Packages'), index);
      const release = [
        'Origin: stand-in',
        `Date: ${new Date().toUTCString().replace('GMT', 'UTC')}`,
        'SHA256:',
        ` ${sha256(index)} ${Buffer.byteLength(index)} Packages`,
        '',
      ];
      writeFileSync(join(repository, 'Release'), release.join('\n'));
      await gpg('--clearsign', '--output', join(repository, 'InRelease'), join(repository, 'Release'));
      writeFileSync(join(repository, 'Release.key'), key);
    }
    return fingerprint;
  } finally {
    // The agent that gpg started for itself.
    await mustExec(['gpgconf', '--homedir', home, '--kill', 'all']);
  }
}

/** Builds one; returns its entry in the index. */
async function makePackage({ name, version, program, unit }: StandIn, tree: string, out: string): Promise<string> {
  const control = `Package: ${name}\nVersion: ${version}\nArchitecture: all\nMaintainer: stand-in\nDescription: stand-in of ${name}\n`;
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  writeFileSync(join(tree, 'DEBIAN/control'), control);
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  const file = join(tree, 'usr/bin', program ?? name);
  if (program !== undefined) copyFileSync(join(import.meta.dirname, 'stand-ins', program), file);
  // One that is only there must not be taken for one that works.
  else writeFileSync(file, `#!/bin/sh\necho "${name} is a stand-in that does nothing" >&2\nexit 1\n`);
  chmodSync(file, 0o755);
  if (unit !== undefined) {
    mkdirSync(join(tree, 'usr/lib/systemd/system'), { recursive: true });
    writeFileSync(join(tree, `usr/lib/systemd/system/${program}.service`), unit);
    writeFileSync(join(tree, 'DEBIAN/postinst'), '#!/bin/sh\nsystemctl daemon-reload\n', { mode: 0o755 });
  }
  const deb = join(out, `${name}.deb`);
  await mustExec(['dpkg-deb', '--root-owner-group', '-Znone', '--build', tree, deb]);
  return `${control}Filename: ${name}.deb\nSize: ${statSync(deb).size}\nSHA256: ${sha256(readFileSync(deb))}\n`;
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Serves what is below a folder; resolves when it listens. */
export async function serveFiles(folder: string, address: string, port: number): Promise<Server> {
  const server = createServer((req, res) => {
    try {
      res.end(readFileSync(join(folder, normalize(decodeURIComponent(req.url ?? '/')))));
    } catch {
      res.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, resolve);
  });
  return server;
}
