/** The program as the package has it: a minified bundle of control and data threads, in parts that load when first used. */
import { join } from 'node:path';
import { build } from 'esbuild';

/** Where the checkout begins. */
export const root = join(import.meta.dirname, '../..');

/** Bundles src/edge/main.ts and worker.ts into `outdir`; resolves to the folders of the npm packages that went in. */
export async function bundle(outdir: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/edge/main.ts', 'src/edge/worker.ts'],
    outdir,
    bundle: true,
    minify: true,
    keepNames: true, // the name of an error's class is read by people
    splitting: true,
    chunkNames: 'part-[hash]',
    format: 'esm',
    platform: 'node',
    target: 'node24',
    charset: 'utf8',
    legalComments: 'none', // the package has a file with all licences
    preserveSymlinks: true, // the same bytes wherever node_modules is
    metafile: true,
    logLevel: 'warning',
    alias: { 'node-gyp-build-optional-packages': join(import.meta.dirname, 'lmdb-native.ts') },
    // CommonJS libraries ask for Node's own modules by `require`, which an ES module does not have.
    banner: {
      js: "import{createRequire as v6edgeRequire}from'node:module';const require=v6edgeRequire(import.meta.url);",
    },
  });
  const folders = Object.keys(metafile.inputs).map(packageFolder);
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort();
}

/** `node_modules/a/b.js` is of `node_modules/a`, `node_modules/@s/a/node_modules/b/c.js` of `node_modules/@s/a/node_modules/b`. */
function packageFolder(input: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
}
