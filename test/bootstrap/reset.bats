# reset.sh: all of Kubernetes and Calico goes, and nothing else.
load helpers

setup() {
  fake_node
  good_machine
  stub hostname 'echo worker1'
  mkdir -p "$ROOT"/etc/kubernetes/pki "$ROOT"/var/lib/{kubelet/pods,etcd/member,calico,cni} "$ROOT"/etc/cni/net.d "$ROOT"/root/.kube "$ROOT"/var/lib/v6edge-node/steps
  touch "$ROOT"/etc/kubernetes/{kubelet.conf,pki/ca.crt} "$ROOT"/etc/cni/net.d/{10-calico.conflist,calico-kubeconfig,99-mine.conflist} \
    "$ROOT"/root/.kube/{config,mine} "$ROOT"/var/lib/v6edge-node/steps/{announce,network} "$ROOT"/var/lib/calico/nodename
  stub ip 'case "$*" in "-o link show") printf "%s\n" "1: lo: <UP>" "2: pub0: <UP>" "7: cali0a1b2c3d4e5@if2: <UP>" "8: vxlan-v6.calico: <UP>" "9: calimero0: <UP>" "10: kube-ipvs0: <UP>" ;; esac'
  stub findmnt '[ ! -e "$ROOT/mounted" ] || printf "%s\n" / /var/lib/kubelet/pods/a/volumes/b /var/lib/kubelet/pods/a /run/netns/cni-1 /run/user/0'
  stub umount 'rm -f "$ROOT/mounted"'
  stub nft 'case "$*" in "list tables") printf "%s\n" "table ip6 kube-proxy" "table inet v6edge_public" "table ip calico" "table ip mine" ;; esac'
  stub ipset 'case "$*" in "list -name") printf "%s\n" cali60s:abc mine KUBE-LOOP ;; esac'
  printf '%s\n' '*nat' ':PREROUTING ACCEPT [0:0]' ':KUBE-SERVICES - [0:0]' ':cali-OUTPUT - [0:0]' '-A PREROUTING -j KUBE-SERVICES' '-A PREROUTING -m comment --comment "cali:x" -j cali-PREROUTING' \
    '-A PREROUTING -p tcp --dport 2222 -j REDIRECT --to-ports 22' COMMIT >"$FAKE/rules"
  export FAKE
  for family in iptables ip6tables; do
    stub "$family-save" 'cat "$FAKE/rules"'
    stub "$family-restore" 'cp "${*: -1}" "$FAKE/restored"'
  done
  touch "$ROOT/mounted"
  stub kubelet
}

@test "without --yes nothing happens" {
  before=$(snapshot)
  script reset.sh
  fails 2
  says 'this wipes the cluster'
  says 'reset.sh --yes'
  [ "$(snapshot)" = "$before" ]
}

@test "all of Kubernetes goes, in order, and nothing else" {
  script reset.sh --yes
  succeeds
  called 'kubeadm reset --force --cri-socket unix:///var/run/crio/crio.sock --cleanup-tmp-dir'
  called 'systemctl stop kubelet'
  called 'crictl --runtime-endpoint unix:///var/run/crio/crio.sock rmp --force --all'
  [ "$(grep ^umount "$CALLS" | tr '\n' ';')" = 'umount --lazy /var/lib/kubelet/pods/a/volumes/b;umount --lazy /var/lib/kubelet/pods/a;umount --lazy /run/netns/cni-1;' ]
  [ ! -e "$ROOT/etc/kubernetes/kubelet.conf" ] && [ ! -e "$ROOT/var/lib/kubelet" ] && [ ! -e "$ROOT/var/lib/etcd" ] && [ ! -e "$ROOT/var/lib/calico" ]
  [ -d "$ROOT/etc/kubernetes/manifests" ]
  [ "$(ls "$ROOT/etc/cni/net.d")" = 99-mine.conflist ]
  [ "$(ls "$ROOT/root/.kube")" = mine ]
  [ "$(ls "$ROOT/var/lib/v6edge-node/steps")" = network ]
  [ "$(grep '^ip link' "$CALLS" | tr '\n' ';')" = 'ip link delete cali0a1b2c3d4e5;ip link delete vxlan-v6.calico;ip link delete kube-ipvs0;' ]
  [ "$(cat "$FAKE/restored")" = '*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp --dport 2222 -j REDIRECT --to-ports 22
COMMIT' ]
  called 'nft delete table ip6 kube-proxy'
  called 'nft delete table ip calico'
  not_called 'nft delete table (inet|ip mine)'
  called 'ipset destroy cali60s:abc'
  not_called 'ipset destroy mine'
  called 'systemctl start crio'
}

@test "again: nothing is left to do, and it ends well" {
  script reset.sh --yes
  printf '*nat\nCOMMIT\n' >"$FAKE/rules"
  rm "$FAKE/restored"
  before=$(snapshot)
  script reset.sh --yes
  succeeds
  [ "$(snapshot)" = "$before" ]
  [ ! -e "$FAKE/restored" ]
}

@test "it leaves its pools first; its name too if told so" {
  mkdir -p "$ROOT/etc/systemd/system"
  touch "$ROOT/etc/systemd/system/v6edge-member.service"
  join_settings
  script reset.sh --yes
  succeeds
  [ "$(grep -n 'disable --now v6edge-member.service' "$CALLS" | cut -d: -f1)" -lt "$(grep -n '^kubeadm reset' "$CALLS" | cut -d: -f1)" ]
  echo 'key "k" { algorithm hmac-sha256; secret "eA=="; };' >"$ROOT/etc/v6edge-node/dns.key"
  stub ip "$(cat "$BATS_TEST_DIRNAME/ip-stub.bash")"
  script reset.sh --yes --withdraw
  succeeds
  called_like '^nsupdate'
  [ ! -e "$ROOT/etc/systemd/system/v6edge-member.service" ]
}

@test "what fails is told at the end, the rest is done; run again, it ends well" {
  stub kubeadm 'echo "etcd: no leader" >&2; exit 1'
  stub umount 'exit 32'
  script reset.sh --yes
  fails 1
  says 'etcd: no leader'
  says 'kubeadm reset --force'
  says 'something is still mounted below /var/lib/kubelet, which was left'
  says 'run this again, or reboot'
  [ -d "$ROOT/var/lib/kubelet" ] && [ ! -e "$ROOT/etc/kubernetes/kubelet.conf" ]
  called 'nft delete table ip6 kube-proxy'
  stub kubeadm
  stub umount 'rm -f "$ROOT/mounted"'
  script reset.sh --yes
  succeeds
  [ ! -e "$ROOT/var/lib/kubelet" ]
}

@test "a machine on which not even kubeadm is there" {
  no_program kubelet kubeadm crictl nft ipset ipvsadm iptables-save ip6tables-save
  stub systemctl 'exit 1'
  rm "$ROOT/mounted"
  stub systemctl '[ "$1" = daemon-reload ]'
  script reset.sh --yes
  succeeds
  [ ! -e "$ROOT/etc/kubernetes" ]
}

@test "--dry-run shows it all, and does none of it" {
  before=$(snapshot)
  script reset.sh --dry-run
  succeeds
  says 'would run: kubeadm reset --force'
  says 'would remove: /etc/kubernetes'
  says 'would run: ip link delete cali0a1b2c3d4e5'
  [ "$(snapshot)" = "$before" ]
  not_called '^(kubeadm|umount|crictl|ip link|nft delete|ipset destroy|systemctl (stop|start))'
}

@test "a folder that is not ours to take: options it does not know" {
  script reset.sh --yes --force
  fails 2
  says 'unknown option --force'
}
