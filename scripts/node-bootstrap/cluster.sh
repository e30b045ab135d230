#!/bin/bash
# Makes the cluster usable, on the first control plane: network, ingress controller, certificates, an example.
#
#   cluster.sh [--dry-run] [--verbose] [--env FILE] [PART…]
#
#   calico         pod network: Calico by VXLAN, IPv6 alone, without its controllers, with the pool of POD_SUBNET applied by hand
#   ingress        Traefik on every worker, behind NodePorts, taking PROXY protocol from the edge and from nobody else
#   cert-manager   cert-manager
#   issuers        Let's Encrypt by HTTP-01: letsencrypt-staging and letsencrypt-prod (ACME_EMAIL)
#   dns01          the same by DNS-01: letsencrypt-staging-dns01 and -prod-dns01, which write to the edge with ACME_KEY_FILE
#   kuard          an example under the name KUARD_HOST, with a certificate of letsencrypt-staging
#
# Without a part: calico, ingress, cert-manager, and the others as far as edge.env has what they need. Run it again at any time:
# it applies what differs. What was applied lies in /var/lib/v6edge-node/manifests.
#
#   --dry-run, -n   print every manifest as it would be applied
#   --env FILE      the cluster's settings (/etc/v6edge-node/edge.env)

# Placeholders are variables that only render reads.
# shellcheck disable=SC2034
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit
# shellcheck source=manifests.sh
. "$BOOTSTRAP/manifests.sh"

calico() {
  local file
  log "Calico $CALICO_VERSION"
  fetch calico/calico-vxlan.yaml CALICO_SHA256 \
    "https://raw.githubusercontent.com/projectcalico/calico/$CALICO_VERSION/manifests/calico-vxlan.yaml"
  for file in kustomization config-ipv6 node-ipv6 ippool; do place "calico/$file.yaml"; done
  apply -k "$ROOT$MANIFEST_DIR/calico"
  run "${KUBECTL[@]}" wait --for=condition=Established --timeout=60s crd/ippools.crd.projectcalico.org
  apply -f "$ROOT$MANIFEST_DIR/calico/ippool.yaml"
  wait_for 'kubectl -n kube-system get pods -l k8s-app=calico-node -o wide; kubectl -n kube-system logs ds/calico-node: what keeps it?' \
    -n kube-system daemonset/calico-node
}

ingress() {
  log "Traefik $TRAEFIK_VERSION"
  # The edge's connections come from its private address: nodePorts with externalTrafficPolicy Local leave it as it is.
  PROXY_TRUSTED=$EDGE_ADDRESS/128
  place_and_apply traefik.yaml
  wait_for 'kubectl -n ingress get pods -o wide: what keeps it? (DNS64 and NAT64, for the image?)' -n ingress daemonset/traefik
}

cert_manager() {
  log "cert-manager $CERT_MANAGER_VERSION"
  fetch cert-manager/cert-manager.yaml CERT_MANAGER_SHA256 \
    "https://github.com/cert-manager/cert-manager/releases/download/$CERT_MANAGER_VERSION/cert-manager.yaml"
  apply -f "$ROOT$MANIFEST_DIR/cert-manager/cert-manager.yaml"
  wait_for 'kubectl -n cert-manager get pods: its pods need a worker; join one, then run this again.' \
    -n cert-manager deployment/cert-manager-webhook
}

issuers() {
  need_setting ACME_EMAIL "the address that Let's Encrypt writes to"
  place cert-manager/issuers.yaml
  apply_to_webhook cert-manager/issuers.yaml
}

dns01() {
  need_setting ACME_EMAIL "the address that Let's Encrypt writes to"
  need_setting ACME_KEY_FILE "a key that may write TXT records at _acme-challenge (on the edge: v6edge key new)"
  read_key "$ACME_KEY_FILE"
  place cert-manager/issuers-dns01.yaml
  tsig_secret
  apply_to_webhook cert-manager/issuers-dns01.yaml
}

# cert-manager's webhook is asked about each issuer, and is there a moment after its pod.
apply_to_webhook() {
  FAILURE_HINT='Is cert-manager there? cluster.sh cert-manager; kubectl -n cert-manager get pods' \
    retry 6 "${KUBECTL[@]}" apply --server-side --force-conflicts --field-manager=v6edge-bootstrap -f "$ROOT$MANIFEST_DIR/$1"
}

# read_key FILE: sets ACME_KEY_NAME, ACME_KEY_ALGORITHM (as cert-manager writes it) and ACME_KEY_SECRET from a key in BIND's form.
read_key() {
  local text algorithm
  [ -r "$1" ] || die "cannot read $1 (ACME_KEY_FILE)" 'On the edge: v6edge key new acme-key; bring what it prints here, mode 0600.'
  text=$(tr '\n' ' ' <"$1")
  ACME_KEY_NAME=$(sed -nE 's/.*key[[:space:]]+"?([^"[:space:]{]+)"?[[:space:]]*\{.*/\1/p' <<<"$text")
  algorithm=$(sed -nE 's/.*algorithm[[:space:]]+"?([a-z0-9-]+)"?[[:space:]]*;.*/\1/p' <<<"$text")
  ACME_KEY_SECRET=$(sed -nE 's/.*secret[[:space:]]+"?([A-Za-z0-9+/=]+)"?[[:space:]]*;.*/\1/p' <<<"$text")
  ACME_KEY_NAME=${ACME_KEY_NAME%.}
  if [ -z "$ACME_KEY_NAME" ] || [ -z "$ACME_KEY_SECRET" ]; then
    die "$1 holds no key" 'It has to be: key "NAME" { algorithm hmac-sha256; secret "BASE64"; };'
  fi
  case $algorithm in
    hmac-sha1 | hmac-sha256 | hmac-sha512)
      ACME_KEY_ALGORITHM=${algorithm//-/}
      ACME_KEY_ALGORITHM=${ACME_KEY_ALGORITHM^^}
      ;;
    *) die "cert-manager cannot sign with ${algorithm:-no algorithm} ($1)" 'hmac-sha1, hmac-sha256 and hmac-sha512 are what it knows.' ;;
  esac
}

# The key's secret goes by standard input: on the command line every user of this host would see it.
tsig_secret() {
  if [ -n "$DRY_RUN" ]; then
    echo "would apply: Secret cert-manager/v6edge-acme-tsig with the secret of key $ACME_KEY_NAME"
    return
  fi
  printf '%s' "$ACME_KEY_SECRET" |
    "${KUBECTL[@]}" -n cert-manager create secret generic v6edge-acme-tsig --from-file=secret=/dev/stdin --dry-run=client -o yaml |
    "${KUBECTL[@]}" apply --server-side --force-conflicts --field-manager=v6edge-bootstrap -f - >/dev/null ||
    die 'the Secret cert-manager/v6edge-acme-tsig was not taken' 'Is cert-manager there? cluster.sh cert-manager'
}

kuard() {
  need_setting KUARD_HOST 'a name that leads to the edge in public DNS'
  ARCHITECTURE=amd64
  if [ "$(uname -m)" = aarch64 ]; then ARCHITECTURE=arm64; fi
  place_and_apply kuard.yaml
  done_log "kuard: https://$KUARD_HOST/ (staging's certificate is one that no browser trusts)"
}

# need_setting NAME WHAT
need_setting() {
  if [ -z "${!1}" ]; then usage_error "$1 is not set in ${ENV_FILE##*/}" "It has to be $2."; fi
}

parse_options -- "$@"
known=' calico ingress cert-manager issuers dns01 kuard '
for part in "${ARGUMENTS[@]}"; do
  [[ $known = *" $part "* ]] || usage_error "unknown part \"$part\"" "Parts are:$known"
done
load_settings
need_root
lock
need_kubectl
parts=("${ARGUMENTS[@]}")
if [ ${#parts[@]} -eq 0 ]; then
  parts=(calico ingress cert-manager)
  if [ -n "$ACME_EMAIL" ]; then parts+=(issuers); fi
  if [ -n "$ACME_EMAIL" ] && [ -n "$ACME_KEY_FILE" ]; then parts+=(dns01); fi
  if [ -n "$KUARD_HOST" ]; then parts+=(kuard); fi
fi
for part in "${parts[@]}"; do "${part//-/_}"; done
if [ ${#ARGUMENTS[@]} -eq 0 ] && [ -z "$ACME_EMAIL" ]; then log 'no issuers, since ACME_EMAIL is not set in edge.env'; fi
