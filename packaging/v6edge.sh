#!/bin/sh
# The installed v6edge: the Node.js that came with it runs the bundle beside it; any folder, any symbolic link to this file.
self=$(readlink -f -- "$0") || exit 1
root=${self%/bin/*}
# By itself V8 gives new objects up to 16 MiB thrice in each thread, and old ones in proportion: a flood's garbage takes twice the memory.
exec "$root/bin/node" --max-semi-space-size=4 --disable-warning=ExperimentalWarning "$root/app/main.js" "$@"
