#!/bin/bash
# On a control plane: v6edge as the receiving end of the PROXY protocol, on UNWRAP_PORT in front of kube-apiserver, which does not
# read it. Real client addresses are then in the log of v6edge here (journalctl -u v6edge), one line a session.
#
#   unwrap.sh [--package FILE.deb] [--dry-run] [--verbose] [--env FILE]
#   unwrap.sh --remove [--dry-run] [--env FILE]
#
# It prints what the edge's configuration needs for it. The audit log of the API server goes on showing this host: only the
# connection's own log knows better. Run it again at any time; the way past it, straight to 6443, stays open.
#
#   --package FILE   the package of v6edge (v6edge_VERSION_ARCH.deb) to install; needed unless it is installed
#   --remove         stop it and take its configuration away; the package stays
#   --dry-run, -n    print what would be done, and the configuration
#   --env FILE       the cluster's settings (/etc/v6edge-node/edge.env)
#   --join FILE      this node's settings, for its name (/etc/v6edge-node/join.env); may be missing

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit

CONFIG=/etc/v6edge/v6edge.yaml
MARK='# Written by unwrap.sh'

# Whether the file there is ours, or the one that the package brings, which does nothing.
ours_to_write() {
  [ ! -e "$ROOT$CONFIG" ] || head -n 3 "$ROOT$CONFIG" | grep -qE "^($MARK|# v6edge: what this edge does\. As installed: nothing)"
}

install_package() {
  if [ -z "$FLAG_PACKAGE" ]; then
    if have v6edge; then return; fi
    if [ -z "$DRY_RUN" ]; then
      usage_error 'v6edge is not installed here' 'Bring the package that the edge was installed from, then: unwrap.sh --package ./v6edge_VERSION_ARCH.deb'
    fi
    warn 'before it is done for real: v6edge is not installed here, so --package FILE.deb is needed'
    return
  fi
  [ -f "$FLAG_PACKAGE" ] || usage_error "there is no file $FLAG_PACKAGE" 'Give the path of the package: --package ./v6edge_VERSION_ARCH.deb'
  # The path from / on: apt-get takes what has no slash for the name of a package.
  once unwrap-package "$(sha256sum <"$FLAG_PACKAGE")" \
    run env DEBIAN_FRONTEND=noninteractive apt-get install -y "$(realpath "$FLAG_PACKAGE")"
}

remove_unwrap() {
  if ! grep -qs "^$MARK" "$ROOT$CONFIG"; then
    log "unwrap.sh has not been here ($CONFIG is not its): nothing to do"
    return
  fi
  run systemctl disable --now v6edge.service
  remove "$CONFIG" "$STATE_DIR/steps/unwrap"
  done_log 'v6edge is stopped. On the edge, take port and proxyProtocol of the pool back as they were.'
}

install_unwrap() {
  need_interfaces
  need_private_address
  [ "$UNWRAP_PORT" != 6443 ] || usage_error 'UNWRAP_PORT is 6443, which is kube-apiserver'"'"'s own' 'Give it another in edge.env, as 7443.'
  ours_to_write || usage_error "$CONFIG is there and not written by this script" \
    'This host does something else with v6edge: add the listener of manifests/unwrap/v6edge.yaml to it by hand.'
  install_package
  local config
  config=$(render "$BOOTSTRAP/manifests/unwrap/v6edge.yaml")
  write_file "$CONFIG" <<<"$config"
  run v6edge check --config "$ROOT$CONFIG"
  # Its sockets outlive a restart, so that nobody is turned away.
  once unwrap "$config" run systemctl restart v6edge.service
  run systemctl enable --now v6edge.service
  cat <<END
On the edge, in the pool of the masters:

  proxyProtocol: v2
  check: { type: https, path: /readyz, host: kubernetes.default }
  members: # and the other control planes
    - { name: $NODE_NAME, address: "$NODE_ADDRESS", port: $UNWRAP_PORT }

or, where control planes announce themselves, in edge.env of each, followed by announce.sh (with v6edge node token: in
join.services.controlPlane of the edge):

  SRV_CONTROL_PLANE="_kube-api._tcp:$UNWRAP_PORT"

All members of that pool have to read the header: run unwrap.sh on every control plane first, then change the edge.
END
}

parse_options --package= --remove -- "$@"
no_arguments
load_settings
need_root
lock
NODE_NAME=
if [ -f "${JOIN_FILE:-$ROOT$CONFIG_DIR/join.env}" ]; then load_join; else node_name; fi
if [ -n "$FLAG_REMOVE" ]; then remove_unwrap; else install_unwrap; fi
