# What cluster.sh and storage.sh share: kubectl with the administrator's rights, manifests rendered to where they can be read
# afterwards, and files of other projects by version and checksum. Sourced after lib.sh.
# shellcheck shell=bash

MANIFEST_DIR=$STATE_DIR/manifests
ADMIN_CONF=/etc/kubernetes/admin.conf

# need_kubectl: sets KUBECTL, a command with the cluster's name in it.
need_kubectl() {
  local config=${KUBECONFIG-}
  if [ -z "$config" ]; then config=$ROOT$ADMIN_CONF; fi
  KUBECTL=(kubectl --kubeconfig "$config")
  if [ -n "$DRY_RUN" ]; then return; fi
  have kubectl || die 'there is no kubectl' 'Run this on a control plane, or install kubectl and set KUBECONFIG.'
  [ -f "$config" ] || die "there is no $config" \
    'Run this on a control plane after control-plane.sh, or set KUBECONFIG to an administrator'"'"'s.'
  "${KUBECTL[@]}" get --raw=/readyz >/dev/null 2>&1 || die "the API server of $config does not answer" \
    "Say: kubectl --kubeconfig $config get --raw='/readyz?verbose'; crictl ps -a shows whether it runs."
}

# place NAME: renders manifests/NAME to below MANIFEST_DIR, where kubectl takes it from.
place() { render "$BOOTSTRAP/manifests/$1" | write_file "$MANIFEST_DIR/$1"; }

# Server-side: other managers' fields stay, and upstream's large CRDs do not have to fit into an annotation.
apply() { run "${KUBECTL[@]}" apply --server-side --force-conflicts --field-manager=v6edge-bootstrap "$@"; }

# place_and_apply NAME
place_and_apply() {
  place "$1"
  apply -f "$ROOT$MANIFEST_DIR/$1"
}

# checksum FILE: its SHA-256, or nothing.
checksum() { if [ -f "$1" ]; then sha256sum <"$1" | cut -c 1-64; fi; }

# download FILE URL…: what lies there, one after the other.
download() {
  local file=$1
  shift
  curl -fsSL --fail-early --connect-timeout 10 --max-time 120 "$@" >"$file"
}

# fetch NAME VARIABLE URL…: gets another project's files, one after the other, to MANIFEST_DIR/NAME, where nothing comes to lie
# that has not the SHA-256 that the variable (of edge.env or versions.env) holds.
fetch() {
  local name=$1 variable=$2 wanted=${!2-} file=$ROOT$MANIFEST_DIR/$1 part got
  shift 2
  if [ -n "$wanted" ] && [ "$(checksum "$file")" = "$wanted" ]; then return; fi
  if [ -n "$DRY_RUN" ]; then
    printf 'would fetch: %s\n' "$@"
    echo "  to $MANIFEST_DIR/$name, SHA-256 ${wanted:-to be told with $variable in edge.env}"
    return
  fi
  mkdir -p "${file%/*}"
  part=$file.part
  FAILURE_HINT="Nothing was changed. This node needs NAT64 for hosts without IPv6 (github.com); or bring the file to $file yourself." \
    retry 4 download "$part" "$@"
  got=$(checksum "$part")
  if [ "$got" != "$wanted" ]; then
    rm -f "$part"
    if [ -z "$wanted" ]; then
      die "no checksum of $name is known" "What came from ${*} has SHA-256 $got" \
        "Compare it with what the project publishes, or with what another machine gets; then in edge.env: $variable=$got"
    fi
    die "$name is not the file it should be" "wanted SHA-256 $wanted" "got            $got, from ${*}" \
      "Nothing was applied. A proxy on the way? Another version needs its checksum as well: $variable in edge.env."
  fi
  mv -fT "$part" "$file"
  log "fetched: $name"
}

# wait_for WHAT…: arguments of kubectl rollout status, after a hint about what usually keeps it.
wait_for() {
  local hint=$1
  shift
  FAILURE_HINT=$hint run "${KUBECTL[@]}" rollout status --timeout=5m "$@"
}
