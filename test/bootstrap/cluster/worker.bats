# worker.sh: kubeadm join, with a kubeadm that leaves what the real one leaves (cluster-stubs.bash).
load helpers
load cluster/cluster-stubs

setup() {
  fake_node
  ready_node
  join_settings
}

@test "joins with the token and the hash of join.env, and leaves no secret behind" {
  script worker.sh
  succeeds
  called_like '^kubeadm config validate --config '
  called_like '^kubeadm join --config .*/kubeadm-join-worker.yaml$'
  grep -qF 'name: "worker1"' "$FAKE/config.yaml"
  grep -qF 'value: "fd00:6:6::21"' "$FAKE/config.yaml"
  [ -z "$(grep controlPlane: "$FAKE/config.yaml")" ]
  [ "$(cat "$FAKE/config.mode")" = 600 ]
  cleaned_up
}

@test "once more: nothing happens, and it says so" {
  script worker.sh
  before=$(snapshot)
  forget_calls
  script worker.sh
  succeeds
  says 'a worker of its cluster already: nothing to do'
  not_called '^kubeadm (join|reset)'
  [ "$(snapshot)" = "$before" ]
}

@test "fails midway, and run again" {
  touch "$FAKE/broken"
  script worker.sh
  fails 1
  says 'timed out waiting'
  rm "$FAKE/broken"
  script worker.sh
  succeeds
  [ "$(grep -E '^kubeadm (reset|join)' "$CALLS" | cut -d ' ' -f 2 | paste -sd ' ')" = 'join reset join' ]
}

@test "killed after the node was in the cluster: it is not thrown out again" {
  script worker.sh
  echo begun >"$ROOT/etc/kubernetes/v6edge-bootstrap"
  touch "$FAKE/ready"
  forget_calls
  script worker.sh
  succeeds
  says 'had ended well'
  not_called '^kubeadm (reset|join)'
}

@test "wrong input, each with what to do" {
  join_settings ROLE=control-plane
  script worker.sh
  fails 2
  says 'Run control-plane.sh on this node'
  join_settings KUBEADM_TOKEN= CA_CERT_HASHES=sha256:12
  script worker.sh
  fails 2
  says 'CA_CERT_HASHES is "sha256:12"'
  join_settings KUBEADM_TOKEN=
  script worker.sh
  fails 2
  says 'KUBEADM_TOKEN is needed to join'
  rm "$ROOT/etc/v6edge-node/join.env"
  script worker.sh
  fails 2
  says 'v6edge node token create'
  not_called '^kubeadm (join|reset)'
}

@test "no private address yet, and forwarding off" {
  stub ip 'case "$*" in *"addr show"*) ;; *) '"$(cat "$BATS_TEST_DIRNAME/ip-stub.bash")"' ;; esac'
  script worker.sh
  fails 1
  says 'has no usable address of fd00:6:6::/64'
  stub ip "$(cat "$BATS_TEST_DIRNAME/ip-stub.bash")"
  rm "$ROOT/proc/sys/net/ipv6/conf/all/forwarding"
  script worker.sh
  fails 1
  says 'net.ipv6.conf.all.forwarding is not 1'
}

@test "--dry-run changes nothing" {
  before=$(snapshot)
  script worker.sh --dry-run
  succeeds
  says 'would run: kubeadm join --config'
  not_called '^kubeadm (join|reset|config)'
  [ "$(snapshot)" = "$before" ]
}
