#!/bin/bash
# Makes this node a worker of the cluster: kubeadm join, with the token and the CA's hash of join.env.
#
#   worker.sh [--dry-run] [--verbose] [--env FILE] [--join FILE]
#
# Run before it: preflight.sh, network.sh, runtime.sh, kubernetes.sh, announce.sh. A node that is in the cluster already is left
# as it is. After a join that failed run it again: it takes back what is half done first.
#
#   --dry-run, -n   print what would be done, and the kubeadm configuration
#   --env FILE      the cluster's settings (/etc/v6edge-node/edge.env)
#   --join FILE     this node's settings and secrets (/etc/v6edge-node/join.env)

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit
# shellcheck source=kubeadm-steps.sh
. "$BOOTSTRAP/kubeadm-steps.sh"

parse_options -- "$@"
no_arguments
load_settings
load_join
[ "$ROLE" = worker ] || usage_error "join.env says ROLE=$ROLE" 'Run control-plane.sh on this node, or correct join.env.'
need_root
lock
if settled worker; then exit 0; fi
need_interfaces
need_private_address
kubeadm_needs kubeadm kubelet kubectl
join_needs KUBEADM_TOKEN CA_CERT_HASHES
kubeadm_values
join_cluster join-worker.yaml
done_log "$NODE_NAME is a worker of $CLUSTER_NAME. It is Ready when Calico runs on it: kubectl get nodes"
