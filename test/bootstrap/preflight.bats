# preflight.sh: everything that is in the way is said at once, and nothing is changed.
load helpers

setup() {
  fake_node
  good_machine
}

@test "a good machine: nothing to say, nothing changed" {
  before=$(snapshot)
  script preflight.sh
  succeeds
  [ "$output" = 'preflight.sh: this machine can become a worker' ]
  [ "$(snapshot)" = "$before" ]
  not_called '^(apt|sysctl|hostnamectl|networkctl|modprobe$)'
  script preflight.sh --verbose
  says 'ok: Debian GNU/Linux 12 (bookworm)'
  says 'ok: the edge answers at fd00:6:6::1'
}

@test "each system it is for, and others" {
  for system in 'debian 13' 'ubuntu 22.04' 'ubuntu 24.04'; do
    printf 'ID=%s\nVERSION_ID="%s"\nPRETTY_NAME="It"\n' $system >"$ROOT/etc/os-release"
    script preflight.sh
    succeeds
  done
  printf 'ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora 42"\n' >"$ROOT/etc/os-release"
  script preflight.sh
  fails 1
  says 'Fedora 42 is none of Debian 12 and 13, Ubuntu 22.04 and 24.04'
}

@test "all that is wrong with a bad one, at once, each with what to do" {
  rm -r "$ROOT/run/systemd" "$ROOT/sys/fs/cgroup/cgroup.controllers"
  printf 'ID=debian\nVERSION_ID=11\nPRETTY_NAME="Debian 11"\n' >"$ROOT/etc/os-release"
  printf 'MemTotal:         512000 kB\n' >"$ROOT/proc/meminfo"
  echo 1280 >"$ROOT/sys/class/net/priv0/mtu"
  mkdir -p "$ROOT/etc/network"
  printf 'auto priv0\niface priv0 inet6 auto\n' >"$ROOT/etc/network/interfaces"
  stub timeout 'exit 1'
  stub hostname 'echo Bad_Name'
  stub ss 'echo "LISTEN 0 4096 *:10250 *:*"'
  stub systemctl '[ "$*" = "is-active --quiet ufw" ]'
  stub modprobe 'exit 1'
  : >"$ROOT/proc/filesystems"
  rmdir "$ROOT/sys/module/overlay"
  stub ip '[[ $* != "-6 route show default dev"* ]] || exit 0; '"$(cat "$BATS_TEST_DIRNAME/ip-stub.bash")"
  script preflight.sh
  fails 1
  says 'cannot become a worker yet: 12 in the way'
  says 'Debian 11 is none of'
  says 'systemd does not run here'
  says 'cgroup v1 is in use'
  says 'a worker needs 900 MB of memory; this machine has 500 MB'
  says 'the MTU of priv0 is 1280; pods need 1350'
  says 'priv0 stands in /etc/network/interfaces'
  says 'the edge does not answer on fd00:6:6::1 port 53'
  says 'there is no IPv6 default route by pub0'
  says '"Bad_Name" cannot be a node'
  says 'TCP port 10250 is in use'
  says 'systemctl disable --now ufw'
  says 'the kernel has no overlay'
}

@test "what works but will be noticed: warnings" {
  printf 'Filename Type\n/swap file\n' >"$ROOT/proc/swaps"
  stub timedatectl 'echo no'
  stub df 'printf "Filesystem 1G-blocks Used Available Capacity Mounted\n/dev/vda1 10G 7G 3G 70%% /\n"'
  echo 'nameserver 192.0.2.53' >"$ROOT/etc/resolv.conf"
  export IP_ADDRESS=
  stub systemctl '[ "$*" = "is-active --quiet docker" ]'
  stub ip '[[ $* != "-4 -o addr show scope global" ]] || { echo "2: pub0    inet 169.254.3.4/16 scope global pub0"; exit; }; '"$(cat "$BATS_TEST_DIRNAME/ip-stub.bash")"
  script preflight.sh
  succeeds
  says 'swap is on'
  says 'the clock is not synchronized'
  says 'there are 3 GB free below /var'
  says 'DNS is asked of 192.0.2.53 now'
  says 'priv0 has no address of fd00:6:6::/64 yet'
  says 'docker runs here'
  says 'an IPv4 address of 169.254.0.0/16'
  says '(7 warnings)'
}

@test "a control plane wants more, and more ports" {
  join_settings ROLE=control-plane NODE_NAME=cp1
  printf 'MemTotal:        1024000 kB\n' >"$ROOT/proc/meminfo"
  stub nproc 'echo 1'
  stub ss 'printf "LISTEN 0 4096 [::]:6443 [::]:*\nLISTEN 0 4096 [::1]:2379 *:*\n"'
  script preflight.sh
  fails 1
  says 'a control plane needs 2 CPUs; this machine has 1'
  says 'a control plane needs 1700 MB of memory; this machine has 1000 MB'
  says 'TCP port 6443 is in use'
  says 'TCP port 2379 is in use'
}

@test "a node that is one already has its ports in use" {
  mkdir -p "$ROOT/etc/kubernetes"
  touch "$ROOT/etc/kubernetes/kubelet.conf"
  stub ss 'echo "LISTEN 0 4096 *:10250 *:*"'
  script preflight.sh
  succeeds
}

@test "the edge's own name is not for a node, and no name twice" {
  join_settings NODE_NAME=edge
  script preflight.sh
  fails 1
  says '"edge" is the edge'
}

@test "interfaces that cannot be told apart" {
  settings PRIVATE_INTERFACE=nope
  script preflight.sh
  fails 1
  says 'there is no interface nope, only: pub0 priv0'
}

@test "wrong settings end it before anything is looked at" {
  settings POD_SUBNET=
  script preflight.sh
  fails 2
  says 'POD_SUBNET is needed'
}
