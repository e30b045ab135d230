#!/bin/bash
# Makes this node a control plane: the first one makes the cluster (kubeadm init), further ones join it (kubeadm join).
#
#   control-plane.sh [--dry-run] [--verbose] [--env FILE] [--join FILE]
#   control-plane.sh --send-material [--dry-run] [--env FILE] [--join FILE]
#
# CLUSTER_INIT=yes in join.env, or --init here, makes the cluster. Run before it: preflight.sh, network.sh, runtime.sh,
# kubernetes.sh, announce.sh. A control plane that is there already is left as it is. After an init or join that failed run it
# again: it takes back what is half done first.
#
# What further nodes join with (bootstrap token, hash of the CA, key of the certificates; two hours each) goes to the edge's join
# listener; where the edge has given this node no secret of its own, it is printed for their join.env.
#
#   --init            make the cluster, whatever join.env says
#   --send-material   on a control plane: make a fresh token and key, and send them
#   --dry-run, -n     print what would be done, and the kubeadm configuration
#   --env FILE        the cluster's settings (/etc/v6edge-node/edge.env)
#   --join FILE       this node's settings and secrets (/etc/v6edge-node/join.env)

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit
# shellcheck source=kubeadm-steps.sh
. "$BOOTSTRAP/kubeadm-steps.sh"

JOIN_PORT=8654
# kubeadm's own for the Secret that the certificate key opens; tokens get the same, so that all ends together.
MATERIAL_SECONDS=7200
# There while the edge has not been given what further nodes join with; in the folder that a reset empties.
UNSENT=$KUBERNETES_DIR/v6edge-material-unsent

# The addon kube-proxy is the last that kubeadm init makes.
init_had_ended() {
  [ -f "$ROOT$ADMIN_CONF" ] &&
    kubectl --kubeconfig "$ROOT$ADMIN_CONF" -n kube-system get daemonset kube-proxy >/dev/null 2>&1
}

init_cluster() {
  if [ "$(node_state)" = begun ]; then
    if init_had_ended; then
      log 'kubeadm init had ended well, but this script had not'
      journal 'done'
      return
    fi
    undo_half
  fi
  BOOTSTRAP_TOKEN=$(random_text 6).$(random_text 16)
  CERTIFICATE_KEY=$(random_hex 32)
  MATERIAL_END=$(($(date +%s) + MATERIAL_SECONDS))
  write_kubeadm_config init.yaml
  run_kubeadm init --config "$ROOT$KUBEADM_CONFIG" --upload-certs
}

# SHA-256 of the CA's public key, as kubeadm join pins it.
ca_cert_hash() {
  openssl x509 -pubkey -noout -in "$ROOT$KUBERNETES_DIR/pki/ca.crt" | openssl pkey -pubin -outform der |
    sha256sum | sed 's/^/sha256:/; s/ .*//'
}

# Another token and certificate key, since those of before are not known or have ended. kubeadm makes and prints them: on its
# command line every user of this host would see them.
fresh_material() {
  local admin=$ROOT$ADMIN_CONF hint
  MATERIAL_END=$(($(date +%s) + MATERIAL_SECONDS))
  if [ -n "$DRY_RUN" ]; then
    echo "would run: kubeadm token create --ttl 2h --description 'further nodes' --kubeconfig $admin"
    echo "would run: kubeadm init phase upload-certs --upload-certs --kubeconfig $admin"
    return
  fi
  hint="Does the API server answer? kubectl --kubeconfig $admin get --raw='/readyz?verbose'"
  BOOTSTRAP_TOKEN=$(kubeadm token create --ttl 2h --description 'further nodes' --kubeconfig "$admin") ||
    die 'kubeadm token create failed' "$hint"
  CERTIFICATE_KEY=$(kubeadm init phase upload-certs --upload-certs --kubeconfig "$admin" | grep -xE '[0-9a-f]{64}') ||
    die 'kubeadm init phase upload-certs failed, or printed no key' "$hint"
}

material() {
  local end
  end=$(date -u -d "@$MATERIAL_END" +%Y-%m-%dT%H:%M:%SZ)
  printf '%s=%s\n' API_ENDPOINT "$API_ENDPOINT" \
    BOOTSTRAP_TOKEN "$BOOTSTRAP_TOKEN" BOOTSTRAP_TOKEN_EXPIRES "$end" \
    CA_CERT_HASHES "$(ca_cert_hash)" \
    CERTIFICATE_KEY "$CERTIFICATE_KEY" CERTIFICATE_KEY_EXPIRES "$end"
}

print_material() {
  printf '%s\n' "For join.env of further nodes, good for two hours:" "  KUBEADM_TOKEN=$BOOTSTRAP_TOKEN" \
    "  CA_CERT_HASHES=$(ca_cert_hash)" "  CERTIFICATE_KEY=$CERTIFICATE_KEY (control planes)"
}

send_material() {
  local url="http://[$EDGE_ADDRESS]:$JOIN_PORT/join/material" header
  # The listener that gave this node its settings, wherever that is.
  if [[ $REPORT_URL = */join/report ]]; then url=${REPORT_URL%report}material; fi
  if [ -n "$DRY_RUN" ]; then
    if [ -n "$NODE_SECRET" ]; then echo "would send what further nodes join with: PUT $url"; else echo 'would print what further nodes join with'; fi
    return
  fi
  if [ -z "$NODE_SECRET" ]; then
    log 'join.env has no NODE_SECRET, so that the edge cannot be given what further nodes join with'
    print_material
    return
  fi
  # In a file and not on the command line, where every user would see it.
  header=$(mktemp)
  # shellcheck disable=SC2064
  trap "rm -f '$header'" EXIT
  printf 'Authorization: Bearer %s\n' "$NODE_SECRET" >"$header"
  if material | curl -fsSg -o /dev/null --max-time 20 --retry 4 --retry-connrefused -X PUT -H "@$header" -H 'Content-Type: text/plain' \
    --data-binary @- "$url"; then
    log 'the edge has what further nodes join with, for two hours'
    return
  fi
  print_material
  die "the edge did not take what further nodes join with ($url)" \
    'The cluster is made all the same. On the edge: v6edge node list (does it know this node?)' \
    'Then run this again, or control-plane.sh --send-material.'
}

# kubectl of root finds the cluster.
admin_access() {
  if [ -e "$ROOT/root/.kube/config" ]; then return; fi
  run install -D -m 0600 "$ROOT$ADMIN_CONF" "$ROOT/root/.kube/config"
}

parse_options --init --send-material -- "$@"
no_arguments
load_settings
load_join
[ "$ROLE" = control-plane ] || usage_error "join.env says ROLE=$ROLE" 'Run worker.sh on this node, or correct join.env.'
need_root
lock
need_interfaces
need_private_address
kubeadm_values
if [ -n "$FLAG_SEND_MATERIAL" ]; then
  if [ -z "$DRY_RUN" ] && [ ! -f "$ROOT$ADMIN_CONF" ]; then
    usage_error "this node is no control plane: there is no $ADMIN_CONF" 'Run it on one, or without --send-material to make this node one.'
  fi
  fresh_material
  send_material
  remove "$UNSENT"
  exit 0
fi
if settled control-plane; then
  if [ -f "$ROOT$UNSENT" ]; then
    log 'but the edge does not have what further nodes join with'
    fresh_material
    send_material
    remove "$UNSENT"
  fi
  exit 0
fi
kubeadm_needs kubeadm kubelet kubectl openssl
if [ "$CLUSTER_INIT" = yes ] || [ -n "$FLAG_INIT" ]; then
  BOOTSTRAP_TOKEN=
  init_cluster
  if [ -z "$DRY_RUN" ]; then : >"$ROOT$UNSENT"; fi
  admin_access
  done_log "$NODE_NAME is the first control plane of $CLUSTER_NAME. Next, here: $BOOTSTRAP/cluster.sh"
  if [ -z "$BOOTSTRAP_TOKEN" ]; then fresh_material; fi
  send_material
  if [ -z "$DRY_RUN" ]; then rm -f "$ROOT$UNSENT"; fi
else
  join_needs KUBEADM_TOKEN CA_CERT_HASHES CERTIFICATE_KEY
  join_cluster join-control-plane.yaml
  admin_access
  done_log "$NODE_NAME is a control plane of $CLUSTER_NAME: kubectl get nodes"
fi
