/** The package under test, and one that is newer. */
import { readFileSync, writeFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mustExec } from '../lab/process.ts';

const root = join(import.meta.dirname, '../..');
const buildMs = 300_000;

export interface Deb {
  readonly version: string;
  readonly path: string;
  bytes(): Promise<Buffer>;
}

/** Builds the package; V6EDGE_TEST_DEB is one that is there already. */
export async function packageFile(folder: string): Promise<Deb> {
  const given = process.env.V6EDGE_TEST_DEB;
  if (given !== undefined) return await debOf(given);
  const out = join(folder, 'dist');
  const program = [process.execPath, join(root, 'scripts/package.ts'), '--level', '0', '--out', out];
  await mustExec(program, { timeoutMs: buildMs, env: { NODE_OPTIONS: '' } });
  const [name] = await readdir(out);
  return await debOf(join(out, name!));
}

/** The same as a later version: what control file and program say of themselves. */
export async function newerPackage({ path, version }: Deb, folder: string): Promise<Deb> {
  const newer = version.replace(/\d+$/, (patch) => String(Number(patch) + 1));
  const tree = join(folder, 'newer');
  await mustExec(['dpkg-deb', '-R', path, tree], { timeoutMs: buildMs });
  const rewrite = (file: string, from: string, to: string) => {
    const text = readFileSync(join(tree, file), 'utf8');
    if (text.includes(from)) writeFileSync(join(tree, file), text.replaceAll(from, to));
  };
  rewrite('DEBIAN/control', `Version: ${version}\n`, `Version: ${newer}\n`);
  const app = 'usr/lib/v6edge/app';
  for (const file of (await readdir(join(tree, app))).filter((name) => name.endsWith('.js')))
    rewrite(`${app}/${file}`, `"${version}"`, `"${newer}"`);
  const out = join(folder, `v6edge_${newer}.deb`);
  await mustExec(['dpkg-deb', '--root-owner-group', '-Znone', '--build', tree, out], { timeoutMs: buildMs });
  return await debOf(out);
}

async function debOf(path: string): Promise<Deb> {
  const version = (await mustExec(['dpkg-deb', '-f', path, 'Version'])).trim();
  return { version, path, bytes: () => readFile(path) };
}
