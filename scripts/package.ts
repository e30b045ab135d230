/**
 * `npm run package [-- --arch amd64|arm64] [--out DIR] [--level 0-9] [--tree DIR]`: dist/v6edge_VERSION_ARCH.deb.
 *
 * Two builds of one commit are equal, byte for byte: SOURCE_DATE_EPOCH, by default the time of the last commit, is the only
 * time in it. `--tree` lays the files out in a folder and makes no package.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { version } from '../src/edge/version.ts';
import { root } from './package/bundle.ts';
import { buildDeb } from './package/deb.ts';
import { type Architecture, nativePackages, npmArchitecture } from './package/runtime.ts';
import { layOut } from './package/tree.ts';

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: process.arch === 'x64' ? 'amd64' : process.arch },
    out: { type: 'string', default: join(root, 'dist') },
    level: { type: 'string', default: '6' },
    tree: { type: 'string' },
  },
});

function timeOfBuild(): number {
  const given = process.env.SOURCE_DATE_EPOCH;
  return Number(given ?? execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' }));
}

async function main(): Promise<number> {
  if (!(values.arch in npmArchitecture)) {
    process.stderr.write(`--arch ${values.arch}: amd64 or arm64\n`);
    return 2;
  }
  const architecture = values.arch as Architecture;
  const scratch = mkdtempSync(join(tmpdir(), 'v6edge-package-'));
  try {
    const tree = values.tree === undefined ? join(scratch, 'tree') : resolve(values.tree);
    mkdirSync(tree, { recursive: true });
    const epoch = timeOfBuild();
    await layOut(tree, { version: version(), epoch, natives: nativePackages(architecture, scratch) });
    if (values.tree !== undefined) return 0;
    const options = { version: version(), architecture, epoch, level: Number(values.level) };
    const deb = buildDeb(tree, resolve(values.out), options);
    process.stdout.write(`${deb} (${(statSync(deb).size / 1e6).toFixed(1)} MB)\n`);
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

process.exitCode = await main();
