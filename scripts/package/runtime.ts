/** What of a package is built for one architecture: Node.js and the native parts of koffi and lmdb, from npm packages of pinned versions. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bundle.ts';

/** A Debian architecture. */
export type Architecture = 'amd64' | 'arm64';

/** What npm calls it. */
export const npmArchitecture: Readonly<Record<Architecture, string>> = { amd64: 'x64', arm64: 'arm64' };

/** One npm package of an architecture, and what of it an installed v6edge needs. */
export interface NativePackage {
  readonly name: string;
  /** The unpacked package. */
  readonly folder: string;
  readonly files: readonly string[];
}

/** The three; those of another architecture are fetched by npm into `scratch`. */
export function nativePackages(architecture: Architecture, scratch: string): NativePackage[] {
  const cpu = npmArchitecture[architecture];
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  return [
    { name: `node-linux-${cpu}`, files: ['bin/node'], within: 'node_modules/node/node_modules' },
    {
      name: `@koromix/koffi-linux-${cpu}`,
      files: ['package.json', 'index.js', `linux_${cpu}/koffi.node`],
      within: 'node_modules',
    },
    { name: `@lmdb/lmdb-linux-${cpu}`, files: ['package.json', 'node.napi.glibc.node'], within: 'node_modules' },
  ].map(({ name, files, within }) => {
    // node-linux-* is no dependency npm knows of: the package `node` installs the one of its own version.
    const entry = lock.packages[`node_modules/${name}`] ?? lock.packages['node_modules/node'];
    const installed = join(root, within, name);
    const folder = existsSync(join(installed, files[0]!)) ? installed : fetch(name, entry!, lock, scratch);
    return { name, folder, files };
  });
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity?: string }>>;
}

/** Fetches a package, which must be what the lock file says it is. */
function fetch(name: string, { version }: { version: string }, lock: Lock, scratch: string): string {
  const out = join(scratch, name.replaceAll('/', '-'));
  mkdirSync(out, { recursive: true });
  const answer = execFileSync('npm', ['pack', '--json', '--silent', '--pack-destination', out, `${name}@${version}`], {
    encoding: 'utf8',
    cwd: root,
  });
  const [{ filename, integrity }] = JSON.parse(answer) as [{ filename: string; integrity: string }];
  const locked = lock.packages[`node_modules/${name}`]?.integrity;
  if (locked !== undefined && locked !== integrity) {
    throw new Error(`${name}: is ${integrity}, package-lock.json has ${locked}`);
  }
  execFileSync('tar', ['-xzf', join(out, filename.replace(/^@/, '').replaceAll('/', '-')), '-C', out]);
  return join(out, 'package');
}
