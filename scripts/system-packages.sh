#!/bin/bash
# Installs the Debian/Ubuntu packages that the network lab, the tests and the benchmarks use, and nothing else.
#
#   scripts/system-packages.sh            install what is missing (root); says nothing when nothing is
#   scripts/system-packages.sh --check    list what is missing; exit 1 if something is
#
# No service is started or enabled: the lab runs its own copies in network namespaces.
set -euo pipefail

# program, or a file : package it comes in. A program that is there counts, wherever it came from.
needed='
haproxy:haproxy
named:bind9
dig:bind9-dnsutils
nsupdate:bind9-dnsutils
radvd:radvd
radvdump:radvdump
rdisc6:ndisc6
ndptool:libndp-tools
dhcpcd:dhcpcd-base
atk6-flood_rs6:thc-ipv6
ra6:ipv6toolkit
nginx:nginx-light
unbound:unbound
kdig:knot-dnsutils
knsupdate:knot-dnsutils
nsd:nsd
delv:bind9-dnsutils
drill:ldnsutils
/usr/lib/python3/dist-packages/dns/version.py:python3-dnspython
kea-dhcp-ddns:kea-dhcp-ddns-server
knotd:knot
dnsmasq:dnsmasq-base
tshark:tshark
tcpdump:tcpdump
strace:strace
tayga:tayga
wrk:wrk
dnsperf:dnsperf
nft:nftables
ip:iproute2
ping:iputils-ping
ps:procps
openssl:openssl
gpg:gpg
gpg-agent:gpg-agent
curl:curl
shellcheck:shellcheck
shfmt:shfmt
bats:bats
chromium:chromium
promtool:prometheus
debootstrap:debootstrap
systemd-nspawn:systemd-container
'
guard=/usr/sbin/policy-rc.d
saved=$guard.v6edge-saved
marker='# v6edge system-packages.sh'
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

have() { type -P "$1" >/dev/null || [[ $1 = /* && -f $1 ]]; }
missing=()
for pair in $needed; do
  package=${pair#*:}
  if ! have "${pair%%:*}" && [[ " ${missing[*]-} " != *" $package "* ]]; then missing+=("$package"); fi
done

install=(apt-get install --yes --no-install-recommends "${missing[@]}")
case ${1-} in
  '') ;;
  --check)
    [ ${#missing[@]} -eq 0 ] && exit 0
    printf 'missing packages: %s\n' "${missing[*]}"
    exit 1
    ;;
  *)
    echo "usage: $0 [--check]" >&2
    exit 2
    ;;
esac
[ ${#missing[@]} -eq 0 ] && exit 0

if ! type -P apt-get dpkg >/dev/null; then
  echo "This is no Debian or Ubuntu; install what these packages hold: ${missing[*]}" >&2
  exit 1
fi
if [ "$EUID" -ne 0 ]; then
  printf 'Packages are missing. Run as root:\n\n  %s\n\nor, which also keeps their services from starting:\n\n  sudo %s\n' \
    "${install[*]}" "$(realpath "$0")" >&2
  exit 1
fi

exec 9>/run/v6edge-system-packages.lock
flock 9

unit_files() {
  find /etc/init.d /lib/systemd/system /usr/lib/systemd/system -maxdepth 1 -type f \
    \( -path '/etc/init.d/*' -o -name '*.service' -o -name '*.socket' -o -name '*.timer' -o -name '*.path' \) \
    -printf '%f\n' 2>/dev/null | sort -u
}

# Debian's own hook for "do not start services" (invoke-rc.d(8)). One that was there comes back afterwards, also when an
# earlier run was killed before it could put it back.
restore_guard() {
  if [ -e "$guard" ] && ! grep -qF "$marker" "$guard"; then return; fi
  rm -f "$guard"
  if [ -e "$saved" ]; then mv "$saved" "$guard"; fi
}
restore_guard
if [ -e "$guard" ]; then mv "$guard" "$saved"; fi
trap restore_guard EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
printf '#!/bin/sh\n%s\nexit 101\n' "$marker" >"$guard"
chmod 755 "$guard"

log=$(mktemp)
apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o APT::Acquire::Retries=3 --quiet "$@" \
    </dev/null >"$log" 2>&1 9>&-
}
fail() {
  tail -n 30 "$log" >&2
  echo "apt-get failed; its whole output is in $log" >&2
  exit 1
}

echo "Installing: ${missing[*]}"
before=$(unit_files)
have_lists() { compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; }
if ! have_lists || ! apt "${install[@]:1}"; then
  apt update || fail
  apt "${install[@]:1}" || fail
fi
rm -f "$log"

comm -13 <(printf '%s\n' "$before") <(unit_files) | while read -r unit; do
  if [[ $unit = *.* ]]; then
    # Template units and units without [Install] cannot be disabled, nor are they enabled.
    if type -P systemctl >/dev/null; then systemctl disable --quiet "$unit" 2>/dev/null || true; fi
  else
    update-rc.d "$unit" disable 2>/dev/null || true
  fi
done
