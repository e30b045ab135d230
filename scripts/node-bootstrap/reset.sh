#!/bin/bash
# Takes this node out of its cluster, back to where join.sh found it once packages and network were there: it can join again.
#
#   reset.sh --yes [--withdraw] [--dry-run] [--env FILE] [--join FILE]
#
# Before it, from where kubectl is: kubectl drain NODE --ignore-daemonsets --delete-emptydir-data; kubectl delete node NODE
#
# It leaves the edge's pools, has kubeadm undo what it did, and removes pods, mounts, interfaces and packet filter rules of Kubernetes and
# Calico with their files: no others. What fails is told at the end; run again, it does what is left. On a control plane etcd's data goes,
# of the last one the whole cluster.
#
#   --yes        this is meant
#   --withdraw   take the node's name from the DNS, too: it will not come back under it
#   --dry-run    print what would be done; needs no --yes
#   --env FILE   the cluster's settings (/etc/v6edge-node/edge.env)
#   --join FILE  this node's settings (/etc/v6edge-node/join.env)
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit

SOCKET=unix:///var/run/crio/crio.sock
# Calico's and kube-proxy's: cali* and friends (felix dataplanedefs), and nobody else's.
INTERFACES='^(cali[0-9a-f]+|vxlan\.calico|vxlan-v6\.calico|wireguard\.cali|wg-v6\.cali|kube-ipvs0)$'
CHAINS='(^|[ :-])(KUBE-|cali[-:])'
FAILED=()

# attempt COMMAND…: as run, but what fails is told at the end.
attempt() { if ! (run "$@"); then FAILED+=("$(quoted "$@")"); fi; }

leave_pools() {
  if [ ! -f "$ROOT$CONFIG_DIR/edge.env" ] && [ -z "$ENV_FILE" ]; then return; fi
  if [ -n "$FLAG_WITHDRAW" ]; then
    attempt bash "$BOOTSTRAP/announce.sh" --withdraw
  elif [ -f "$ROOT/etc/systemd/system/v6edge-member.service" ]; then
    # Its name goes on being announced; its memberships are back when it has joined again.
    attempt systemctl disable --now v6edge-member.service
  fi
}

# Stops the kubelet, removes pods by CRI, leaves etcd's member list.
kubeadm_reset() {
  if have kubeadm; then attempt kubeadm reset --force --cri-socket "$SOCKET" --cleanup-tmp-dir; fi
  if systemctl cat kubelet.service >/dev/null 2>&1; then attempt systemctl stop kubelet; fi
}

pods() {
  if systemctl is-active --quiet crio; then
    if have crictl; then attempt crictl --runtime-endpoint "$SOCKET" rmp --force --all; fi
    attempt systemctl stop crio
  fi
}

mounts() {
  local mount
  { findmnt --raw --noheadings --output TARGET || true; } |
    grep -E '^(/var/lib/kubelet/|/run/netns/|/var/run/netns/|/run/calico/)' | sort -r >"$WORK/mounts" || true
  while read -r mount; do attempt umount --lazy "$(printf %b "$mount")"; done <"$WORK/mounts"
}

# The folder /etc/cni/net.d stays: CRI-O watches it, and would not see another of that name.
files() {
  if [ -n "$(findmnt --raw --noheadings --output TARGET 2>/dev/null | grep '^/var/lib/kubelet/' || true)" ] && [ -z "$DRY_RUN" ]; then
    FAILED+=('something is still mounted below /var/lib/kubelet, which was left: fuser -vm, then run this again')
  else
    remove /var/lib/kubelet
  fi
  remove /etc/kubernetes /var/lib/etcd /var/run/kubernetes \
    /etc/cni/net.d/10-calico.conflist /etc/cni/net.d/calico-kubeconfig /etc/cni/net.d/calico-tls \
    /var/lib/cni /var/lib/calico /var/run/calico /var/run/nodeagent /var/log/calico /root/.kube/config
  # A kubelet that is installed expects its folder of static pods.
  if have kubelet && [ -z "$DRY_RUN" ]; then mkdir -p "$ROOT/etc/kubernetes/manifests"; fi
  # Its memberships are to be announced again when it has joined again.
  remove "$STATE_DIR/steps/announce"
}

interfaces() {
  local name
  ip -o link show | while IFS=' :@' read -r _ name _; do
    if [[ $name =~ $INTERFACES ]]; then echo "$name"; fi
  done >"$WORK/interfaces"
  while read -r name; do attempt ip link delete "$name"; done <"$WORK/interfaces"
}

# Whole rule sets are read, and written back without the chains of Kubernetes and Calico.
packet_filter() {
  local family table name
  for family in iptables ip6tables; do
    if ! have "$family-save" || ! "$family-save" >"$WORK/rules" 2>/dev/null; then continue; fi
    if ! grep -qE "$CHAINS" "$WORK/rules"; then continue; fi
    grep -vE "$CHAINS" "$WORK/rules" >"$WORK/kept" || true
    attempt "$family-restore" "$WORK/kept"
  done
  if have nft; then
    { nft list tables || true; } >"$WORK/tables"
    while read -r _ family table; do
      case $table in kube-proxy | calico) attempt nft delete table "$family" "$table" ;; esac
    done <"$WORK/tables"
  fi
  if have ipset; then
    { ipset list -name || true; } >"$WORK/sets"
    while read -r name; do
      case $name in cali* | KUBE-*) attempt ipset destroy "$name" ;; esac
    done <"$WORK/sets"
  fi
  if have ipvsadm; then attempt ipvsadm --clear; fi
}

main() {
  parse_options --yes --withdraw -- "$@"
  no_arguments
  need_root
  if [ -z "$FLAG_YES$DRY_RUN" ]; then
    usage_error "this wipes the cluster's state off $(hostname)" "If that is meant: $PROGRAM --yes; to see what it would do: $PROGRAM --dry-run"
  fi
  lock
  WORK=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$WORK'" EXIT
  local step
  for step in leave_pools kubeadm_reset pods mounts files interfaces packet_filter; do
    if [ -n "$VERBOSE" ]; then log "$step"; fi
    "$step"
  done
  if [ -n "$DRY_RUN" ]; then return; fi
  attempt systemctl daemon-reload
  if systemctl cat crio.service >/dev/null 2>&1; then attempt systemctl start crio; fi
  if [ ${#FAILED[@]} -gt 0 ]; then
    die "${#FAILED[@]} of it failed:" "${FAILED[@]}" 'Mend that and run this again, or reboot, which clears mounts, interfaces and rules.'
  fi
  log 'this node is in no cluster any more, and can join one: join.sh'
  log "if it was not drained: kubectl delete node $(hostname); addresses of its pods are freed as docs/bootstrap.md says"
}
main "$@"
