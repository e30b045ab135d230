/** The files of the package, laid out as on an edge host. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { bundle, root } from './bundle.ts';
import { licenceList } from './licences.ts';
import { commandPage, configurationPage } from './manual.ts';
import type { NativePackage } from './runtime.ts';

/** What is installed and when it was made. */
export interface TreeOptions {
  readonly version: string;
  /** Seconds since 1970: the time of every file. */
  readonly epoch: number;
  readonly natives: readonly NativePackage[];
}

const home = 'usr/lib/v6edge';

/** Fills `tree`, an empty folder. */
export async function layOut(tree: string, { version, epoch, natives }: TreeOptions): Promise<void> {
  const put = (path: string, content: string | Buffer, mode = 0o644) => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
    chmodSync(join(tree, path), mode);
  };
  const copy = (from: string, to: string, mode = 0o644) => put(to, readFileSync(join(root, from)), mode);

  const folders = await bundle(join(tree, home, 'app'));
  for (const [to, from] of dashboardFiles()) copy(from, `${home}/app/dashboard/${to}`);
  for (const { name, folder, files } of natives) {
    const isNode = name.startsWith('node-linux-');
    for (const file of files) {
      const to = isNode ? `${home}/${file}` : `${home}/node_modules/${name}/${file}`;
      mkdirSync(dirname(join(tree, to)), { recursive: true });
      copyFileSync(join(folder, file), join(tree, to));
      chmodSync(join(tree, to), isNode ? 0o755 : 0o644);
    }
  }
  // What nodes that join get (`join` in the configuration).
  const scripts = 'scripts/node-bootstrap';
  for (const file of filesIn(scripts)) copy(join(scripts, file), `${home}/node-bootstrap/${file}`);
  put(`${home}/package.json`, `${JSON.stringify({ name: 'v6edge', version, type: 'module' })}\n`);
  copy('packaging/v6edge.sh', `${home}/bin/v6edge`, 0o755);
  mkdirSync(join(tree, 'usr/bin'));
  symlinkSync('../lib/v6edge/bin/v6edge', join(tree, 'usr/bin/v6edge'));

  copy('packaging/v6edge.yaml', 'etc/v6edge/v6edge.yaml');
  mkdirSync(join(tree, 'etc/v6edge/keys'));
  for (const unit of ['v6edge.service', 'v6edge.socket']) copy(`systemd/${unit}`, `usr/lib/systemd/system/${unit}`);
  copy('packaging/sysusers.conf', 'usr/lib/sysusers.d/v6edge.conf');
  copy('packaging/tmpfiles.conf', 'usr/lib/tmpfiles.d/v6edge.conf');

  const program = [process.execPath, join(root, 'src/edge/main.ts')];
  const edition = { version, date: new Date(epoch * 1000).toISOString().slice(0, 10) };
  put('usr/share/man/man1/v6edge.1.gz', gzip(commandPage(program, edition)));
  put('usr/share/man/man5/v6edge.yaml.5.gz', gzip(configurationPage(edition)));
  put('usr/share/bash-completion/completions/v6edge', completion(program, '/bin/bash'));
  put('usr/share/zsh/vendor-completions/_v6edge', completion(program, '/bin/zsh'));

  const doc = 'usr/share/doc/v6edge';
  const npmPackages = [...folders, 'node_modules/uplot', ...natives.map(({ folder }) => folder)];
  put(`${doc}/copyright`, licenceList(npmPackages));
  put(`${doc}/changelog.gz`, gzip(readFileSync(join(root, 'CHANGELOG.md'), 'utf8')));
  copy('README.md', `${doc}/README.md`);
  for (const file of filesIn('docs')) copy(join('docs', file), `${doc}/docs/${file}`);
  // Not the examples' key and token: nobody should have those.
  const monitoring = filesIn('examples/monitoring').map((file) => `monitoring/${file}`);
  for (const file of ['reference.yaml', 'cluster.test.zone', 'cluster-ca.crt', ...monitoring])
    copy(`examples/${file}`, `${doc}/examples/${file}`);
  settle(tree, epoch);
}

/** The dashboard's files and where they come from. */
function dashboardFiles(): [to: string, from: string][] {
  const folder = 'src/edge/admin/dashboard';
  const own = readdirSync(join(root, folder)).filter((file) => /\.(html|css|js|svg)$/.test(file));
  return [
    ...own.sort().map((file): [string, string] => [file, join(folder, file)]),
    ['uplot.js', 'node_modules/uplot/dist/uPlot.esm.js'],
    ['uplot.css', 'node_modules/uplot/dist/uPlot.min.css'],
  ];
}

/** The files of a folder and of those in it, without hidden ones. */
function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(join(root, folder), join(entry.parentPath, entry.name)))
    .filter((file) => !/(^|\/)\./.test(file))
    .sort();
}

/** gzip without a time in it. */
function gzip(text: string): Buffer {
  return gzipSync(text, { level: 9 });
}

function completion(program: readonly string[], shell: string): string {
  const env = { ...process.env, SHELL: shell, ZSH_NAME: '' };
  return execFileSync(program[0]!, [...program.slice(1), 'completion'], { encoding: 'utf8', env });
}

/** Modes and times that do not depend on who builds, where and when. */
function settle(path: string, epoch: number): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) settle(child, epoch);
    else {
      if (entry.isFile() && !/\/bin\//.test(child)) chmodSync(child, 0o644);
      lutimesSync(child, epoch, epoch);
    }
  }
  chmodSync(path, 0o755);
  lutimesSync(path, epoch, epoch);
}
