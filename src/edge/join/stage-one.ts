/**
 * The script that `curl … | bash -s` runs on a node. All of it is in a function that its last line calls, so that of a download
 * that was cut nothing runs. It fetches the bundle, and runs nothing of it before it knows that the bundle is whole and that its
 * scripts and settings are those that this script names: who has checked this script's sum has checked them all.
 */
import { assert } from '../../core/errors.ts';

export interface StageOne {
  /** `http://[fd00:6:6::1]:8654/join/TOKEN` */
  readonly url: string;
  /** The only name that the token is good for. */
  readonly name: string | undefined;
  /** `scriptsDigest` of the bundle. */
  readonly digest: string;
}

/** The script; the same for the same token as long as scripts and settings are the same. */
export function stageOne({ url, name, digest }: StageOne): string {
  // Nothing of a request's gets here; this is against ourselves.
  assert(
    /^http:\/\/[\w.:[\]-]+\/join\/[\w-]+$/.test(url) &&
      /^[a-z0-9-]*$/.test(name ?? '') &&
      /^[0-9a-f]{64}$/.test(digest),
    'stage one',
  );
  return template
    .replace('@URL@', url)
    .replace('@NAME@', name ?? '')
    .replace('@DIGEST@', digest);
}

const template = String.raw`#!/bin/bash
# Takes this machine into the cluster behind the edge that this script came from. Options: --name NAME, the node's name if it is
# not to be the host's; all others go to node-bootstrap/join.sh.
v6edge_join() {
  set -euo pipefail
  umask 077
  local url='@URL@' name='@NAME@' digest='@DIGEST@'
  local state=/var/lib/v6edge-node work bundle tool code sum try
  fail() {
    printf 'v6edge join: %s\n' "$@" >&2
    exit 1
  }
  if [ "$EUID" -ne 0 ]; then fail 'this needs root: end the command with "| sudo bash -s"'; fi
  for tool in curl tar gzip sha256sum; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install $tool"
  done
  if [ "$#" -gt 1 ] && [ "$1" = --name ]; then
    if [ -n "$name" ] && [ "$name" != "$2" ]; then fail "the token is for a node named $name alone"; fi
    name=$2
    shift 2
  fi
  if [ -z "$name" ]; then name=$(uname -n); fi
  name=$(printf '%s\n' "$name" | cut -d . -f 1 | tr '[:upper:]' '[:lower:]')
  if ! [[ $name =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || [ "$name" = localhost ]; then
    fail "\"$name\" cannot be a node's name: hostnamectl set-hostname NAME, or end the command with \"| bash -s -- --name NAME\""
  fi

  mkdir -p "$state"
  work=$(mktemp -d "$state/join.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  bundle=''
  for try in 1 2 3 4 5; do
    code=$(curl -gsS --connect-timeout 10 --max-time 120 -D "$work/head" -o "$work/bundle.tar.gz" -w '%{http_code}' "$url/bundle?name=$name") || code='cut'
    case $code in
      200)
        sum=$(sed -n 's/^v6edge-sha256: \([0-9a-f]*\).*/\1/ip' "$work/head")
        if [ "$sum" = "$(sha256sum <"$work/bundle.tar.gz" | cut -c 1-64)" ]; then
          bundle=$work/bundle.tar.gz
          break
        fi
        echo 'v6edge join: what came is not whole' >&2
        ;;
      404) fail 'the edge refuses: the token is wrong, used or expired. On the edge: v6edge node token create' ;;
      4?? | 501) if [ "$code" != 429 ]; then fail "the edge says: $(head -c 1000 "$work/bundle.tar.gz")"; fi ;;
    esac
    echo "v6edge join: no bundle yet ($code); try $try of 5" >&2
    sleep "$try"
  done
  if [ -z "$bundle" ]; then fail 'the edge does not give the bundle; run the same command again within ten minutes'; fi

  mkdir "$work/bundle"
  tar -xzf "$bundle" -C "$work/bundle" --no-same-owner
  if [ -n "$(find "$work/bundle" ! -type f ! -type d)" ]; then fail 'the bundle has more than files in it: nothing of it was run'; fi
  sum=$(cd "$work/bundle" && find edge.env node-bootstrap -type f | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -c 1-64)
  if [ "$sum" != "$digest" ]; then
    fail 'scripts or settings are not those that this script came with: nothing of them was run.' \
      'If the edge was changed this minute, run the same command again.'
  fi
  rm -rf "$state/bundle"
  mv "$work/bundle" "$state/bundle"
  curl -gsS --max-time 20 -o /dev/null -X POST "$url/done" || echo 'v6edge join: the edge was not told; its token ends by itself' >&2
  rm -rf "$work"
  trap - EXIT

  bundle=$state/bundle
  echo "v6edge join: $name has all it needs, in $bundle; to run this part alone:"
  echo "  bash $bundle/node-bootstrap/join.sh --env $bundle/edge.env --join $bundle/join.env"
  bash "$bundle/node-bootstrap/join.sh" --env "$bundle/edge.env" --join "$bundle/join.env" "$@" </dev/null
}
{ v6edge_join "$@"; }
`;
