# edge.env and join.env: read as data, and everything wrong is said at once.
load helpers

setup() {
  fake_node
  printf '#!/bin/bash\n# x\n. "%s/lib.sh" || exit\nparse_options -- "$@"\nload_settings\n%s\n' "$SCRIPTS" 'eval "$SHOW"' >"$FAKE/tried.sh"
  export SHOW=:
}
tried() { run env "PATH=$FAKE/bin" "$FAKE/bin/bash" "$FAKE/tried.sh" "$@"; }

@test "defaults, and what follows from settings" {
  SHOW='echo "$CLUSTER_NAME $EDGE_NAME $API_PORT $KUBERNETES_MINOR $DNS_TTL $KUBERNETES_REPOSITORY $SRV_WORKER"' tried
  succeeds
  [ "$output" = 'v6edge edge.cluster.test 6443 1.36 60 https://pkgs.k8s.io/core:/stable:/v1.36/deb/ _http._tcp:30080 _https._tcp:30443' ]
}

@test "a value of edge.env goes before versions.env; quotes and blanks are taken off" {
  settings 'KUBERNETES_MINOR="1.35"' "EDGE_NAME='api.example.net'  " $'CLUSTER_NAME=lab\r'
  SHOW='echo "$KUBERNETES_MINOR $CRIO_REPOSITORY $EDGE_NAME $CLUSTER_NAME $CALICO_VERSION"' tried
  succeeds
  says '1.35 https://download.opensuse.org/repositories/isv:/cri-o:/stable:/v1.35/deb/ api.example.net lab v'
}

@test "nothing in it is run or expanded" {
  settings 'CLUSTER_NAME=$(touch /tmp/never)' 'IMAGE_REPOSITORY=`id`'
  tried
  fails 2
  says 'CLUSTER_NAME is "$(touch /tmp/never)"'
  [ ! -e /tmp/never ]
}

@test "no file: which one, and what to do" {
  rm "$ROOT/etc/v6edge-node/edge.env"
  tried
  fails 2
  says 'edge.env.example'
  tried --env /nowhere/edge.env
  fails 2
  says 'there is no /nowhere/edge.env'
}

@test "all that is wrong is said at once, each with what is wanted" {
  settings ZONE= EDGE_ADDRESS=192.0.2.1 POD_SUBNET=fd00::1/56 SERVICE_SUBNET=fd00:6:6:ff00::/64 API_PORT=66666 PTR=maybe 'EXTRA_SANS=ok.example -bad-' \
    'SRV_WORKER=_http._tcp:80 http:80' KUBERNETES_MINOR=1.30 REGISTRY_MIRRORS=docker.io NODES=3 'and more' CLUSTER_NAME=a CLUSTER_NAME=b DNS_LEASE=2
  printf 'API_PORT=1\n' >>"$ROOT/etc/v6edge-node/edge.env"
  tried
  fails 2
  says 'edge.env: ZONE is needed'
  says 'EDGE_ADDRESS is "192.0.2.1"; it has to be an IPv6 address'
  says 'POD_SUBNET is "fd00::1/56"; it has to be an IPv6 prefix of /48 to /64, with nothing behind it'
  says 'SERVICE_SUBNET is "fd00:6:6:ff00::/64"; it has to be an IPv6 prefix of /108 to /120'
  says 'API_PORT is "66666"; it has to be a number from 1 to 65535'
  says 'PTR is "maybe"; it has to be one of: edge node none'
  says 'EXTRA_SANS is'
  says 'SRV_WORKER is'
  says 'KUBERNETES_MINOR is "1.30"'
  says 'REGISTRY_MIRRORS is'
  says 'unknown setting NODES'
  says 'not NAME=VALUE: and more'
  says 'API_PORT stands there twice'
  says 'DNS_LEASE is "2"'
}

@test "settings that contradict each other" {
  settings EDGE_ADDRESS=fd00:7::1 POD_SUBNET=fd00:6:6::/56 DNS_LEASE=90s
  tried
  fails 2
  says 'EDGE_ADDRESS fd00:7::1 is not in PRIVATE_SUBNET fd00:6:6::/64'
  says 'POD_SUBNET and PRIVATE_SUBNET overlap'
  says 'DNS_LEASE 90s is shorter than 2m'
}

@test "a bad entry in the middle of a list is found" {
  settings 'SRV_WORKER=_http._tcp:0 _https._tcp:443' 'EXTRA_SANS=a_b.example good.example' 'REGISTRY_MIRRORS=x quay.io=m.example'
  tried
  fails 2
  says 'SRV_WORKER is'
  says 'EXTRA_SANS is'
  says 'REGISTRY_MIRRORS is'
}

@test "join.env: what a node is" {
  join_settings
  SHOW='load_join; echo "$ROLE $NODE_NAME $NODE_FQDN $CLUSTER_INIT"' tried
  succeeds
  says 'worker worker1 worker1.cluster.test no'
  join_settings NODE_NAME=
  SHOW='load_join; echo "$NODE_FQDN"' tried
  says worker1.cluster.test
}

@test "join.env: what is wrong with it, without the secrets" {
  join_settings ROLE=master NODE_NAME=-x- KUBEADM_TOKEN=short CA_CERT_HASHES=sha256:1 DNS_KEY_NAME=
  SHOW='load_join' tried
  fails 2
  says 'ROLE is "master"; it has to be one of: worker control-plane'
  says 'NODE_NAME is "-x-"'
  says 'KUBEADM_TOKEN'
  says 'CA_CERT_HASHES'
  says 'DNS_KEY_SECRET is there without DNS_KEY_NAME'
  join_settings 'DNS_KEY_SECRET=not base64!' 'NODE_SECRET=b ad'
  SHOW='load_join' tried
  fails 2
  does_not_say 'not base64!'
  does_not_say 'b ad'
  join_settings CLUSTER_INIT=yes
  SHOW='load_join' tried
  fails 2
  says 'CLUSTER_INIT=yes is for a control plane'
}

@test "the examples are right, and have all there is" {
  sed '/^$/d' "$SCRIPTS/edge.env.example" >"$ROOT/etc/v6edge-node/edge.env"
  cp "$SCRIPTS/join.env.example" "$ROOT/etc/v6edge-node/join.env"
  SHOW='load_join
    while read -r name _ default; do
      if [ -z "$name" ]; then continue; fi
      grep -qh "^$name=" "$BOOTSTRAP"/*.env.example || { echo "missing: $name"; exit 1; }
      written=$(grep -h "^$name=" "$BOOTSTRAP"/*.env.example | head -1)
      written=${written#*=} written=${written#\"} written=${written%\"}
      case $default in "!" | -) ;; *) [ -z "$written" ] || [ "$written" = "$default" ] || { echo "$name: $written, $default"; exit 1; } ;; esac
    done <<<"$EDGE_SETTINGS$JOIN_SETTINGS"' tried
  succeeds
}
