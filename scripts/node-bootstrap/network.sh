#!/bin/bash
# Sets this node's network up. The private interface becomes systemd-networkd's: address, DNS server and search domain come from the
# edge's router advertisements. The public one stays as the provider made it, with its default route, but DNS is no longer
# asked of the provider. Kernel modules and forwarding, as Kubernetes wants them; the host name, if join.env has one.
#
#   network.sh [--dry-run] [--verbose] [--env FILE] [--join FILE]
#
# Run again it changes what differs. At its end it looks whether names resolve by the edge, and says what is wrong if not.
#
#   --dry-run, -n    print what would be done
#   --env FILE       the cluster's settings (/etc/v6edge-node/edge.env)
#   --join FILE      this node's settings (/etc/v6edge-node/join.env); may be missing
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit
# shellcheck source=packages.sh
. "$BOOTSTRAP/packages.sh"
# shellcheck source=network-files.sh
. "$BOOTSTRAP/network-files.sh"

# How often it is looked for an address, and for what follows from it, a second between: the edge answers a solicitation within seconds.
ADDRESS_TRIES=60
VERIFY_TRIES=15

host_name() {
  if [ -z "${NODE_NAME-}" ]; then return; fi
  # Calico, kubeadm and the DNS name are to agree, also after cloud-init ran again.
  if [ -d "$ROOT/etc/cloud" ]; then
    write_file /etc/cloud/cloud.cfg.d/99-v6edge.cfg <<<'preserve_hostname: true'
  fi
  if [ "$(hostname)" != "$NODE_NAME" ]; then run hostnamectl set-hostname "$NODE_NAME"; fi
}

kernel() {
  local module
  printf '%s\n' overlay br_netfilter | write_file /etc/modules-load.d/v6edge-k8s.conf
  for module in overlay br_netfilter; do
    if has_module "$module"; then continue; fi
    if [ "$module" = overlay ] || [ -n "$DRY_RUN" ]; then
      run modprobe "$module"
    elif ! modprobe "$module" 2>/dev/null; then
      warn "the kernel does not load $module; Calico does without"
    fi
  done
  sysctl_configuration | write_file /etc/sysctl.d/60-v6edge-k8s.conf
  # The file's order counts: accept_ra=2 has to be there before forwarding takes the kernel's default route away.
  FAILURE_HINT='Is this a container without a network of its own? The keys have to be writable.' \
    run sysctl --load="$ROOT/etc/sysctl.d/60-v6edge-k8s.conf"
}

private_interface() {
  CHANGES=0
  if [ "$MANAGER" = netplan ]; then
    netplan_configuration | write_file /etc/netplan/60-v6edge.yaml 0600
    private_extras | write_file "/etc/systemd/network/10-netplan-$PRIVATE_IF.network.d/v6edge.conf"
    remove /etc/systemd/network/20-v6edge-private.network
  else
    private_configuration | write_file /etc/systemd/network/20-v6edge-private.network
  fi
  write_file /etc/systemd/network/05-v6edge-cni-unmanaged.network <<'END'
# Calico's interfaces are its own.
[Match]
Name=cali* vxlan.calico vxlan-v6.calico

[Link]
Unmanaged=yes
END
  # networkd would take away routes and rules that Calico and kube-proxy made, whenever it is restarted.
  write_file /etc/systemd/networkd.conf.d/10-v6edge.conf <<'END'
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
END
  if [ "$WRITTEN" = changed ] && systemctl is-active --quiet systemd-networkd; then run systemctl restart systemd-networkd; fi
  run systemctl enable --now systemd-networkd
  if [ "$CHANGES" -eq 0 ]; then return; fi
  if [ "$MANAGER" = netplan ]; then run netplan generate; fi
  run networkctl reload
  run networkctl reconfigure "$PRIVATE_IF"
}

# networkd first takes away what the kernel had by itself: an address counts when it is networkd's, and seen twice.
wait_for_address() {
  local try seen=0
  if [ -n "$DRY_RUN" ]; then
    need_private_address
    return
  fi
  for ((try = 0; try < ADDRESS_TRIES; try++)); do
    if is_configured && [ -n "$(private_address)" ]; then seen=$((seen + 1)); else seen=0; fi
    if [ "$seen" -eq 2 ]; then break; fi
    sleep 1
  done
  if [ "$seen" -lt 2 ]; then no_private_address; fi
  need_private_address
  log "$PRIVATE_IF has $NODE_ADDRESS"
}

# The last column of networkctl's line: what networkd has done about the interface.
is_configured() { [[ $(networkctl list --no-pager --no-legend "$PRIVATE_IF") =~ [[:space:]]configured[[:space:]]*$ ]]; }

resolver() {
  # The package takes over /etc/resolv.conf at once: the edge has to be known as a server by then.
  if ! have resolvectl; then install_packages systemd-resolved libnss-resolve; fi
  write_file /etc/systemd/resolved.conf.d/10-v6edge.conf <<'END'
[Resolve]
# The edge may synthesize AAAA records (DNS64), which a validating stub would refuse.
DNSSEC=no
DNSOverTLS=no
LLMNR=no
MulticastDNS=no
Cache=yes
# Nobody else is asked, also while no server is known.
FallbackDNS=
END
  run systemctl enable --now systemd-resolved
  if [ "$WRITTEN" = changed ]; then run systemctl restart systemd-resolved; fi
  if [ "$(readlink "$ROOT/etc/resolv.conf" || true)" != ../run/systemd/resolve/stub-resolv.conf ]; then
    run ln -sfn ../run/systemd/resolve/stub-resolv.conf "$ROOT/etc/resolv.conf"
  fi
}

# The provider's DNS servers are forgotten; the default route stays.
public_interface() {
  local file
  if [ -z "$PUBLIC_IF" ]; then return; fi
  case $PUBLIC_MANAGER in
    networkd)
      file=$(public_network_file)
      public_configuration | write_file "/etc/systemd/network/${file##*/}.d/90-v6edge.conf"
      if [ "$WRITTEN" = changed ]; then run networkctl reload; fi
      ;;
    ifupdown)
      for file in "$ROOT/etc/network/interfaces" "$ROOT"/etc/network/interfaces.d/*; do
        if [ ! -f "$file" ]; then continue; fi
        sed -E 's/^([[:space:]]*)(dns-(nameservers|search|domain)[[:space:]].*)$/\1# the edge is asked: \2/' "$file" |
          write_file "${file#"$ROOT"}" "$(stat -c %a "$file")"
      done
      ;;
    *) warn "nobody known manages $PUBLIC_IF; take the provider's DNS servers out by hand if resolvectl dns still shows them" ;;
  esac
}

# In a unit of its own, and not in /etc/nftables.conf: that file begins with "flush ruleset", which takes kube-proxy's rules along.
firewall() {
  local unit=v6edge-firewall.service rules=/etc/v6edge-node/firewall.nft
  if [ "$FIREWALL" = no ] || [ -z "$PUBLIC_IF" ]; then
    if [ -f "$ROOT/etc/systemd/system/$unit" ]; then
      run systemctl disable --now "$unit"
      remove "/etc/systemd/system/$unit" "$rules"
    fi
    return
  fi
  install_packages nftables
  firewall_rules | write_file "$rules"
  local changed=$WRITTEN
  firewall_unit "$rules" | write_file "/etc/systemd/system/$unit"
  if [ "$WRITTEN" = changed ]; then run systemctl daemon-reload; fi
  run systemctl enable --now "$unit"
  if [ "$changed" = changed ]; then run systemctl restart "$unit"; fi
}

# look: what has to be so at the end; sets PROBLEMS to all that is not.
look() {
  local servers forwarding name
  PROBLEMS=()
  forwarding=$(cat "$ROOT/proc/sys/net/ipv6/conf/all/forwarding")
  if [ "$forwarding" != 1 ]; then problem 'net.ipv6.conf.all.forwarding is not 1: another file in /etc/sysctl.d sets it back'; fi
  servers=$(resolvectl dns "$PRIVATE_IF" | sed 's/^[^:]*: *//')
  if [[ " $servers " != *" $EDGE_ADDRESS "* ]]; then
    problem "$PRIVATE_IF has the DNS servers \"$servers\", not $EDGE_ADDRESS: on the edge, ra.rdnss has to announce it (v6edge ra)"
  fi
  if [ -n "$PUBLIC_IF" ]; then
    servers=$(resolvectl dns "$PUBLIC_IF" | sed 's/^[^:]*: *//')
    if [ -n "$servers" ]; then problem "$PUBLIC_IF still has the DNS servers $servers: networkctl status $PUBLIC_IF says whose file that is"; fi
    if [ -z "$(ip -6 route show default dev "$PUBLIC_IF")" ]; then problem "the default route by $PUBLIC_IF is gone: networkctl reconfigure $PUBLIC_IF"; fi
  fi
  for name in $(default_route_interfaces); do
    if [ "$name" = "$PRIVATE_IF" ]; then problem "$PRIVATE_IF has a default route: on the edge, ra.defaultLifetime has to be 0s"; fi
  done
  if [ ${#PROBLEMS[@]} -eq 0 ] && ! resolvectl query --cache=no --legend=no "$EDGE_NAME" >/dev/null 2>&1; then
    problem "$EDGE_NAME does not resolve: on the edge, v6edge query $EDGE_NAME AAAA --server [$EDGE_ADDRESS]:53"
  fi
}

# networkd and resolved do what they were told a moment later.
verify() {
  local try
  if [ -n "$DRY_RUN" ]; then return; fi
  for ((try = 0; try < VERIFY_TRIES; try++)); do
    look
    if [ ${#PROBLEMS[@]} -eq 0 ]; then return; fi
    sleep 1
  done
  die 'the network is not as it is to be' "${PROBLEMS[@]}" 'Mend them, then run the same command again.'
}

main() {
  parse_options -- "$@"
  no_arguments
  need_root
  lock
  load_settings
  NODE_NAME=
  if [ -n "$JOIN_FILE" ] || [ -f "$ROOT$CONFIG_DIR/join.env" ]; then load_join; fi
  need_interfaces
  find_managers
  host_name
  kernel
  private_interface
  wait_for_address
  resolver
  public_interface
  firewall
  verify
  done_log 'the network is as it is to be'
}
main "$@"
