#!/bin/bash
# Installs kubelet, kubeadm and kubectl of one minor version, held, with what they and Calico use; turns swap off for good.
#
#   kubernetes.sh [--dry-run] [--verbose] [--env FILE]
#
# Packages come from KUBERNETES_REPOSITORY, whose key is checked. Run again it changes what differs; a node that is in a cluster is not
# taken to another minor version.
#
#   --dry-run, -n    print what would be done
#   --env FILE       the cluster's settings (/etc/v6edge-node/edge.env)
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit
# shellcheck source=packages.sh
. "$BOOTSTRAP/packages.sh"

# Beside them: packet filters for kube-proxy and Calico, connection tracking, NFS mounts of volumes, nsupdate, and openssl for the CA's hash.
TOOLS=(iptables nftables conntrack nfs-common bind9-dnsutils openssl)

# The kubelet does not start while there is swap (failSwapOn).
swap_off() {
  local unit
  if [ "$(wc -l <"$ROOT/proc/swaps")" -gt 1 ]; then run swapoff -a; fi
  if [ -f "$ROOT/etc/fstab" ]; then
    sed -E 's/^([^#].*[[:space:]]swap[[:space:]].*)$/# off for Kubernetes: \1/' "$ROOT/etc/fstab" | write_file /etc/fstab "$(stat -c %a "$ROOT/etc/fstab")"
    if [ "$WRITTEN" = changed ]; then run systemctl daemon-reload; fi
  fi
  systemctl list-units --type=swap --plain --no-legend 2>/dev/null | while read -r unit _; do
    if [ -n "$unit" ]; then run systemctl mask "$unit"; fi
  done
}

main() {
  parse_options -- "$@"
  no_arguments
  need_root
  lock
  load_settings
  swap_off
  add_repository kubernetes "$KUBERNETES_REPOSITORY" "$KUBERNETES_KEY_FINGERPRINT"
  install_minor "$KUBERNETES_MINOR" kubelet kubeadm kubectl
  install_packages "${TOOLS[@]}"
  # It waits for kubeadm's configuration, and starts with it.
  run systemctl enable kubelet
  done_log "kubelet, kubeadm and kubectl $KUBERNETES_MINOR are there, and held"
}
main "$@"
