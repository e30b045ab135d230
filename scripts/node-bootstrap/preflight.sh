#!/bin/bash
# Looks whether this machine can become a node, changes nothing, and says everything that is wrong at once.
#
#   preflight.sh [--dry-run] [--verbose] [--env FILE] [--join FILE]
#
# Ends with 0 if a node can be made of it, 1 if not. Warnings are what works but will be noticed.
#
#   --verbose, -v    say what is well, too
#   --dry-run, -n    the same: nothing is ever changed
#   --env FILE       the cluster's settings (/etc/v6edge-node/edge.env)
#   --join FILE      what this node is to be (/etc/v6edge-node/join.env); without one it is looked at as a worker
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit

# Of a control plane, kubeadm wants these itself (its preflight checks); a worker with less does not hold a pod.
CONTROL_PLANE_CPUS=2
CONTROL_PLANE_MEGABYTES=1700
WORKER_MEGABYTES=900
DISK_GIGABYTES=8
# VXLAN takes 70 octets of a packet, and IPv6 needs 1280 (RFC 8200 §5).
SMALLEST_MTU=1350

WARNINGS=0
well() { if [ -n "$VERBOSE" ]; then log "ok: $*"; fi; }
notice() {
  WARNINGS=$((WARNINGS + 1))
  warn "$@"
}

# Whether a cluster runs here already: then its ports and files are as they are to be.
is_node() { [ -f "$ROOT/etc/kubernetes/kubelet.conf" ]; }

check_system() {
  local ID=unknown VERSION_ID='' PRETTY_NAME=''
  # shellcheck disable=SC1091
  if [ -f "$ROOT/etc/os-release" ]; then . "$ROOT/etc/os-release"; fi
  case $ID:$VERSION_ID in
    debian:12 | debian:13 | ubuntu:22.04 | ubuntu:24.04) well "$PRETTY_NAME" ;;
    *) problem "${PRETTY_NAME:-this system} is none of Debian 12 and 13, Ubuntu 22.04 and 24.04: install one of these" ;;
  esac
  case $(uname -m) in
    x86_64 | aarch64) ;;
    *) problem "there are no packages for $(uname -m): use an amd64 or arm64 machine" ;;
  esac
  if [ -d "$ROOT/run/systemd/system" ]; then well systemd; else problem 'systemd does not run here: boot this machine with it'; fi
  if [ -f "$ROOT/sys/fs/cgroup/cgroup.controllers" ]; then
    well 'cgroup v2'
  else
    problem 'cgroup v1 is in use, and the kubelet refuses it: take systemd.unified_cgroup_hierarchy=0 off the kernel command line, and reboot'
  fi
}

check_resources() {
  local cpus megabytes disk
  cpus=$(nproc)
  megabytes=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' "$ROOT/proc/meminfo") / 1024))
  if [ "$ROLE" = control-plane ]; then
    if [ "$cpus" -ge "$CONTROL_PLANE_CPUS" ]; then well "$cpus CPUs"; else problem "a control plane needs $CONTROL_PLANE_CPUS CPUs; this machine has $cpus"; fi
    if [ "$megabytes" -lt "$CONTROL_PLANE_MEGABYTES" ]; then
      problem "a control plane needs $CONTROL_PLANE_MEGABYTES MB of memory; this machine has $megabytes MB"
    fi
  elif [ "$megabytes" -lt "$WORKER_MEGABYTES" ]; then
    problem "a worker needs $WORKER_MEGABYTES MB of memory; this machine has $megabytes MB"
  fi
  disk=$(df -P -BG "$ROOT/var" | awk 'NR == 2 { sub(/G/, "", $4); print $4 }')
  if [ "$disk" -lt "$DISK_GIGABYTES" ]; then notice "there are $disk GB free below /var; images soon want more than $DISK_GIGABYTES"; fi
  if [ "$(wc -l <"$ROOT/proc/swaps")" -gt 1 ]; then notice 'swap is on; kubernetes.sh turns it off'; fi
}

check_clock() {
  local synchronized
  synchronized=$(timedatectl show -p NTPSynchronized --value 2>/dev/null || true)
  # Signed updates are refused when clocks are 5 minutes apart (RFC 8945 §5.2.3), certificates when it is a day.
  if [ "$synchronized" != yes ]; then
    notice 'the clock is not synchronized; the edge refuses updates when it is 5 minutes wrong: timedatectl set-ntp true, or chrony'
  fi
}

check_interfaces() {
  local name mtu address
  if ! find_interfaces; then
    problem "$INTERFACE_PROBLEM"
    return
  fi
  well "private $PRIVATE_IF, public ${PUBLIC_IF:-none}"
  for name in $PRIVATE_IF $PUBLIC_IF; do
    mtu=$(cat "$ROOT/sys/class/net/$name/mtu")
    if [ "$mtu" -lt "$SMALLEST_MTU" ]; then problem "the MTU of $name is $mtu; pods need $SMALLEST_MTU at least: raise it at the provider"; fi
  done
  if grep -qsE "^[[:space:]]*iface[[:space:]]+${PRIVATE_IF}[[:space:]]" "$ROOT"/etc/network/interfaces "$ROOT"/etc/network/interfaces.d/*; then
    problem "$PRIVATE_IF stands in /etc/network/interfaces: take its lines out, and ifdown $PRIVATE_IF; systemd-networkd is to have it"
  fi
  address=$(private_address)
  if [ -z "$address" ]; then
    notice "$PRIVATE_IF has no address of $PRIVATE_SUBNET yet; network.sh sets it up"
  elif timeout 5 bash -c "exec 3<>'/dev/tcp/$EDGE_ADDRESS/53'" 2>/dev/null; then
    well "the edge answers at $EDGE_ADDRESS"
  else
    problem "the edge does not answer on $EDGE_ADDRESS port 53: is v6edge up there (v6edge status), does dns.listen have this address?"
  fi
}

check_routes() {
  local servers
  if [ -n "${PUBLIC_IF-}" ] && [ -z "$(ip -6 route show default dev "$PUBLIC_IF")" ]; then
    problem "there is no IPv6 default route by $PUBLIC_IF: ask the provider for IPv6, or accept its router advertisements (accept_ra=2)"
  fi
  # An address that leads nowhere, with a default route: programs without happy eyeballs wait for minutes.
  if ip -4 -o addr show scope global | grep -qE ' inet (169\.254|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))\.'; then
    notice 'an IPv4 address of 169.254.0.0/16 or 100.64.0.0/10 is there; if it leads nowhere, turn DHCP for IPv4 off'
  fi
  if [ -f "$ROOT/etc/resolv.conf" ]; then
    servers=$(sed -n 's/^nameserver *//p' "$ROOT/etc/resolv.conf" | tr '\n' ' ')
    case "$servers" in
      "127.0.0.53 " | "$EDGE_ADDRESS ") ;;
      *) notice "DNS is asked of ${servers:-nobody }now; network.sh has the edge asked in its place" ;;
    esac
  fi
}

check_name() {
  local name=${NODE_NAME:-$(hostname -s)}
  if ! check_label "$name" || [ "$name" = localhost ]; then
    problem "\"$name\" cannot be a node's name (lower-case letters, digits, hyphens): hostnamectl set-hostname NAME, or NODE_NAME in join.env"
  elif [ "$name.$ZONE" = "$EDGE_NAME" ]; then
    problem "\"$name\" is the edge's own name in $ZONE: give this node another"
  fi
}

check_ports() {
  local ports='10250' port listening
  if is_node; then
    well 'this is a node already; its ports are its own'
    return
  fi
  if [ "$ROLE" = control-plane ]; then ports='6443 2379 2380 10250 10257 10259'; fi
  listening=$(ss -Hlnt | awk '{ sub(/.*:/, "", $4); print $4 }')
  for port in $ports; do
    if grep -qx "$port" <<<"$listening"; then
      problem "TCP port $port is in use, which Kubernetes needs: ss -lntp 'sport = :$port' says by what; stop that"
    fi
  done
}

check_others() {
  local unit module
  for unit in ufw firewalld; do
    if systemctl is-active --quiet "$unit"; then
      problem "$unit is on, and would drop what Calico lets through: systemctl disable --now $unit (FIREWALL=yes in edge.env is for the public side)"
    fi
  done
  for unit in docker containerd NetworkManager; do
    if systemctl is-active --quiet "$unit"; then notice "$unit runs here; nodes do best without it"; fi
  done
  for module in overlay br_netfilter; do
    if ! has_module "$module" && ! modprobe --dry-run --quiet "$module" 2>/dev/null; then
      case $module in
        overlay) problem 'the kernel has no overlay: boot the kernel of the distribution' ;;
        *) notice "the kernel has no $module; Calico does without" ;;
      esac
    fi
  done
}

main() {
  parse_options -- "$@"
  no_arguments
  load_settings
  ROLE=worker NODE_NAME=
  if [ -n "$JOIN_FILE" ] || [ -f "$ROOT$CONFIG_DIR/join.env" ]; then load_join; fi
  local check
  for check in system resources clock interfaces routes name ports others; do "check_$check"; done
  if [ ${#PROBLEMS[@]} -gt 0 ]; then
    die "this machine cannot become a $ROLE yet: ${#PROBLEMS[@]} in the way" "${PROBLEMS[@]}" 'Mend them, then run the same command again.'
  fi
  log "this machine can become a $ROLE$([ "$WARNINGS" -eq 0 ] || echo " ($WARNINGS warnings)")"
}
main "$@"
