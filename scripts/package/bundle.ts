/** The program as the package has it: a minified bundle of control and data threads, in parts that load when first used. */
import { dirname, join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { builtins } from './builtins.ts';

/** Where the checkout begins. */
export const root = join(import.meta.dirname, '../..');

/** What zod says when a value is bad, in fifty languages that its index refers to: one is enough. */
const oneLanguage: Plugin = {
  name: 'one-language',
  setup({ onLoad }) {
    onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, ({ path }) => ({
      contents: "export { default as en } from './en.js';",
      resolveDir: dirname(path),
    }));
  },
};

/** What libraries load in cases that v6edge does not have, and would take half of the bundle. */
const neverLoaded: Plugin = {
  name: 'never-loaded',
  setup({ onResolve, onLoad }) {
    const filter = /^(@fastify\/ajv-compiler|@fastify\/fast-json-stringify-compiler|light-my-request)$/;
    onResolve({ filter }, ({ path }) => ({ path, namespace: 'never-loaded' }));
    onLoad({ filter: /.*/, namespace: 'never-loaded' }, ({ path }) => ({
      contents: `throw new Error('${path} is not part of this package');`,
    }));
  },
};

/** What a process or a thread starts with. */
const entries = ['main', 'worker', 'config-reader'].map((name) => `src/edge/${name}.ts`);

/** Bundles the program into `outdir`; resolves to the folders of the npm packages that went in. */
export async function bundle(outdir: string): Promise<string[]> {
  // Apart: parts shared between them would bring what one thread needs into the other's memory.
  const inputs = await Promise.all(entries.map((entry) => bundleOne(entry, outdir)));
  const folders = inputs.flat().map(packageFolder);
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort();
}

/** Resolves to the paths of all files that went in. */
async function bundleOne(entry: string, outdir: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outdir,
    bundle: true,
    minify: true,
    keepNames: true, // the name of an error's class is read by people
    splitting: true,
    chunkNames: 'part-[hash]',
    format: 'esm',
    platform: 'node',
    target: 'node24',
    charset: 'ascii', // V8 keeps a text with any other letter in twice the memory
    legalComments: 'none', // the package has a file with all licences
    preserveSymlinks: true, // the same bytes wherever node_modules is
    metafile: true,
    logLevel: 'warning',
    plugins: [oneLanguage, builtins, neverLoaded],
    alias: { 'node-gyp-build-optional-packages': join(import.meta.dirname, 'lmdb-native.ts') },
    // CommonJS libraries ask for Node's own modules by `require`, which an ES module does not have.
    banner: {
      js: "import{createRequire as v6edgeRequire}from'node:module';const require=v6edgeRequire(import.meta.url);",
    },
  });
  return Object.keys(metafile.inputs);
}

/** `node_modules/a/b.js` is of `node_modules/a`, `node_modules/@s/a/node_modules/b/c.js` of `node_modules/@s/a/node_modules/b`. */
function packageFolder(input: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
}
