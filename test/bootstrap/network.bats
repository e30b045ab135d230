# network.sh on a fake root: networkd, netplan and ifupdown.
load helpers

setup() {
  fake_node
  good_machine
  no_program netplan
  # The resolver says what the edge's advertisements would have told it.
  stub resolvectl 'case "$*" in "dns priv0") echo "Link 3 (priv0): ${PRIVATE_DNS-fd00:6:6::1}" ;; "dns pub0") echo "Link 2 (pub0):${PUBLIC_DNS-}" ;; esac'
  stub networkctl 'case "$*" in
    *status*pub0*) echo "             Network File: /etc/systemd/network/10-provider.network" ;;
    list*priv0) echo "  3 priv0 ether ${NETWORKD:-routable configured}" ;;
  esac'
}

@test "fresh: the private interface is networkd's, the public one loses its DNS servers" {
  join_settings
  script network.sh
  succeeds
  file=/etc/systemd/network/20-v6edge-private.network
  has $file MACAddress=52:54:00:12:34:56
  has $file RequiredForOnline=no
  has $file IPv6AcceptRA=yes
  has $file UseDomains=yes
  has $file UseGateway=no
  ! grep -q RouterAllowList "$ROOT$file"
  file=/etc/systemd/network/10-provider.network.d/90-v6edge.conf
  has $file DNS=
  has $file UseDNS=no
  has $file IPv6AcceptRA=yes
  has /etc/systemd/resolved.conf.d/10-v6edge.conf DNSSEC=no
  has /etc/modules-load.d/v6edge-k8s.conf br_netfilter
  [ "$(readlink "$ROOT/etc/resolv.conf")" = ../run/systemd/resolve/stub-resolv.conf ]
  called "sysctl --load=$ROOT/etc/sysctl.d/60-v6edge-k8s.conf"
  called 'networkctl reconfigure priv0'
  not_called 'networkctl reconfigure pub0'
  not_called 'apt-get'
  called 'systemctl enable --now systemd-networkd'
  not_called 'hostnamectl'
  ! grep -q accept_ra "$ROOT/etc/sysctl.d/60-v6edge-k8s.conf"
}

@test "repeated: nothing is written, reloaded or restarted" {
  script network.sh
  succeeds
  before=$(snapshot)
  forget_calls
  script network.sh
  succeeds
  [ "$(snapshot)" = "$before" ]
  not_called 'reload|reconfigure|restart|ln '
}

@test "a setting that changed is written, and the interface told" {
  script network.sh
  forget_calls
  settings EDGE_LINK_LOCAL=fe80::1 SEARCH_DOMAINS=route
  script network.sh
  succeeds
  has /etc/systemd/network/20-v6edge-private.network RouterAllowList=fe80::1
  has /etc/systemd/network/20-v6edge-private.network UseDomains=route
  called 'networkctl reconfigure priv0'
}

@test "--dry-run shows every file, and touches none" {
  before=$(snapshot)
  export IP_ADDRESS=
  script network.sh --dry-run
  succeeds
  says 'would write: /etc/systemd/network/20-v6edge-private.network'
  says '| IPv6AcceptRA=yes'
  says 'would run: networkctl reconfigure priv0'
  says 'would write: /etc/systemd/network/10-provider.network.d/90-v6edge.conf'
  [ "$(snapshot)" = "$before" ]
  not_called 'reload|reconfigure|restart|enable|sysctl|modprobe|ln |apt-get|sleep'
}

@test "netplan is told what it has words for, networkd the rest" {
  stub netplan
  mkdir -p "$ROOT/etc/netplan" "$ROOT/etc/cloud"
  touch "$ROOT/etc/netplan/50-cloud-init.yaml"
  stub hostname 'case $* in -s) echo vps ;; *) echo vps ;; esac'
  join_settings
  script network.sh
  succeeds
  [ "$(stat -c %a "$ROOT/etc/netplan/60-v6edge.yaml")" = 600 ]
  has /etc/netplan/60-v6edge.yaml '      match: {macaddress: "52:54:00:12:34:56"}'
  has /etc/systemd/network/10-netplan-priv0.network.d/v6edge.conf UseGateway=no
  [ ! -e "$ROOT/etc/systemd/network/20-v6edge-private.network" ]
  called 'netplan generate'
  not_called 'netplan apply'
  has /etc/cloud/cloud.cfg.d/99-v6edge.cfg 'preserve_hostname: true'
  called 'hostnamectl set-hostname worker1'
}

@test "ifupdown: the kernel keeps its default route, resolvconf lines go" {
  mkdir -p "$ROOT/etc/network/interfaces.d"
  printf 'auto pub0\niface pub0 inet6 auto\n    dns-nameservers 2001:db8::53\n' >"$ROOT/etc/network/interfaces.d/pub0"
  stub networkctl 'case "$*" in list*) echo "  3 priv0 ether routable configured" ;; esac'
  script network.sh
  succeeds
  has /etc/sysctl.d/60-v6edge-k8s.conf 'net/ipv6/conf/pub0/accept_ra = 2'
  [ "$(grep -n accept_ra "$ROOT/etc/sysctl.d/60-v6edge-k8s.conf" | cut -d: -f1)" -lt "$(grep -n forwarding "$ROOT/etc/sysctl.d/60-v6edge-k8s.conf" | head -1 | cut -d: -f1)" ]
  has /etc/network/interfaces.d/pub0 '    # the edge is asked: dns-nameservers 2001:db8::53'
  [ ! -e "$ROOT/etc/systemd/network/10-provider.network.d" ]
  before=$(snapshot)
  script network.sh
  [ "$(snapshot)" = "$before" ]
}

@test "a machine without systemd-resolved gets it after the private interface is up" {
  no_program resolvectl
  stub dpkg-query 'exit 1'
  stub apt-get '[[ $* != *install* ]] || printf "#!/bin/bash\necho \"Link (x): fd00:6:6::1\"\n" >"'"$FAKE"'/bin/resolvectl"; chmod +x "'"$FAKE"'/bin/resolvectl"'
  settings PUBLIC_INTERFACE=none PRIVATE_INTERFACE=priv0
  script network.sh
  succeeds
  called_like 'apt-get .*install systemd-resolved libnss-resolve'
  [ "$(grep -n 'reconfigure priv0' "$CALLS" | cut -d: -f1)" -lt "$(grep -n 'install systemd-resolved' "$CALLS" | cut -d: -f1)" ]
}

@test "no address comes: what to look at, here and on the edge; run again it goes on" {
  IP_ADDRESS= script network.sh
  fails 1
  says 'priv0 has no usable address of fd00:6:6::/64'
  says 'v6edge ra'
  [ "$(grep -c '^sleep 1$' "$CALLS")" = 60 ]
  not_called resolvectl
  script network.sh
  succeeds
}

@test "an address that networkd is about to take away does not count" {
  NETWORKD='routable configuring' script network.sh
  fails 1
  says 'priv0 has no usable address of fd00:6:6::/64'
}

@test "a step that fails: what failed, and the second run ends well" {
  stub sysctl 'echo "sysctl: permission denied on key" >&2; exit 255'
  script network.sh
  fails 1
  says 'permission denied on key'
  says 'failed with code 255'
  [ ! -e "$ROOT/etc/systemd/network/20-v6edge-private.network" ]
  stub sysctl
  script network.sh
  succeeds
}

@test "at its end: what is not as it is to be, all at once" {
  echo 0 >"$ROOT/proc/sys/net/ipv6/conf/all/forwarding"
  PRIVATE_DNS=fe80::9 PUBLIC_DNS=' 2001:db8::53' IP_DEFAULT=priv0 script network.sh
  fails 1
  settings PRIVATE_INTERFACE=priv0 PUBLIC_INTERFACE=pub0
  PRIVATE_DNS=fe80::9 PUBLIC_DNS=' 2001:db8::53' IP_DEFAULT=priv0 script network.sh
  fails 1
  says 'net.ipv6.conf.all.forwarding is not 1'
  says 'priv0 has the DNS servers "fe80::9", not fd00:6:6::1'
  says 'pub0 still has the DNS servers 2001:db8::53'
  says 'priv0 has a default route'
}

@test "the edge's name does not resolve" {
  stub resolvectl 'case "$*" in "dns priv0") echo "Link 3 (priv0): fd00:6:6::1" ;; query*) exit 1 ;; esac'
  script network.sh
  fails 1
  says 'edge.cluster.test does not resolve: on the edge, v6edge query'
}

@test "the firewall comes and goes with its setting" {
  settings FIREWALL=yes
  script network.sh
  succeeds
  has /etc/v6edge-node/firewall.nft '    iifname != "pub0" accept'
  called 'systemctl enable --now v6edge-firewall.service'
  settings FIREWALL=no
  script network.sh
  succeeds
  called 'systemctl disable --now v6edge-firewall.service'
  [ ! -e "$ROOT/etc/systemd/system/v6edge-firewall.service" ] && [ ! -e "$ROOT/etc/v6edge-node/firewall.nft" ]
}
