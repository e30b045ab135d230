# What control-plane.sh and worker.sh share: how far a node got, its kubeadm configuration, and kubeadm run so that a second try
# begins where the first left off. Sourced after lib.sh.
# shellcheck shell=bash disable=SC2034

KUBERNETES_DIR=/etc/kubernetes
# begun or done; in the folder that a reset empties, so that it cannot outlive the state it speaks of.
JOURNAL=$KUBERNETES_DIR/v6edge-bootstrap
ADMIN_CONF=$KUBERNETES_DIR/admin.conf
KUBELET_CONF=$KUBERNETES_DIR/kubelet.conf

# node_state: fresh, begun (by these scripts, and not ended), done, foreign (in a cluster by other means) or broken (parts of one).
node_state() {
  local place=$ROOT$KUBERNETES_DIR journal
  journal=$(cat "$ROOT$JOURNAL" 2>/dev/null || true)
  if [ "$journal" = begun ]; then
    echo begun
  elif [ -f "$ROOT$KUBELET_CONF" ] && [ "$journal" = 'done' ]; then
    echo 'done'
  elif [ -f "$ROOT$KUBELET_CONF" ] && [ -f "$place/pki/ca.crt" ]; then
    echo foreign
  elif [ -f "$ROOT$KUBELET_CONF" ] || [ -f "$place/pki/ca.crt" ] || compgen -G "$place/manifests/*.yaml" >/dev/null; then
    echo broken
  else
    echo fresh
  fi
}

# What this node is in its cluster, by what lies on it.
node_part() { if [ -f "$ROOT$KUBERNETES_DIR/manifests/kube-apiserver.yaml" ]; then echo control-plane; else echo worker; fi; }

# settled WHAT: whether there is nothing left to do, which it says. Ends where only a person can decide.
settled() {
  local state part
  state=$(node_state)
  part=$(node_part)
  case $state in
    done | foreign)
      if [ "$part" != "$1" ]; then
        die "this node is a $part already" "To make it a $1: drain it, delete it from the cluster, reset.sh --yes, then this again."
      fi
      log "this node is a $part of its cluster already$([ "$state" = 'done' ] || echo ' (not made by these scripts)'): nothing to do"
      return 0
      ;;
    broken)
      die "$KUBERNETES_DIR holds parts of a cluster that these scripts did not begin" \
        "If nothing there is wanted: reset.sh --yes, then this again."
      ;;
  esac
  return 1
}

# kubeadm_needs PROGRAM…: these, and what else has to be there before kubeadm is worth starting. All of it is said at once.
kubeadm_needs() {
  local program wanted=() forwarding
  for program in "$@"; do
    if ! have "$program"; then wanted+=("there is no $program: run kubernetes.sh"); fi
  done
  if [ ! -S "$ROOT/var/run/crio/crio.sock" ] && [ ! -S "$ROOT/run/crio/crio.sock" ]; then
    wanted+=('CRI-O does not answer on /var/run/crio/crio.sock: run runtime.sh; systemctl status crio')
  fi
  # kubeadm looks at this itself, but not where a worker joins by the API server's name.
  forwarding=$(cat "$ROOT/proc/sys/net/ipv6/conf/all/forwarding" 2>/dev/null || true)
  if [ "$forwarding" != 1 ]; then wanted+=('net.ipv6.conf.all.forwarding is not 1: run network.sh'); fi
  if [ ${#wanted[@]} -eq 0 ]; then return; fi
  if [ -z "$DRY_RUN" ]; then die 'this node is not ready for kubeadm' "${wanted[@]}"; fi
  for program in "${wanted[@]}"; do warn "before it is done for real: $program"; done
}

# random_text LENGTH: lower-case letters and digits.
random_text() {
  local text=''
  while [ "${#text}" -lt "$1" ]; do text+=$(head -c 64 /dev/urandom | base64 -w 0 | tr -dc a-z0-9); done
  echo "${text:0:$1}"
}
random_hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# quoted_list WORD…: a YAML flow list without its brackets, each once.
quoted_list() {
  local word out='' seen=' '
  for word; do
    if [[ $seen = *" $word "* ]]; then continue; fi
    seen+="$word "
    out+="${out:+, }\"$word\""
  done
  echo "$out"
}

# bracketed HOST: as it stands before a port.
bracketed() { if is_ipv6 "$1"; then echo "[$1]"; else echo "$1"; fi; }

# The tenth address for Services, as kubeadm would take it; the last eight bits of the prefix are zeros.
service_dns() {
  local network=${SERVICE_SUBNET%/*} digits
  if [[ $network = *:: ]]; then
    echo "${network}a"
    return
  fi
  digits=$(expand_ipv6 "$network")
  echo "${digits%?}a" | sed 's/..../&:/g; s/:$//'
}

# What the templates of manifests/kubeadm want beside the settings.
kubeadm_values() {
  API_ENDPOINT=$(bracketed "$EDGE_NAME"):$API_PORT
  # shellcheck disable=SC2086
  CERT_SANS=$(quoted_list "$EDGE_NAME" "$EDGE_ADDRESS" "$NODE_FQDN" $EXTRA_SANS)
  SERVICE_DNS=$(service_dns)
  # shellcheck disable=SC2086
  CA_CERT_LIST=$(quoted_list $CA_CERT_HASHES)
  # A label that kubeadm resolves over the network, where it is not there to say what it brings.
  KUBERNETES_VERSION=stable-$KUBERNETES_MINOR
  if have kubeadm; then KUBERNETES_VERSION=$(kubeadm version -o short); fi
  if [[ $KUBERNETES_VERSION = v* && $KUBERNETES_VERSION != "v$KUBERNETES_MINOR".* ]]; then
    die "kubeadm is $KUBERNETES_VERSION, and KUBERNETES_MINOR is $KUBERNETES_MINOR" \
      'Set KUBERNETES_MINOR in edge.env to what the cluster is to be, and run kubernetes.sh.'
  fi
}

# write_kubeadm_config TEMPLATE: renders it to where only root reads it, since it holds secrets. Sets KUBEADM_CONFIG.
write_kubeadm_config() {
  KUBEADM_CONFIG=$STATE_DIR/kubeadm-$1
  if [ -n "$DRY_RUN" ]; then
    echo "would write: $KUBEADM_CONFIG (mode 0600)"
    # Secrets are made, or given, when it is done for real.
    (
      BOOTSTRAP_TOKEN=aaaaaa.aaaaaaaaaaaaaaaa
      CERTIFICATE_KEY=$(printf '0%.0s' {1..64})
      render "$BOOTSTRAP/manifests/kubeadm/$1" | sed 's/^/  | /'
    )
    return
  fi
  render "$BOOTSTRAP/manifests/kubeadm/$1" | write_file "$KUBEADM_CONFIG" 0600
  run kubeadm config validate --config "$ROOT$KUBEADM_CONFIG"
}

journal() {
  if [ -n "$DRY_RUN" ]; then return; fi
  mkdir -p "$ROOT$KUBERNETES_DIR"
  echo "$1" >"$ROOT$JOURNAL"
}

# undo_half: takes back what a kubeadm that did not end left behind. Only called where nothing is lost by it.
undo_half() {
  log 'kubeadm did not end the last time: what it left is taken back first'
  render "$BOOTSTRAP/manifests/kubeadm/reset.yaml" | write_file "$STATE_DIR/kubeadm-reset.yaml"
  run kubeadm reset --config "$ROOT$STATE_DIR/kubeadm-reset.yaml"
  remove "$JOURNAL"
}

# run_kubeadm COMMAND…: with the journal around it.
run_kubeadm() {
  journal begun
  FAILURE_HINT="journalctl -u kubelet -u crio -n 50 says more. Then run the same command again: it takes back what is half done, and begins anew." \
    run kubeadm "$@"
  journal 'done'
  # It held secrets, and the cluster has all else.
  remove "$KUBEADM_CONFIG"
}

# join_cluster TEMPLATE: kubeadm join, with what join.env brought.
join_cluster() {
  if [ "$(node_state)" = begun ]; then
    if [ -f "$ROOT$KUBELET_CONF" ] && node_is_ready; then
      log 'kubeadm join had ended well, but this script had not: nothing to do'
      journal 'done'
      return
    fi
    undo_half
  fi
  BOOTSTRAP_TOKEN=$KUBEADM_TOKEN
  write_kubeadm_config "$1"
  run_kubeadm join --config "$ROOT$KUBEADM_CONFIG"
}

node_is_ready() {
  [ "$(kubectl --kubeconfig "$ROOT$KUBELET_CONF" get node "$NODE_NAME" \
    -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]
}

# join_needs NAME…: settings of join.env without which a join is not worth starting.
join_needs() {
  local name
  for name; do
    if [ -z "${!name-}" ]; then problem "$name is needed to join"; fi
  done
  if [ -n "$DRY_RUN" ]; then
    for name in "${PROBLEMS[@]-}"; do if [ -n "$name" ]; then warn "$name"; fi; done
    PROBLEMS=()
    CA_CERT_HASHES=${CA_CERT_HASHES:-sha256:$(printf '0%.0s' {1..64})}
    return
  fi
  if [ ${#PROBLEMS[@]} -gt 0 ]; then
    PROBLEMS+=('On a control plane, control-plane.sh --send-material sends the edge fresh ones and prints them.')
  fi
  report_problems "$JOIN_FILE does not have what kubeadm join needs:"
}
