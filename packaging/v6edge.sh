#!/bin/sh
# The installed v6edge: the Node.js that came with it runs the bundle beside it; any folder, any symbolic link to this file.
self=$(readlink -f -- "$0") || exit 1
root=${self%/bin/*}
exec "$root/bin/node" --disable-warning=ExperimentalWarning "$root/app/main.js" "$@"
