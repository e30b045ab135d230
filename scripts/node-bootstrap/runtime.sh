#!/bin/bash
# Installs CRI-O, of the minor version of Kubernetes, and sets it up: systemd's control groups, mirrors of registries.
#
#   runtime.sh [--dry-run] [--verbose] [--env FILE]
#
# The package comes from CRIO_REPOSITORY, whose key is checked, and is held. Run again it changes what differs.
#
#   --dry-run, -n    print what would be done
#   --env FILE       the cluster's settings (/etc/v6edge-node/edge.env)
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit
# shellcheck source=packages.sh
. "$BOOTSTRAP/packages.sh"

SOCKET=unix:///var/run/crio/crio.sock

crio_configuration() {
  cat <<'END'
# Written by v6edge's runtime.sh; changes here are overwritten. Put yours into a file of a later name.
[crio.runtime]
# As the kubelet's, which kubeadm sets so.
cgroup_manager = "systemd"

[crio.network]
network_dir = "/etc/cni/net.d/"
plugin_dirs = ["/opt/cni/bin/"]

[crio.api]
# Streams of exec, attach and port-forward: the kubelet passes them on.
stream_address = "::1"
END
}

# containers-registries.conf(5): one table a registry, its mirrors asked in their order.
registries_configuration() {
  local one registry seen=' '
  echo "# Written by v6edge's runtime.sh; changes here are overwritten."
  for one in $REGISTRY_MIRRORS; do
    registry=${one%%=*}
    if [[ $seen = *" $registry "* ]]; then continue; fi
    seen+="$registry "
    printf '\n[[registry]]\nprefix = "%s"\nlocation = "%s"\n' "$registry" "$registry"
    local other
    for other in $REGISTRY_MIRRORS; do
      if [ "${other%%=*}" = "$registry" ]; then printf '\n[[registry.mirror]]\nlocation = "%s"\n' "${other#*=}"; fi
    done
  done
}

main() {
  parse_options -- "$@"
  no_arguments
  need_root
  lock
  load_settings
  local registries=/etc/containers/registries.conf.d/20-v6edge.conf restart=
  add_repository crio "$CRIO_REPOSITORY" "$CRIO_KEY_FINGERPRINT"
  install_minor "$KUBERNETES_MINOR" cri-o
  crio_configuration | write_file /etc/crio/crio.conf.d/20-v6edge.conf
  if [ "$WRITTEN" = changed ]; then restart=yes; fi
  if [ -n "$REGISTRY_MIRRORS" ]; then
    registries_configuration | write_file "$registries"
    if [ "$WRITTEN" = changed ]; then restart=yes; fi
  elif [ -f "$ROOT$registries" ]; then
    remove "$registries"
    restart=yes
  fi
  run systemctl enable --now crio
  if [ -n "$restart" ]; then run systemctl restart crio; fi
  FAILURE_HINT='systemctl status crio; journalctl -u crio -n 50' retry 6 test -S "$ROOT${SOCKET#unix://}"
  done_log "CRI-O $KUBERNETES_MINOR is there"
}
main "$@"
