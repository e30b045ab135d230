/** In the bundle, in place of node-gyp-build-optional-packages: lmdb's binary, from where the package has it. */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** What lmdb calls for its native part. */
export default function loadNative(): unknown {
  return require(`@lmdb/lmdb-linux-${process.arch}/node.napi.glibc.node`);
}
