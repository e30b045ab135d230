# runtime.sh and kubernetes.sh: repositories with keys that are checked, packages of one minor version, held.
load helpers

setup() {
  fake_node
  good_machine
  INSTALLED=$FAKE/installed
  : >"$INSTALLED"
  export INSTALLED MINOR=1.36 K8S_KEY=DE15B14486CD377B9E876E1A234654DA9A296436 CRIO_KEY=$(printf 'A%.0s' {1..40})
  # A small dpkg: what apt-get installs is there from then on, of minor version $MINOR.
  stub dpkg-query 'version=$(sed -n "s/^${*: -1} //p" "$INSTALLED"); [ -n "$version" ] || exit 1; case "$*" in *Status*) printf "ii " ;; *) printf %s "$version" ;; esac'
  stub apt-get '[ ! -e "$FAKE_BROKEN_APT" ] || { echo "E: could not resolve"; exit 100; }
    names=; for word; do if [ -n "$names" ]; then sed -i "/^$word /d" "$INSTALLED"; echo "$word $MINOR.4-1.1" >>"$INSTALLED"; fi; [ "$word" != install ] || names=yes; done'
  stub apt-mark 'case $1 in hold) echo "$2" >>"$INSTALLED.held" ;; showhold) cat "$INSTALLED.held" 2>/dev/null ;; esac; exit 0'
  stub curl 'while [ $# -gt 1 ]; do [ "$1" != -o ] || echo "key of $url${*: -1}" >"$2"; shift; done'
  stub gpg 'case $(cat "${*: -1}") in *pkgs.k8s*) f=$K8S_KEY ;; *) f=$CRIO_KEY ;; esac; [ -z "$f" ] || printf "pub:${KEY_STATE--}:2048:1:X:\nfpr:::::::::%s:\nsub:-:\nfpr:::::::::FFFF:\n" $f'
  export FAKE_BROKEN_APT=$FAKE/broken-apt
  crio_socket
}

crio_socket() {
  mkdir -p "$ROOT/var/run/crio"
  python3 -c 'import os, socket, sys; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind("crio.sock")' "$ROOT/var/run/crio"
}

@test "kubernetes.sh, fresh: key checked, packages held, swap off for good" {
  printf 'UUID=1 / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n' >"$ROOT/etc/fstab"
  printf 'Filename Type\n/swapfile file\n' >"$ROOT/proc/swaps"
  stub systemctl '[ "$1" != list-units ] || echo "swapfile.swap loaded active active /swapfile"'
  script kubernetes.sh
  succeeds
  has /etc/apt/sources.list.d/kubernetes.sources 'URIs: https://pkgs.k8s.io/core:/stable:/v1.36/deb/'
  has /etc/apt/sources.list.d/kubernetes.sources 'Signed-By: /etc/apt/keyrings/kubernetes.asc'
  [ -s "$ROOT/etc/apt/keyrings/kubernetes.asc" ]
  called_like 'apt-get .*install kubelet kubeadm kubectl$'
  for package in kubelet kubeadm kubectl; do called "apt-mark hold $package"; done
  called_like 'apt-get .*install iptables nftables conntrack nfs-common bind9-dnsutils openssl$'
  called 'swapoff -a'
  called 'systemctl mask swapfile.swap'
  has /etc/fstab '# off for Kubernetes: /swapfile none swap sw 0 0'
  has /etc/fstab 'UUID=1 / ext4 defaults 0 1'
  called 'systemctl enable kubelet'
  not_called 'systemctl .*start.*kubelet'
}

@test "repeated: nothing is fetched, installed or written" {
  script kubernetes.sh
  script runtime.sh
  succeeds
  before=$(snapshot)
  forget_calls
  script kubernetes.sh
  succeeds
  script runtime.sh
  succeeds
  [ "$(snapshot)" = "$before" ]
  not_called '^(apt-get|curl|swapoff)|apt-mark hold|restart'
}

@test "a key with another fingerprint is refused; nothing of it is kept" {
  K8S_KEY=$(printf 'B%.0s' {1..40}) script kubernetes.sh
  fails 1
  says "has the fingerprint $(printf 'B%.0s' {1..40}), not $K8S_KEY"
  says 'KUBERNETES_KEY_FINGERPRINT='
  [ ! -e "$ROOT/etc/apt/keyrings/kubernetes.asc" ] && [ ! -e "$ROOT/etc/apt/sources.list.d/kubernetes.sources" ]
  not_called 'install .*kubelet'
}

@test "a key that has expired, and something that is no key" {
  KEY_STATE=e script kubernetes.sh
  fails 1
  says 'is not one key that is still good'
  K8S_KEY= script kubernetes.sh
  fails 1
  says 'gpg --show-keys'
}

@test "without a known fingerprint the first key is shown and kept, another one refused" {
  script runtime.sh
  succeeds
  says "taking the key $CRIO_KEY"
  rm "$ROOT/etc/apt/keyrings/crio.asc"
  CRIO_KEY=$(printf 'C%.0s' {1..40}) script runtime.sh
  fails 1
  says "not $CRIO_KEY"
  says 'CRIO_KEY_FINGERPRINT='
}

@test "runtime.sh: CRI-O with systemd's control groups and mirrors" {
  settings 'REGISTRY_MIRRORS=docker.io=mirror.example.net/docker quay.io=q.example docker.io=second.example'
  script runtime.sh
  succeeds
  has /etc/crio/crio.conf.d/20-v6edge.conf 'cgroup_manager = "systemd"'
  expected='[[registry]]
prefix = "docker.io"
location = "docker.io"

[[registry.mirror]]
location = "mirror.example.net/docker"

[[registry.mirror]]
location = "second.example"

[[registry]]
prefix = "quay.io"
location = "quay.io"

[[registry.mirror]]
location = "q.example"'
  [ "$(tail -n +3 "$ROOT/etc/containers/registries.conf.d/20-v6edge.conf")" = "$expected" ]
  called 'systemctl enable --now crio'
  called 'systemctl restart crio'
  settings
  forget_calls
  script runtime.sh
  succeeds
  [ ! -e "$ROOT/etc/containers/registries.conf.d/20-v6edge.conf" ]
  called 'systemctl restart crio'
}

@test "CRI-O that does not come up: where to look" {
  rm "$ROOT/var/run/crio/crio.sock"
  script runtime.sh
  fails 1
  says 'journalctl -u crio'
}

@test "no packages to be had: tried again, told what to look at; the second run ends well" {
  touch "$FAKE_BROKEN_APT"
  script kubernetes.sh
  fails 1
  says 'E: could not resolve'
  says 'Does the edge resolve names'
  [ "$(grep -c 'apt-get.* update' "$CALLS")" = 4 ]
  rm "$FAKE_BROKEN_APT"
  script kubernetes.sh
  succeeds
}

@test "failing between packages and hold: run again, the hold is made" {
  stub apt-mark 'case $1 in hold) exit 1 ;; esac'
  script kubernetes.sh
  fails 1
  stub apt-mark 'case $1 in hold) echo "$2" >>"$INSTALLED.held" ;; showhold) cat "$INSTALLED.held" 2>/dev/null ;; esac; exit 0'
  forget_calls
  script kubernetes.sh
  succeeds
  called 'apt-mark hold kubelet'
  not_called 'install kubelet'
}

@test "another minor version: installed over one that is in no cluster, refused on a node" {
  script kubernetes.sh
  settings KUBERNETES_MINOR=1.37
  MINOR=1.37 script kubernetes.sh
  succeeds
  called_like 'apt-get .*--allow-change-held-packages install kubelet'
  mkdir -p "$ROOT/etc/kubernetes"
  touch "$ROOT/etc/kubernetes/kubelet.conf"
  settings KUBERNETES_MINOR=1.38
  MINOR=1.38 script kubernetes.sh
  fails 1
  says 'kubelet is 1.37 here, and KUBERNETES_MINOR in edge.env is 1.38'
  says 'one minor at a time'
  says 'KUBERNETES_MINOR=1.37'
}

@test "another repository has the package in another version" {
  MINOR=1.30 script kubernetes.sh
  fails 1
  says 'kubelet 1.30 was installed, not 1.36'
  says 'apt-cache policy kubelet'
}

@test "--dry-run: nothing is fetched or installed" {
  before=$(snapshot)
  script kubernetes.sh --dry-run
  succeeds
  says 'would fetch: https://pkgs.k8s.io/core:/stable:/v1.36/deb/Release.key'
  says 'install kubelet kubeadm kubectl'
  says 'would run: apt-mark hold kubelet'
  does_not_say 'are there, and held'
  script runtime.sh --dry-run
  succeeds
  says '| cgroup_manager = "systemd"'
  [ "$(snapshot)" = "$before" ]
  not_called '^(apt-get|curl|systemctl enable|systemctl restart)'
}
