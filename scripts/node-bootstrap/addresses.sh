# IPv6 addresses and prefixes, as text alone, and what this node has of them. Sourced by lib.sh.
# shellcheck shell=bash disable=SC2034

# expand_ipv6 ADDRESS: its 32 hexadecimal digits; fails if it is none (RFC 4291 §2.2; no embedded IPv4, no zone).
expand_ipv6() {
  local address=${1,,} left right='' group fill out=''
  local -a l=() r=()
  [[ $address =~ ^[0-9a-f:]{2,39}$ && $address != *:::* && $address != *::*::* ]] || return 1
  left=$address
  if [[ $address = *::* ]]; then left=${address%%::*} right=${address#*::}; fi
  [[ $left != :* && $left != *: && $right != :* && $right != *: ]] || return 1
  IFS=: read -ra l <<<"$left"
  IFS=: read -ra r <<<"$right"
  fill=$((8 - ${#l[@]} - ${#r[@]}))
  if [[ $address = *::* ]]; then [ "$fill" -ge 1 ] || return 1; else [ "$fill" -eq 0 ] || return 1; fi
  while [ "$fill" -gt 0 ]; do
    l+=(0)
    fill=$((fill - 1))
  done
  for group in "${l[@]}" ${r[@]+"${r[@]}"}; do
    [[ $group =~ ^[0-9a-f]{1,4}$ ]] || return 1
    printf -v group %04x "0x$group"
    out+=$group
  done
  echo "$out"
}

is_ipv6() { expand_ipv6 "$1" >/dev/null; }
is_ipv4() {
  local octet='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
  [[ $1 =~ ^$octet\.$octet\.$octet\.$octet$ ]]
}

# bits_of HEX LENGTH: the first bits of 32 hexadecimal digits, as 0 and 1.
bits_of() {
  local bits='' i digit
  local -a binary=(0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111)
  for ((i = 0; i < 32; i++)); do
    digit=${1:i:1}
    bits+=${binary[16#$digit]}
  done
  echo "${bits:0:$2}"
}

# is_prefix PREFIX SHORTEST LONGEST: an IPv6 prefix of such a length without bits beyond it.
is_prefix() {
  local length=${1##*/} hex
  [[ $1 = */* && $length =~ ^[0-9]{1,3}$ ]] || return 1
  hex=$(expand_ipv6 "${1%/*}") || return 1
  [ "$length" -ge "$2" ] && [ "$length" -le "$3" ] || return 1
  [[ $(bits_of "$hex" 128) =~ ^[01]{$length}0*$ ]]
}

# in_prefix ADDRESS PREFIX
in_prefix() {
  local length=${2##*/} a b
  a=$(expand_ipv6 "$1") && b=$(expand_ipv6 "${2%/*}") || return 1
  [ "$(bits_of "$a" "$length")" = "$(bits_of "$b" "$length")" ]
}

# overlap PREFIX PREFIX
overlap() { in_prefix "${1%/*}" "$2" || in_prefix "${2%/*}" "$1"; }

# reverse_name ADDRESS [DIGITS]: its name in ip6.arpa (RFC 3596 §2.5), of its first 32 or so many digits, without the last dot.
reverse_name() {
  local hex i out=''
  hex=$(expand_ipv6 "$1") || return 1
  for ((i = ${2:-32} - 1; i >= 0; i--)); do out+="${hex:i:1}."; done
  echo "${out}ip6.arpa"
}

# Names of interfaces that containers, tunnels and bridges make: none of them is this node's network.
VIRTUAL_INTERFACES='^(lo|cali.*|vxlan.*|veth.*|cni.*|docker.*|br-.*|virbr.*|kube-.*|nodelocaldns|tunl.*|sit[0-9]*|ip6tnl.*|wg.*|wireguard.*|dummy.*|tap.*|tun[0-9]*)$'

# Names of the interfaces that may be a network of this node, in order of their numbers.
list_interfaces() {
  { ip -o link show || true; } | while IFS=' :@' read -r _ name _; do
    if ! [[ $name =~ $VIRTUAL_INTERFACES ]]; then echo "$name"; fi
  done
}

# Names of those with a default route; a router's IPv4 counts too.
default_route_interfaces() {
  { ip -6 route show default && ip -4 route show default; } 2>/dev/null |
    sed -n 's/.* dev \([^ ]*\).*/\1/p' | sort -u || true
}

# find_interfaces: sets PRIVATE_IF and PUBLIC_IF (empty: there is none), or fails with INTERFACE_PROBLEM saying why.
find_interfaces() {
  local all default candidates=() name
  INTERFACE_PROBLEM=
  all=$(list_interfaces)
  default=$(default_route_interfaces)
  PUBLIC_IF=$PUBLIC_INTERFACE
  if [ "$PUBLIC_INTERFACE" = none ]; then PUBLIC_IF=; fi
  if [ "$PUBLIC_INTERFACE" = auto ]; then
    PUBLIC_IF=
    for name in $default; do
      if [ "$name" = "$PRIVATE_INTERFACE" ] || [[ $name =~ $VIRTUAL_INTERFACES ]]; then continue; fi
      if [ -n "$PUBLIC_IF" ]; then
        INTERFACE_PROBLEM="$PUBLIC_IF and $name both have a default route: set PUBLIC_INTERFACE in edge.env"
        return 1
      fi
      PUBLIC_IF=$name
    done
  fi
  PRIVATE_IF=$PRIVATE_INTERFACE
  if [ "$PRIVATE_INTERFACE" = auto ]; then
    for name in $all; do
      if [ "$name" != "$PUBLIC_IF" ]; then candidates+=("$name"); fi
    done
    if [ ${#candidates[@]} -ne 1 ]; then
      INTERFACE_PROBLEM="${#candidates[@]} interfaces have no default route${candidates[*]:+ (${candidates[*]})}: set PRIVATE_INTERFACE in edge.env"
      return 1
    fi
    PRIVATE_IF=${candidates[0]}
  fi
  for name in $PRIVATE_IF $PUBLIC_IF; do
    if ! grep -qxF "$name" <<<"$all"; then
      INTERFACE_PROBLEM="there is no interface $name, only: ${all//$'\n'/ }. Set PRIVATE_INTERFACE and PUBLIC_INTERFACE in edge.env"
      return 1
    fi
  done
  if [ "$PRIVATE_IF" = "$PUBLIC_IF" ]; then
    INTERFACE_PROBLEM="$PRIVATE_IF cannot be both private and public: set PUBLIC_INTERFACE=none in edge.env if there is no other"
    return 1
  fi
}

need_interfaces() { find_interfaces || die "$INTERFACE_PROBLEM" 'ip -6 route; ip link: show what there is.'; }

# private_address: the address of this node in PRIVATE_SUBNET that is there to stay; nothing if there is none yet.
private_address() {
  ip -6 -o addr show dev "$PRIVATE_IF" to "$PRIVATE_SUBNET" scope global -deprecated -tentative -dadfailed |
    awk '!/ temporary/ && !found { sub(/\/.*/, "", $4); print $4; found = 1 }'
}

# need_private_address: sets NODE_ADDRESS. A trial before there is one goes on with a stand-in.
need_private_address() {
  NODE_ADDRESS=$(private_address)
  if [ -z "$NODE_ADDRESS" ] && [ -n "$DRY_RUN" ]; then
    NODE_ADDRESS=${PRIVATE_SUBNET%%::*}::aaaa
    warn "$PRIVATE_IF has no address of $PRIVATE_SUBNET yet; as an example: $NODE_ADDRESS"
  fi
  [ -n "$NODE_ADDRESS" ] || no_private_address
}

no_private_address() {
  die "$PRIVATE_IF has no usable address of $PRIVATE_SUBNET" \
    "On the edge: v6edge ra (does it advertise $PRIVATE_SUBNET?). Here: networkctl status $PRIVATE_IF; network.sh sets it up."
}

# has_module NAME: whether the kernel has it loaded or built in; a file system may have no module of its own.
has_module() { [ -d "$ROOT/sys/module/$1" ] || grep -qsw "$1" "$ROOT/proc/filesystems"; }
