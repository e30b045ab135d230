/**
 * Node.js's own modules as the bundle gets them: by `process.getBuiltinModule`, not by `import`.
 *
 * For an imported one Node.js reads every export, to make an ES module of it, and some are getters that load more: `http` brings a
 * WebSocket and with it undici, `fs` its promises and with them readline: 1.5 MB of the control thread’s heap, 0.4 MB of a data thread’s, that nobody uses.
 */
import { builtinModules } from 'node:module';
import type { Plugin } from 'esbuild';

const names = new Set(builtinModules);
const namespace = 'builtin';

/** Only what is used of a module is read. `require` of the libraries is left as it is: it reads nothing. */
export const builtins: Plugin = {
  name: 'builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[a-z]/ }, ({ path, kind }) => {
      const name = path.replace(/^node:/, '');
      if (kind !== 'import-statement' || !names.has(name)) return undefined;
      return { path: name, namespace, sideEffects: false };
    });
    onLoad({ filter: /.*/, namespace }, ({ path }) => ({ contents: moduleText(path) }));
  },
};

function moduleText(name: string): string {
  const exports = Object.getOwnPropertyNames(process.getBuiltinModule(name))
    .filter((one) => /^[A-Za-z_]\w*$/.test(one) && one !== 'default')
    .sort()
    // Marked as pure, a read that nobody needs is left out.
    .map((one) => `export const ${one} = /* @__PURE__ */ (() => builtin.${one})();`);
  return [`const builtin = process.getBuiltinModule('node:${name}');`, 'export default builtin;', ...exports].join(
    '\n',
  );
}
