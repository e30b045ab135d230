/** A Debian package of a laid-out tree: control files, then dpkg-deb, so that the same input gives the same bytes. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { root } from './bundle.ts';
import type { Architecture } from './runtime.ts';

export interface DebOptions {
  readonly version: string;
  readonly architecture: Architecture;
  /** Seconds since 1970. */
  readonly epoch: number;
  /** xz preset: 6 for what is published, 1 where time matters more than size. */
  readonly level: number;
}

/** glibc and libstdc++ of what Node.js 24 is built for; Debian 12, Ubuntu 20.04 and later have them in every installation. */
const depends = 'libc6 (>= 2.28), libstdc++6 (>= 9), libgcc-s1';

/** Adds DEBIAN/ to `tree` and writes the package into `outdir`; returns its path. */
export function buildDeb(tree: string, outdir: string, { version, architecture, epoch, level }: DebOptions): string {
  const debian = join(tree, 'DEBIAN');
  const files = filesOf(tree);
  const kilobytes = files.reduce((sum, file) => sum + Math.ceil(statSync(join(tree, file)).size / 1024), 0);
  const sums = files.map((file) => `${md5(readFileSync(join(tree, file)))}  ${file}\n`).join('');
  mkdirSync(debian);
  const control = (name: string, text: string) => writeFileSync(join(debian, name), text);
  control(
    'control',
    `Package: v6edge
Version: ${version}
Architecture: ${architecture}
Maintainer: the v6edge authors <v6edge@localhost>
Installed-Size: ${kilobytes}
Depends: ${depends}
Section: net
Priority: optional
Description: edge of an IPv6-only Kubernetes cluster in one daemon
 TCP proxy with PROXY protocol, DNS server with signed dynamic updates and
 forwarding, and router advertisements, in place of HAProxy, BIND and radvd.
 Brings the Node.js it runs on.
`,
  );
  control('md5sums', sums);
  control('conffiles', '/etc/v6edge/v6edge.yaml\n');
  for (const script of ['postinst', 'prerm', 'postrm']) {
    copyFileSync(join(root, 'packaging', script), join(debian, script));
  }
  for (const name of readdirSync(debian)) {
    chmodSync(join(debian, name), /^p(ost|re)/.test(name) ? 0o755 : 0o644);
    utimesSync(join(debian, name), epoch, epoch);
  }
  chmodSync(debian, 0o755);
  for (const folder of [debian, tree]) utimesSync(folder, epoch, epoch);
  mkdirSync(outdir, { recursive: true });
  const deb = join(outdir, `v6edge_${version}_${architecture}.deb`);
  // One thread: how xz cuts its input into blocks depends on the number of threads.
  const compression = ['-Zxz', `-z${level}`, '--threads-max=1'];
  execFileSync('dpkg-deb', ['--root-owner-group', ...compression, '--build', tree, deb], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return deb;
}

/** Every plain file below, sorted, relative to `tree`. */
function filesOf(tree: string): string[] {
  return readdirSync(tree, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(tree, join(entry.parentPath, entry.name)))
    .sort();
}

function md5(content: Buffer): string {
  return createHash('md5').update(content).digest('hex');
}
