#!/bin/sh
# The installed v6edge: the Node.js that came with it runs the bundle beside it; any folder, any symbolic link to this file.
self=$(readlink -f -- "$0") || exit 1
root=${self%/bin/*}
# By itself V8 gives new objects up to 16 MiB thrice in each thread, and old ones in proportion: a flood's garbage takes twice the memory.
# And it has several threads collect them together, which on busy cores wait for each other longer than one takes.
exec "$root/bin/node" --max-semi-space-size=4 --no-parallel-scavenge --disable-warning=ExperimentalWarning "$root/app/main.js" "$@"
