# control-plane.sh: kubeadm init and join, with a kubeadm that leaves what the real one leaves (cluster-stubs.bash).
load helpers
load cluster/cluster-stubs

setup() {
  fake_node
  ready_node
  stub hostname 'echo cp1'
  secret=c2VjcmV0
  join_settings ROLE=control-plane NODE_NAME=cp1 CLUSTER_INIT=yes KUBEADM_TOKEN= CA_CERT_HASHES= NODE_SECRET=$secret
  hash=sha256:$(openssl x509 -pubkey -noout -in "$FAKE/ca.crt" | openssl pkey -pubin -outform der | sha256sum | cut -c 1-64)
  key=$(printf 'f%.0s' {1..64})
}
joins() {
  join_settings ROLE=control-plane NODE_NAME=cp2 KUBEADM_TOKEN=abcdef.0123456789abcdef CA_CERT_HASHES="$hash" CERTIFICATE_KEY="$key" "$@"
}
grep_config() { grep -qF -- "$1" "$FAKE/config.yaml" || { cat "$FAKE/config.yaml" && false; }; }

@test "init: validates its configuration, makes the cluster, and sends the edge what further nodes join with" {
  script control-plane.sh
  succeeds
  called_like '^kubeadm config validate --config '
  called_like '^kubeadm init --config .*/kubeadm-init.yaml --upload-certs$'
  [ "$(cat "$FAKE/config.mode")" = 600 ]
  grep_config 'advertiseAddress: "fd00:6:6::21"'
  grep_config 'controlPlaneEndpoint: "edge.cluster.test:6443"'
  called_like '^curl .*-X PUT .*http://\[fd00:6:6::1\]:8654/join/material$'
  [ "$(cat "$FAKE/sent.head")" = "Authorization: Bearer $secret" ]
  not_called "$secret"
  # What was sent is what the cluster was made with.
  token=$(sed -n 's/^BOOTSTRAP_TOKEN=//p' "$FAKE/sent")
  [[ $token =~ ^[a-z0-9]{6}\.[a-z0-9]{16}$ ]]
  grep_config "token: \"$token\""
  grep_config "certificateKey: \"$(sed -n 's/^CERTIFICATE_KEY=//p' "$FAKE/sent")\""
  grep -qx "CA_CERT_HASHES=$hash" "$FAKE/sent"
  grep -qx 'API_ENDPOINT=edge.cluster.test:6443' "$FAKE/sent"
  end=$(sed -n 's/^BOOTSTRAP_TOKEN_EXPIRES=//p' "$FAKE/sent")
  left=$(($(date -d "$end" +%s) - $(date +%s)))
  [ "$left" -gt 7000 ] && [ "$left" -le 7200 ]
  cleaned_up
  [ "$(stat -c %a "$ROOT/root/.kube/config")" = 600 ]
}

@test "init once more: nothing happens, and it says so" {
  script control-plane.sh
  succeeds
  before=$(snapshot)
  forget_calls
  script control-plane.sh
  succeeds
  says 'a control-plane of its cluster already: nothing to do'
  not_called '^(kubeadm (init|join|reset)|curl)'
  [ "$(snapshot)" = "$before" ]
}

@test "two clusters never get one token" {
  script control-plane.sh
  first=$(grep -E 'BOOTSTRAP_TOKEN=|CERTIFICATE_KEY=' "$FAKE/sent")
  rm -rf "$ROOT/etc/kubernetes"
  script control-plane.sh
  succeeds
  [ "$(grep -E 'BOOTSTRAP_TOKEN=|CERTIFICATE_KEY=' "$FAKE/sent")" != "$first" ]
}

@test "init that fails midway: says where to look; run again it takes back what is half done first" {
  touch "$FAKE/broken"
  script control-plane.sh
  fails 1
  says 'timed out waiting for the condition'
  says 'journalctl -u kubelet'
  rm "$FAKE/broken"
  forget_calls
  script control-plane.sh
  succeeds
  says 'what it left is taken back first'
  [ "$(grep -E '^kubeadm (reset|init)' "$CALLS" | cut -d ' ' -f 2 | paste -sd ' ')" = 'reset init' ]
  called_like '^kubeadm reset --config .*/kubeadm-reset.yaml$'
}

@test "killed after kubeadm had made the cluster: nothing is reset, and the edge gets fresh material" {
  script control-plane.sh
  echo begun >"$ROOT/etc/kubernetes/v6edge-bootstrap"
  touch "$FAKE/kube-proxy"
  forget_calls
  script control-plane.sh
  succeeds
  says 'kubeadm init had ended well'
  not_called '^kubeadm (reset|init --config)'
  grep -qx BOOTSTRAP_TOKEN=123456.0123456789abcdef "$FAKE/sent"
}

@test "a configuration that kubeadm does not take ends it before anything is touched" {
  touch "$FAKE/invalid"
  script control-plane.sh
  fails 1
  says 'unknown field "x"'
  not_called '^kubeadm init'
  [ ! -e "$ROOT/etc/kubernetes" ]
}

@test "the edge does not answer: the cluster is made, the material shown, and how to send it later" {
  touch "$FAKE/edge-down"
  script control-plane.sh
  fails 1
  says 'control-plane.sh --send-material'
  says 'KUBEADM_TOKEN='
  script control-plane.sh
  fails 1
  says 'but the edge does not have what further nodes join with'
  rm "$FAKE/edge-down"
  script control-plane.sh
  succeeds
  grep -qx BOOTSTRAP_TOKEN=123456.0123456789abcdef "$FAKE/sent"
  forget_calls
  script control-plane.sh
  succeeds
  not_called '^(curl|kubeadm token)'
  rm "$FAKE/sent"
  script control-plane.sh --send-material
  succeeds
  grep -qx BOOTSTRAP_TOKEN=123456.0123456789abcdef "$FAKE/sent"
  grep -qx "CERTIFICATE_KEY=$(printf 'e%.0s' {1..64})" "$FAKE/sent"
  grep -qx "CA_CERT_HASHES=$hash" "$FAKE/sent"
  not_called '^kubeadm init --config'
}

@test "it is sent to the listener that this node has its settings from" {
  join_settings ROLE=control-plane NODE_NAME=cp1 CLUSTER_INIT=yes KUBEADM_TOKEN= CA_CERT_HASHES= NODE_SECRET=$secret 'REPORT_URL=http://[fd00:6:6::1]:9000/join/report'
  script control-plane.sh
  succeeds
  called_like '^curl .*-X PUT .*http://\[fd00:6:6::1\]:9000/join/material$'
}

@test "without a secret of the edge's the material is printed" {
  join_settings ROLE=control-plane NODE_NAME=cp1 CLUSTER_INIT=yes
  script control-plane.sh
  succeeds
  says "CA_CERT_HASHES=$hash"
  not_called '^curl'
}

@test "--send-material on a node that is no control plane" {
  script control-plane.sh --send-material
  fails 2
  says 'there is no /etc/kubernetes/admin.conf'
}

@test "join: a further control plane, with the key of the certificates" {
  joins
  script control-plane.sh
  succeeds
  called_like '^kubeadm join --config .*/kubeadm-join-control-plane.yaml$'
  grep_config "certificateKey: \"$key\""
  grep_config "caCertHashes: [\"$hash\"]"
  grep_config 'token: "abcdef.0123456789abcdef"'
  not_called "$key"
  cleaned_up
  script control-plane.sh
  succeeds
  says 'nothing to do'
}

@test "join that fails midway, run again" {
  joins
  touch "$FAKE/broken"
  script control-plane.sh
  fails 1
  rm "$FAKE/broken"
  script control-plane.sh
  succeeds
  called_like '^kubeadm reset'
}

@test "join without what it needs: all of it at once, and where it comes from" {
  joins KUBEADM_TOKEN= CA_CERT_HASHES= CERTIFICATE_KEY=
  script control-plane.sh
  fails 2
  says 'KUBEADM_TOKEN is needed to join'
  says 'CA_CERT_HASHES is needed to join'
  says 'CERTIFICATE_KEY is needed to join'
  says 'control-plane.sh --send-material'
  not_called '^kubeadm (join|reset)'
}

@test "wrong input: each with what to do" {
  joins ROLE=worker
  script control-plane.sh
  fails 2
  says 'Run worker.sh on this node'
  joins KUBEADM_TOKEN=abc
  script control-plane.sh
  fails 2
  says 'KUBEADM_TOKEN has to be a bootstrap token'
  joins
  script control-plane.sh --now
  fails 2
  says 'unknown option --now'
  script control-plane.sh now
  fails 2
  settings KUBERNETES_MINOR=1.35
  script control-plane.sh
  fails 1
  says 'kubeadm is v1.36.4, and KUBERNETES_MINOR is 1.35'
}

@test "a node that is not ready for kubeadm: all that is missing at once" {
  no_program kubelet kubectl
  rm "$ROOT/run/crio/crio.sock"
  echo 0 >"$ROOT/proc/sys/net/ipv6/conf/all/forwarding"
  script control-plane.sh
  fails 1
  says 'there is no kubelet: run kubernetes.sh'
  says 'there is no kubectl: run kubernetes.sh'
  says 'run runtime.sh'
  says 'net.ipv6.conf.all.forwarding is not 1: run network.sh'
  not_called '^kubeadm init'
}

@test "a worker, a cluster made by hand, and parts of one" {
  mkdir -p "$ROOT/etc/kubernetes/pki"
  touch "$ROOT/etc/kubernetes/kubelet.conf" "$ROOT/etc/kubernetes/pki/ca.crt"
  script control-plane.sh
  fails 1
  says 'this node is a worker already'
  mkdir "$ROOT/etc/kubernetes/manifests"
  touch "$ROOT/etc/kubernetes/manifests/kube-apiserver.yaml"
  script control-plane.sh
  succeeds
  says 'not made by these scripts'
  rm "$ROOT/etc/kubernetes/kubelet.conf"
  script control-plane.sh
  fails 1
  says 'reset.sh --yes'
  not_called '^kubeadm (init|join|reset)'
}

@test "--dry-run shows the configuration without secrets, and changes nothing" {
  before=$(snapshot)
  script control-plane.sh --dry-run
  succeeds
  says 'would run: kubeadm init --config'
  says '  |   advertiseAddress: "fd00:6:6::21"'
  says 'token: "aaaaaa.aaaaaaaaaaaaaaaa"'
  says 'would send what further nodes join with: PUT http://[fd00:6:6::1]:8654/join/material'
  not_called '^(kubeadm (init|join|reset|config)|curl)'
  [ "$(snapshot)" = "$before" ]
  joins
  script control-plane.sh --dry-run
  succeeds
  says 'would run: kubeadm join --config'
  does_not_say "$key"
}

@test "--dry-run on a bare machine: it warns of what is missing, and goes on" {
  no_program kubeadm kubelet kubectl
  joins KUBEADM_TOKEN= CA_CERT_HASHES= CERTIFICATE_KEY=
  script control-plane.sh --dry-run
  succeeds
  says 'before it is done for real: there is no kubeadm'
  says 'KUBEADM_TOKEN is needed to join'
}
