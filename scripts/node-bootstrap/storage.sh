#!/bin/bash
# Storage for the cluster, if you want it: NFS 4.1 from one host on the private network, and the CSI driver that makes volumes of it.
#
#   storage.sh server [--dry-run] [--env FILE]    on the host with the disk (NFS_SERVER): exports NFS_SHARE to PRIVATE_SUBNET
#   storage.sh cluster [--dry-run] [--env FILE]   on a control plane: csi-driver-nfs and the StorageClass nfs
#
# Nodes mount with nfs-common, which kubernetes.sh installs. The server is one host: while it is down so are its volumes. Not for
# databases that wait for the disk. Both parts may be run again at any time.
#
#   --dry-run, -n   print what would be done
#   --env FILE      the cluster's settings (/etc/v6edge-node/edge.env)

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit
# shellcheck source=manifests.sh
. "$BOOTSTRAP/manifests.sh"

EXPORTS=/etc/exports.d/v6edge.exports
NFS_CONF=/etc/nfs.conf.d/v6edge.conf

server() {
  if ! have exportfs; then
    run env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nfs-kernel-server
  fi
  # Version 4 alone: one port, 2049, and no portmapper.
  local config='# Written by storage.sh.
[nfsd]
vers3=n
vers4=y
vers4.0=n
vers4.1=y
vers4.2=y'
  write_file "$NFS_CONF" <<<"$config"
  if [ -z "$DRY_RUN" ]; then mkdir -p "$ROOT$NFS_SHARE"; else echo "would make: $NFS_SHARE"; fi
  # no_root_squash: the driver makes each volume's folder as root of the node it runs on.
  write_file "$EXPORTS" <<CONF
# Written by storage.sh. The private network alone; make sure the firewall keeps port 2049 from the public one.
$NFS_SHARE $PRIVATE_SUBNET(rw,sync,no_subtree_check,no_root_squash)
CONF
  run systemctl enable --now nfs-server.service
  once nfs-restart "$config" run systemctl restart nfs-server.service
  run exportfs -ra
  done_log "$NFS_SHARE is exported to $PRIVATE_SUBNET. Next, on a control plane: storage.sh cluster"
}

cluster() {
  local url=https://raw.githubusercontent.com/kubernetes-csi/csi-driver-nfs/$CSI_NFS_VERSION/deploy/$CSI_NFS_VERSION
  [ -n "$NFS_SERVER" ] || usage_error 'NFS_SERVER is not set in edge.env' 'It has to be the name or address of the host where storage.sh server ran.'
  need_kubectl
  log "csi-driver-nfs $CSI_NFS_VERSION"
  fetch storage/csi-driver-nfs.yaml CSI_NFS_SHA256 "$url/rbac-csi-nfs.yaml" "$url/csi-nfs-driverinfo.yaml" \
    "$url/csi-nfs-controller.yaml" "$url/csi-nfs-node.yaml"
  apply -f "$ROOT$MANIFEST_DIR/storage/csi-driver-nfs.yaml"
  place_and_apply storage/storageclass.yaml
  wait_for 'kubectl -n kube-system get pods -l app=csi-nfs-controller: what keeps it?' -n kube-system deployment/csi-nfs-controller
  wait_for 'kubectl -n kube-system get pods -l app=csi-nfs-node -o wide: what keeps it?' -n kube-system daemonset/csi-nfs-node
}

parse_options -- "$@"
case ${ARGUMENTS[*]-} in
  server | cluster) ;;
  *) usage_error "say which part: server or cluster" "See $PROGRAM --help." ;;
esac
load_settings
need_root
lock
"${ARGUMENTS[0]}"
