#!/bin/bash
# Makes a node of this machine, from a fresh system to a member of the cluster: runs the other scripts in their order.
#
#   join.sh [--dry-run] [--verbose] [--env FILE] [--join FILE]
#
# What is done already is passed over: after a failure, mend what it names and run the same command again. The edge's one-line join
# ends in this; so does a copy of this folder with an edge.env and a join.env.
#
#   --dry-run, -n    print what every step would do
#   --verbose, -v    show what the steps run
#   --env FILE       the cluster's settings (/etc/v6edge-node/edge.env)
#   --join FILE      this node's settings and secrets (/etc/v6edge-node/join.env)
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit

STEPS=(preflight network runtime kubernetes announce)
REPORT_SECONDS=10

describe_step() {
  case $1 in
    preflight) echo 'whether this machine can become a node' ;;
    network) echo 'addresses and DNS by the edge' ;;
    runtime) echo 'CRI-O' ;;
    kubernetes) echo 'kubelet, kubeadm, kubectl' ;;
    announce) echo 'its name, and its place in the pools' ;;
    control-plane) if [ "$CLUSTER_INIT" = yes ]; then echo 'kubeadm init'; else echo 'kubeadm join, as a control plane'; fi ;;
    worker) echo 'kubeadm join' ;;
  esac
}

# report STATE [STEP]: tells the edge; that it does not listen does not stop anything. The secret is not on the command line.
report() {
  if [ -z "$REPORT_URL" ] || [ -n "$DRY_RUN" ]; then return; fi
  printf 'header = "Authorization: Bearer %s"\n' "$NODE_SECRET" |
    curl -fsSg --max-time "$REPORT_SECONDS" -o /dev/null -K - -H 'Content-Type: text/plain' \
      --data-binary "STATE=$1"$'\n'"STEP=${2-}"$'\n' "$REPORT_URL" 2>/dev/null ||
    warn "the edge was not told ($REPORT_URL does not answer); that changes nothing here"
}

# The settings' places for good; what was given by name stays where it is, and what was for joining alone in it.
keep_settings() {
  if [ "$ENV_FILE" != "$ROOT$CONFIG_DIR/edge.env" ]; then write_file "$CONFIG_DIR/edge.env" <"$ENV_FILE"; fi
  if [ "$JOIN_FILE" != "$ROOT$CONFIG_DIR/join.env" ]; then keep_identity; fi
}

# join.env without the secrets of joining; the node's own stays, with which a control plane sends the edge what others join with.
keep_identity() { sed -E 's/^(KUBEADM_TOKEN|CERTIFICATE_KEY)=.*/\1=/' "$JOIN_FILE" | write_file "$CONFIG_DIR/join.env" 0600; }

# What a step goes by: the same again is passed over when it has succeeded. Secrets change from try to try, and change nothing.
input_of() {
  cat "$ENV_FILE" "$BOOTSTRAP/versions.env" "$BOOTSTRAP/lib.sh" "$BOOTSTRAP"/*"${1%%-*}"*.sh
  printf '%s\n' "$ROLE" "$NODE_NAME" "$CLUSTER_INIT"
  if [ "$1" = announce ]; then printf '%s\n' "$DNS_KEY_NAME" "$DNS_KEY_SECRET"; fi
}

step() {
  local code=0
  # It inherits the lock, which so outlives this script if only this one is killed.
  bash "$BOOTSTRAP/$1.sh" || code=$?
  if [ "$code" -eq 0 ]; then return; fi
  report failed "$1"
  DIE_CODE=$code die "step $1 failed" 'Mend what it names above, then run the same command again:' \
    "  $(quoted bash "$BOOTSTRAP/join.sh" --env "$ENV_FILE" --join "$JOIN_FILE")"
}

main() {
  local name number=0
  parse_options -- "$@"
  no_arguments
  need_root
  lock
  load_settings
  load_join
  ENV_FILE=$(realpath "$ENV_FILE") JOIN_FILE=$(realpath "$JOIN_FILE")
  log "this machine becomes $NODE_FQDN, a $ROLE of $CLUSTER_NAME"
  keep_settings
  report begun
  STEPS+=("$ROLE")
  for name in "${STEPS[@]}"; do
    number=$((number + 1))
    log "[$number/${#STEPS[@]}] $(describe_step "$name")"
    if [ "$name" = "$ROLE" ]; then
      # It knows best how far it came.
      step "$name"
    else
      once "$name" "$(input_of "$name")" step "$name"
    fi
  done
  if [ -n "$DRY_RUN" ]; then return; fi
  report 'done'
  keep_identity
  log "$NODE_FQDN is a $ROLE of $CLUSTER_NAME"
}
main "$@"
