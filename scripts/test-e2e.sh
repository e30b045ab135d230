#!/bin/bash
# npm run test:e2e: builds the package, installs it in a booted Debian in a container, and uses it there. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/node_modules/.bin:$PATH

if [ "$EUID" -ne 0 ]; then
  echo 'The container needs root.' >&2
  exit 1
fi
scripts/system-packages.sh
test/e2e/rootfs.sh >/dev/null # so that no test has to wait for it
if grep -q @tapjs/typescript node_modules/@tapjs/test/test-built/dist/esm/index.js; then tap build; fi
exec tap --include='test/e2e/*.e2e.ts' --timeout=900 --reporter=./test/report.ts "$@"
