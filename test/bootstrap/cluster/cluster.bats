# cluster.sh and storage.sh: what is fetched, what is applied and in which order, with a kubectl and a curl that write down how they
# were called. What the manifests hold is judged in manifests.test.ts.
load helpers

setup() {
  fake_node
  mkdir -p "$ROOT/etc/kubernetes"
  touch "$ROOT/etc/kubernetes/admin.conf"
  export FAKE
  # Each file is its own address.
  stub curl '[ ! -e "$FAKE/offline" ] || exit 6; for one; do case $one in https://*) echo "from $one" ;; esac; done'
  stub kubectl '
    if [ -e "$FAKE/no-api" ]; then exit 1; fi
    case "$*" in
      *rollout*) [ ! -e "$FAKE/no-worker" ] || { echo "error: timed out waiting for the condition"; exit 1; } ;;
      *"create secret"*) cat >"$FAKE/secret"; echo "kind: Secret" ;;
      *"-f -"*) cat >/dev/null ;;
    esac'
  calico=https://raw.githubusercontent.com/projectcalico/calico/v3.32.1/manifests/calico-vxlan.yaml
  certmanager=https://github.com/cert-manager/cert-manager/releases/download/v1.21.1/cert-manager.yaml
  sums=("CALICO_SHA256=$(sum_of "$calico")" "CERT_MANAGER_SHA256=$(sum_of "$certmanager")")
  settings "${sums[@]}"
  mkdir -p "$ROOT/etc/v6edge-node"
  printf 'key "acme-key" {\n  algorithm hmac-sha512;\n  secret "c2VjcmV0LXNlY3JldA==";\n};\n' >"$FAKE/acme.key"
}
# What apt-get does when it installs the server.
brings_exportfs='printf "#!/bin/bash\necho exportfs \$* >>\"$CALLS\"\n" >"$FAKE/bin/exportfs"; chmod +x "$FAKE/bin/exportfs"'
sum_of() { printf 'from %s\n' "$@" | sha256sum | cut -c 1-64; }
# What was applied, in order, each by the last part of its path.
applied() { sed -nE 's/^kubectl .* apply .* -[fk] (.*)/\1/p' "$CALLS" | sed 's#.*/manifests/##' | paste -sd ' '; }

@test "without a part: the network, the ingress controller and cert-manager, in this order" {
  script cluster.sh
  succeeds
  [ "$(applied)" = 'calico calico/ippool.yaml traefik.yaml cert-manager/cert-manager.yaml' ]
  called_like 'wait --for=condition=Established --timeout=60s crd/ippools.crd.projectcalico.org'
  says 'ACME_EMAIL is not set'
  has /var/lib/v6edge-node/manifests/calico/ippool.yaml '  cidr: "fd00:6:6:100::/56"'
  has /var/lib/v6edge-node/manifests/traefik.yaml '            - --entryPoints.web.proxyProtocol.trustedIPs=fd00:6:6::1/128'
  [ "$(cat "$ROOT/var/lib/v6edge-node/manifests/calico/calico-vxlan.yaml")" = "from $calico" ]
}

@test "all that edge.env has settings for" {
  settings "${sums[@]}" ACME_EMAIL=admin@example.net "ACME_KEY_FILE=$FAKE/acme.key" KUARD_HOST=kuard.example.net
  script cluster.sh
  succeeds
  [ "$(applied)" = 'calico calico/ippool.yaml traefik.yaml cert-manager/cert-manager.yaml cert-manager/issuers.yaml - cert-manager/issuers-dns01.yaml kuard.yaml' ]
  has /var/lib/v6edge-node/manifests/cert-manager/issuers-dns01.yaml '            tsigKeyName: "acme-key"'
  has /var/lib/v6edge-node/manifests/cert-manager/issuers-dns01.yaml '            tsigAlgorithm: HMACSHA512'
  [ "$(cat "$FAKE/secret")" = c2VjcmV0LXNlY3JldA== ]
  not_called c2VjcmV0LXNlY3JldA==
  [ -z "$(grep -rl c2VjcmV0LXNlY3JldA== "$ROOT")" ]
}

@test "once more: nothing is fetched or written again, and what is applied is the same" {
  script cluster.sh
  first=$(applied)
  before=$(snapshot)
  forget_calls
  script cluster.sh
  succeeds
  not_called '^curl'
  [ "$(applied)" = "$first" ]
  [ "$(snapshot)" = "$before" ]
}

@test "one part alone" {
  script cluster.sh ingress
  succeeds
  [ "$(applied)" = traefik.yaml ]
}

@test "a file that is not the pinned one is not applied, and not kept" {
  settings "CALICO_SHA256=$(printf '0%.0s' {1..64})"
  script cluster.sh calico
  fails 1
  says 'calico/calico-vxlan.yaml is not the file it should be'
  says "got            $(sum_of "$calico")"
  [ -z "$(applied)" ]
  [ -z "$(find "$ROOT/var/lib/v6edge-node/manifests" -type f)" ]
}

@test "a file that was changed on this node after it was fetched is fetched again" {
  script cluster.sh calico
  echo 'kind: Evil' >>"$ROOT/var/lib/v6edge-node/manifests/calico/calico-vxlan.yaml"
  script cluster.sh calico
  succeeds
  [ "$(cat "$ROOT/var/lib/v6edge-node/manifests/calico/calico-vxlan.yaml")" = "from $calico" ]
}

@test "no way to the file: what this node needs, and how to do without; then again" {
  touch "$FAKE/offline"
  script cluster.sh calico
  fails 1
  says 'NAT64'
  says '/manifests/calico/calico-vxlan.yaml yourself'
  [ -z "$(applied)" ]
  rm "$FAKE/offline"
  script cluster.sh calico
  succeeds
}

@test "no worker yet: cert-manager says so; run again it goes on" {
  touch "$FAKE/no-worker"
  script cluster.sh cert-manager
  fails 1
  says 'its pods need a worker; join one, then run this again'
  rm "$FAKE/no-worker"
  script cluster.sh cert-manager
  succeeds
}

@test "wrong input, each with what to do" {
  script cluster.sh calico flannel
  fails 2
  says 'unknown part "flannel"'
  says 'calico ingress cert-manager issuers dns01 kuard'
  script cluster.sh issuers
  fails 2
  says 'ACME_EMAIL is not set in edge.env'
  settings ACME_EMAIL=somebody
  script cluster.sh issuers
  fails 2
  says 'it has to be a mail address'
  settings ACME_EMAIL=admin@example.net ACME_KEY_FILE=/nowhere.key
  script cluster.sh dns01
  fails 1
  says 'cannot read /nowhere.key'
  echo nonsense >"$FAKE/acme.key"
  settings ACME_EMAIL=admin@example.net "ACME_KEY_FILE=$FAKE/acme.key"
  script cluster.sh dns01
  fails 1
  says 'holds no key'
  echo 'key a { algorithm hmac-sha384; secret "c2VjcmV0"; };' >"$FAKE/acme.key"
  script cluster.sh dns01
  fails 1
  says 'cert-manager cannot sign with hmac-sha384'
  not_called ' apply '
}

@test "no cluster, and one that does not answer" {
  touch "$FAKE/no-api"
  script cluster.sh
  fails 1
  says 'does not answer'
  rm "$ROOT/etc/kubernetes/admin.conf"
  script cluster.sh
  fails 1
  says 'Run this on a control plane after control-plane.sh'
  no_program kubectl
  script cluster.sh
  fails 1
  says 'there is no kubectl'
}

@test "--dry-run shows every manifest, and neither asks nor changes anything" {
  rm -r "$ROOT/etc/kubernetes"
  settings ACME_EMAIL=admin@example.net "ACME_KEY_FILE=$FAKE/acme.key" KUARD_HOST=kuard.example.net
  before=$(snapshot)
  script cluster.sh --dry-run
  succeeds
  says "would fetch: $calico"
  says 'SHA-256 c2ab4f9a4ecde01d66e6f040d6745cd7f174d5ded573164c809ffb9f40a9d566'
  says '  |   cidr: "fd00:6:6:100::/56"'
  says '  |     - host: "kuard.example.net"'
  does_not_say c2VjcmV0LXNlY3JldA==
  not_called '^(kubectl|curl)'
  [ "$(snapshot)" = "$before" ]
}

@test "storage: the driver's files need a checksum, which the first try prints" {
  settings NFS_SERVER=nfs1.cluster.test
  script storage.sh cluster
  fails 1
  says 'no checksum of storage/csi-driver-nfs.yaml is known'
  sum=$(sed -n 's/.*in edge.env: \(CSI_NFS_SHA256=.*\)/\1/p' <<<"$output")
  [ -z "$(applied)" ]
  settings NFS_SERVER=nfs1.cluster.test "$sum"
  script storage.sh cluster
  succeeds
  [ "$(applied)" = 'storage/csi-driver-nfs.yaml storage/storageclass.yaml' ]
  [ "$(grep -c csi-driver-nfs/v4.13.4/deploy/v4.13.4/ "$ROOT/var/lib/v6edge-node/manifests/storage/csi-driver-nfs.yaml")" = 4 ]
  has /var/lib/v6edge-node/manifests/storage/storageclass.yaml '  server: "nfs1.cluster.test" # a name of the zone; an address goes without brackets'
  called_like 'rollout status .* daemonset/csi-nfs-node'
}

@test "storage: the server exports to the private network alone, by version 4 alone; again it restarts nothing" {
  stub apt-get "$brings_exportfs"
  script storage.sh server
  succeeds
  called_like '^apt-get install .*nfs-kernel-server$'
  has /etc/exports.d/v6edge.exports '/srv/k8s fd00:6:6::/64(rw,sync,no_subtree_check,no_root_squash)'
  has /etc/nfs.conf.d/v6edge.conf 'vers3=n'
  [ -d "$ROOT/srv/k8s" ]
  called 'systemctl restart nfs-server.service'
  forget_calls
  script storage.sh server
  succeeds
  not_called '^(apt-get|systemctl restart)'
  called 'exportfs -ra'
}

@test "storage: wrong input, a failure midway, and --dry-run" {
  script storage.sh
  fails 2
  says 'server or cluster'
  script storage.sh disks
  fails 2
  script storage.sh cluster
  fails 2
  says 'NFS_SERVER is not set'
  settings 'NFS_SERVER=[fd00:6:6::31]'
  script storage.sh cluster
  fails 2
  says 'it has to be a host name or an IPv6 address'
  settings
  stub apt-get 'exit 100'
  script storage.sh server
  fails 1
  says 'nfs-kernel-server'
  stub apt-get "$brings_exportfs"
  script storage.sh server
  succeeds
  rm "$ROOT/etc/exports.d/v6edge.exports"
  before=$(snapshot)
  forget_calls
  script storage.sh server --dry-run
  succeeds
  says 'would write: /etc/exports.d/v6edge.exports'
  not_called '^(apt-get|systemctl)'
  [ "$(snapshot)" = "$before" ]
}
