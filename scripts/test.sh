#!/bin/bash
# npm test: system packages, formatting and lint, types, then every test. Arguments go to tap (files to run, for example).
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/node_modules/.bin:$PATH

if [ "$EUID" -eq 0 ]; then
  scripts/system-packages.sh
  test/e2e/rootfs.sh >/dev/null # so that no test has to wait for it
else
  echo 'Not root: tests that need network namespaces, raw sockets or privileged ports are left out.'
  scripts/system-packages.sh --check || echo 'Tests that use them fail. scripts/system-packages.sh, as root, installs them.'
fi
biome check . --error-on-warnings
tsc
tsc -p src/edge/admin/dashboard
# tap comes built with its TypeScript plugin, which Node's own type stripping replaces and package.json leaves out. By
# itself tap notices too late: its first run would still load the plugin.
if grep -q @tapjs/typescript node_modules/@tapjs/test/test-built/dist/esm/index.js; then tap build; fi
exec tap --reporter=./test/report.ts "$@"
