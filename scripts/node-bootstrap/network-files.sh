# The files that network.sh writes, and who manages which interface. Sourced after lib.sh.
# shellcheck shell=bash disable=SC2034

# find_managers: sets MANAGER (of the private interface: netplan or networkd) and PUBLIC_MANAGER (networkd, ifupdown or unknown). The
# private interface is networkd's everywhere; netplan is told where netplan is.
find_managers() {
  MANAGER=networkd
  if have netplan && compgen -G "$ROOT/etc/netplan/*.yaml" >/dev/null; then MANAGER=netplan; fi
  PUBLIC_MANAGER=unknown
  if [ -z "$PUBLIC_IF" ]; then return; fi
  if grep -qsE "^[[:space:]]*iface[[:space:]]+${PUBLIC_IF}[[:space:]]" "$ROOT"/etc/network/interfaces "$ROOT"/etc/network/interfaces.d/*; then
    PUBLIC_MANAGER=ifupdown
  elif [ -n "$(public_network_file)" ]; then
    PUBLIC_MANAGER=networkd
  fi
}

# The .network file that the public interface has: a path, or nothing.
public_network_file() {
  { networkctl status --no-pager "$PUBLIC_IF" 2>/dev/null || true; } | sed -n 's/^ *Network File: *\(\/.*\)$/\1/p'
}

# Match lines for the private interface: by its hardware address, for names change when a machine gets another interface; what has
# no hardware goes by name.
match_private() {
  if [ -e "$ROOT/sys/class/net/$PRIVATE_IF/device" ]; then
    echo "MACAddress=$(cat "$ROOT/sys/class/net/$PRIVATE_IF/address")"
    echo 'Type=ether'
  else
    echo "Name=$PRIVATE_IF"
  fi
}

private_configuration() {
  cat <<END
# Written by v6edge's network.sh; changes here are overwritten.
[Match]
$(match_private)

[Link]
# An edge that is down does not hold up the boot.
RequiredForOnline=no

[Network]
DHCP=no
END
  private_settings
}

# What netplan has no words for, in all of its versions.
private_extras() {
  echo "# Written by v6edge's network.sh; changes here are overwritten."
  echo '[Network]'
  private_settings
}

private_settings() {
  cat <<END
LinkLocalAddressing=ipv6
# Said aloud: a host that forwards would take none.
IPv6AcceptRA=yes
IPv6PrivacyExtensions=no
DNSDefaultRoute=yes
LLMNR=no
MulticastDNS=no

[IPv6AcceptRA]
UseDNS=yes
UseDomains=$SEARCH_DOMAINS
DHCPv6Client=no
END
  # systemd 248; the edge is no gateway, which 249 knows by the advertisement's lifetime alone.
  if [ -n "$EDGE_LINK_LOCAL" ]; then echo "RouterAllowList=$EDGE_LINK_LOCAL"; fi
  echo 'UseGateway=no'
}

netplan_configuration() {
  local match='' mac
  if [ -e "$ROOT/sys/class/net/$PRIVATE_IF/device" ]; then
    mac=$(cat "$ROOT/sys/class/net/$PRIVATE_IF/address")
    match=$'\n'"      match: {macaddress: \"$mac\"}"
  fi
  cat <<END
# Written by v6edge's network.sh; changes here are overwritten.
network:
  version: 2
  ethernets:
    $PRIVATE_IF:$match
      renderer: networkd
      dhcp4: false
      dhcp6: false
      accept-ra: true
      link-local: [ipv6]
      ipv6-privacy: false
      optional: true
END
}

public_configuration() {
  cat <<'END'
# Written by v6edge's network.sh; changes here are overwritten.
[Network]
# Empty: the provider's servers and domains are forgotten.
DNS=
Domains=
DNSDefaultRoute=no
LLMNR=no
END
  # Only where the default route comes that way.
  if [[ $(ip -6 route show default dev "$PUBLIC_IF") = *"proto ra"* ]]; then
    echo '# The default route comes by it, also while this host forwards.'
    echo 'IPv6AcceptRA=yes'
  fi
  cat <<'END'

[IPv6AcceptRA]
UseDNS=no
UseDomains=no

[DHCPv4]
UseDNS=no
UseDomains=no

[DHCPv6]
UseDNS=no
UseDomains=no
END
}

sysctl_configuration() {
  echo "# Written by v6edge's network.sh; changes here are overwritten. The order counts."
  # networkd reads router advertisements itself; ifupdown leaves them to the kernel, which a host that forwards would not obey.
  if [ "$PUBLIC_MANAGER" = ifupdown ]; then echo "net/ipv6/conf/$PUBLIC_IF/accept_ra = 2"; fi
  cat <<'END'
net.ipv6.conf.all.forwarding = 1
net.ipv6.conf.default.forwarding = 1
net.ipv4.ip_forward = 1
net.ipv6.conf.all.accept_redirects = 0
net.ipv6.conf.default.accept_redirects = 0
# These are missing without br_netfilter, and need not be there.
-net.bridge.bridge-nf-call-ip6tables = 1
-net.bridge.bridge-nf-call-iptables = 1
-fs.inotify.max_user_instances = 1024
-fs.inotify.max_user_watches = 524288
END
}

firewall_rules() {
  cat <<END
# Written by v6edge's network.sh; changes here are overwritten. Ports of nodes and hosts are redirected before input: hence two chains.
table inet v6edge_public
delete table inet v6edge_public
table inet v6edge_public {
  chain input {
    type filter hook input priority -5; policy accept;
    iifname != "$PUBLIC_IF" accept
    ct state established,related accept
    ct state invalid drop
    meta l4proto ipv6-icmp accept
    udp dport 546 ip6 saddr fe80::/10 accept
    udp dport 68 accept
    tcp dport 22 accept
    drop
  }
  chain prerouting {
    type filter hook prerouting priority -310; policy accept;
    iifname "$PUBLIC_IF" tcp dport { 80, 443, 30000-32767 } drop
    iifname "$PUBLIC_IF" udp dport { 4789, 30000-32767 } drop
  }
}
END
}

firewall_unit() {
  cat <<END
# Written by v6edge's network.sh; changes here are overwritten.
[Unit]
Description=What the public interface of this v6edge node lets in
Documentation=man:nft(8)
DefaultDependencies=no
Before=network-pre.target shutdown.target
Wants=network-pre.target
After=local-fs.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=nft -f $1
ExecStop=nft delete table inet v6edge_public

[Install]
WantedBy=multi-user.target
END
}
