# For tests of scripts/node-bootstrap: a fake root folder, and programs that only write down how they were called.
# shellcheck shell=bash disable=SC2034,SC2317,SC2154,SC2016
#
#   load helpers
#   setup() { fake_node; }
#
# The scripts see no program of this machine but those that read and write text and files: what would change a machine is either
# recorded, or not found. `stub NAME 'bash code'` says what one prints and returns; without code it succeeds in silence.

SCRIPTS=$(cd "$BATS_TEST_DIRNAME/../../scripts/node-bootstrap" && pwd)
REAL='awk base64 basename bash cat chmod cmp comm cp cut date diff dirname env expr false find flock grep head id install ln ls mkdir
  mktemp mv od paste printf readlink realpath rm rmdir sed seq sha256sum sort stat tail tar tee test touch tr true uname uniq wc xargs'
RECORDED='apt-get apt-mark apt-cache curl conntrack crictl dpkg-query dig findmnt gpg hostname hostnamectl ip ip6tables iptables ipset ipvsadm
  journalctl kubeadm kubectl modprobe mount netplan networkctl nft nproc nsupdate resolvectl sleep ss swapoff sysctl systemctl timedatectl
  udevadm umount'

# fake_node: a Debian 12 with a public and a private interface, settings in edge.env, and no script of ours run on it yet.
fake_node() {
  FAKE=$BATS_TEST_TMPDIR
  export ROOT=$FAKE/root CALLS=$FAKE/calls
  export -n DRY_RUN VERBOSE ENV_FILE JOIN_FILE 2>/dev/null || true
  unset DRY_RUN VERBOSE ENV_FILE JOIN_FILE V6EDGE_BOOTSTRAP_LOCKED
  mkdir -p "$ROOT"/{etc,run,var/lib,proc,sys,usr/lib}
  : >"$CALLS"
  # Made once for a file of tests.
  if [ ! -d "$BATS_FILE_TMPDIR/bin" ]; then programs "$BATS_FILE_TMPDIR/bin"; fi
  cp -a "$BATS_FILE_TMPDIR/bin" "$FAKE/bin"
  printf 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n' >"$ROOT/etc/os-release"
  stub hostname 'echo worker1'
  stub ip "$(cat "$BATS_TEST_DIRNAME/ip-stub.bash")"
  settings
}

programs() {
  local program FAKE=$BATS_FILE_TMPDIR
  mkdir "$1"
  for program in $REAL; do ln -s "$(type -P "$program")" "$1/$program"; done
  for program in $RECORDED; do stub "$program"; done
}

# script NAME [ARGUMENTS…]: runs one of the scripts on the fake node, as bats' `run` does.
script() {
  local name=$1
  shift
  run env "PATH=$FAKE/bin" "$FAKE/bin/bash" "$SCRIPTS/$name" "$@"
}

# stub NAME [CODE]: a program that writes its name and arguments to $CALLS, a line a call, and then does CODE. Standard input is its own.
stub() {
  rm -f "$FAKE/bin/$1"
  printf '#!/bin/bash\nprintf "%%s\\n" "%s${*:+ }$*" >>"$CALLS"\n%s\n' "$1" "${2-}" >"$FAKE/bin/$1"
  chmod +x "$FAKE/bin/$1"
}

# no_program NAME…: these are not installed.
no_program() {
  local name
  for name; do rm -f "$FAKE/bin/$name"; done
}

# settings [NAME=VALUE…]: writes edge.env, the example's cluster with these changed (an empty value: left out).
settings() {
  local change
  mkdir -p "$ROOT/etc/v6edge-node"
  printf '%s\n' ZONE=cluster.test EDGE_ADDRESS=fd00:6:6::1 PRIVATE_SUBNET=fd00:6:6::/64 POD_SUBNET=fd00:6:6:100::/56 \
    SERVICE_SUBNET=fd00:6:6:ff00::/112 >"$ROOT/etc/v6edge-node/edge.env"
  for change; do
    sed -i "/^${change%%=*}=/d" "$ROOT/etc/v6edge-node/edge.env"
    printf '%s\n' "$change" >>"$ROOT/etc/v6edge-node/edge.env"
  done
}

# join_settings [NAME=VALUE…]: writes join.env, a worker's with these changed.
join_settings() {
  local change file=$ROOT/etc/v6edge-node/join.env
  printf '%s\n' ROLE=worker NODE_NAME=worker1 DNS_KEY_NAME=worker1.cluster.test DNS_KEY_SECRET=c2VjcmV0LXNlY3JldC1zZWNyZXQ= \
    KUBEADM_TOKEN=abcdef.0123456789abcdef "CA_CERT_HASHES=sha256:$(printf '0%.0s' {1..64})" >"$file"
  for change; do
    sed -i "/^${change%%=*}=/d" "$file"
    printf '%s\n' "$change" >>"$file"
  done
}

# called TEXT: a recorded call is this line; called_like REGEX: one matches.
called() { grep -qxF -- "$1" "$CALLS" || { printf 'not called: %s; but:\n' "$1" && cat "$CALLS" && false; }; }
called_like() { grep -qE -- "$1" "$CALLS" || { printf 'not called: %s; but:\n' "$1" && cat "$CALLS" && false; }; }
not_called() { ! grep -E -- "$1" "$CALLS"; }
forget_calls() { : >"$CALLS"; }

# succeeds, fails CODE: how the last script ended; its output is shown if not so.
succeeds() { [ "$status" -eq 0 ] || { printf 'code %s\n%s\n' "$status" "$output" && false; }; }
fails() { [ "$status" -eq "$1" ] || { printf 'code %s, not %s\n%s\n' "$status" "$1" "$output" && false; }; }
# says TEXT: the last script's output has it; does_not_say.
says() { [[ $output = *"$1"* ]] || { printf 'does not say: %s\n%s\n' "$1" "$output" && false; }; }
does_not_say() { [[ $output != *"$1"* ]] || { printf 'says: %s\n%s\n' "$1" "$output" && false; }; }
# has FILE TEXT: a file of the fake root has this line.
has() { grep -qxF -- "$2" "$ROOT$1" || { printf 'no line "%s" in %s:\n' "$2" "$1" && cat "$ROOT$1" && false; }; }

# snapshot: every file below the fake root with its mode and sum, but for locks: two are equal if nothing was changed.
snapshot() { (cd "$ROOT" && find . -type f -not -path './run/*' -printf '%p %m ' -exec sha256sum {} \; | sort); }

# good_machine: what preflight.sh and network.sh want to see of the fake node.
good_machine() {
  mkdir -p "$ROOT"/run/systemd/system "$ROOT"/sys/fs/cgroup "$ROOT"/sys/module/{overlay,br_netfilter} "$ROOT"/proc/sys/net/ipv6/conf/all \
    "$ROOT"/sys/class/net/{pub0,priv0}/device
  touch "$ROOT/sys/fs/cgroup/cgroup.controllers"
  printf 'MemTotal:        4030212 kB\n' >"$ROOT/proc/meminfo"
  printf 'Filename Type Size Used Priority\n' >"$ROOT/proc/swaps"
  printf 'nodev overlay\n' >"$ROOT/proc/filesystems"
  echo 1 >"$ROOT/proc/sys/net/ipv6/conf/all/forwarding"
  echo 1500 | tee "$ROOT/sys/class/net/pub0/mtu" >"$ROOT/sys/class/net/priv0/mtu"
  echo 52:54:00:12:34:56 >"$ROOT/sys/class/net/priv0/address"
  stub nproc 'echo 4'
  stub df 'printf "Filesystem 1G-blocks Used Available Capacity Mounted\n/dev/vda1 40G 5G 35G 13%% /\n"'
  stub timedatectl 'echo yes'
  stub timeout
  stub systemctl 'case "$1 $3" in "is-active ufw" | "is-active firewalld" | "is-active docker" | "is-active containerd" | "is-active NetworkManager") exit 3 ;; esac'
}
