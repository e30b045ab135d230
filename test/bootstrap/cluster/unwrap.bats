# unwrap.sh: v6edge on a control plane. That its configuration passes `v6edge check`, and does what it says in front of a TLS server, is
# in unwrap.test.ts with the real daemon.
load helpers

setup() {
  fake_node
  mkdir -p "$ROOT/etc/v6edge"
  # As the package brings it.
  cp "$BATS_TEST_DIRNAME/../../packaging/v6edge.yaml" "$ROOT/etc/v6edge/v6edge.yaml"
  export FAKE
  stub v6edge '[ ! -e "$FAKE/invalid" ] || { echo "v6edge.yaml:1:1: wrong"; exit 2; }'
  config=/etc/v6edge/v6edge.yaml
}

@test "writes, checks and starts; prints what the edge needs" {
  script unwrap.sh
  succeeds
  has $config '      bind: ["[fd00:6:6::21]:7443"]'
  has $config '      trusted: ["fd00:6:6::1/128"] # the edge; whoever else connects is turned away'
  [ "$(grep -E '^(v6edge|systemctl)' "$CALLS" | cut -d ' ' -f 1,2 | paste -sd ,)" = 'v6edge check,systemctl restart,systemctl enable' ]
  says '{ name: worker1, address: "fd00:6:6::21", port: 7443 }'
  says 'SRV_CONTROL_PLANE="_kube-api._tcp:7443"'
}

@test "again: nothing is written or restarted" {
  script unwrap.sh
  before=$(snapshot)
  forget_calls
  script unwrap.sh
  succeeds
  not_called 'restart'
  [ "$(snapshot)" = "$before" ]
}

@test "installs a package once" {
  echo deb >"$FAKE/v6edge_1_amd64.deb"
  script unwrap.sh --package "$FAKE/v6edge_1_amd64.deb"
  succeeds
  called "apt-get install -y $(realpath "$FAKE")/v6edge_1_amd64.deb"
  forget_calls
  script unwrap.sh --package "$FAKE/v6edge_1_amd64.deb"
  not_called '^apt-get'
}

@test "fails midway, and run again" {
  touch "$FAKE/invalid"
  script unwrap.sh
  fails 1
  says 'v6edge.yaml:1:1: wrong'
  not_called '^systemctl'
  rm "$FAKE/invalid"
  script unwrap.sh
  succeeds
  called 'systemctl restart v6edge.service'
}

@test "wrong input, each with what to do" {
  echo '# my own' >"$ROOT$config"
  script unwrap.sh
  fails 2
  says 'not written by this script'
  rm "$ROOT$config"
  script unwrap.sh --package /nowhere.deb
  fails 2
  says 'there is no file /nowhere.deb'
  settings UNWRAP_PORT=6443
  script unwrap.sh
  fails 2
  says "kube-apiserver's own"
  settings
  no_program v6edge
  script unwrap.sh
  fails 2
  says 'unwrap.sh --package ./v6edge_VERSION_ARCH.deb'
  [ ! -e "$ROOT$config" ]
}

@test "--remove takes away what it made, and nothing else" {
  script unwrap.sh --remove
  succeeds
  says 'nothing to do'
  [ -e "$ROOT$config" ]
  script unwrap.sh
  script unwrap.sh --remove
  succeeds
  called 'systemctl disable --now v6edge.service'
  [ ! -e "$ROOT$config" ]
}

@test "--dry-run shows the configuration, also where v6edge is not installed" {
  no_program v6edge
  before=$(snapshot)
  script unwrap.sh --dry-run
  succeeds
  says '  |       bind: ["[fd00:6:6::21]:7443"]'
  says '--package FILE.deb is needed'
  not_called '^(systemctl|apt-get)'
  [ "$(snapshot)" = "$before" ]
}
