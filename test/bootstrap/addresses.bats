# Addresses as text, against what other programs make of them, and how interfaces are found.
load helpers

setup() {
  fake_node
  printf '#!/bin/bash\n# x\n. "%s/lib.sh" || exit\nparse_options -- "$@"\nload_settings\n%s\n' "$SCRIPTS" 'eval "$SHOW"' >"$FAKE/tried.sh"
}
tried() { run env "PATH=$FAKE/bin" "$FAKE/bin/bash" "$FAKE/tried.sh" "$@"; }

@test "addresses and their reverse names, as Python has them" {
  python=$(type -P python3)
  addresses='fd00:6:6::21 :: ::1 1:: 2001:DB8::1:0:0:1 1:2:3:4:5:6:7:8 fe80::1 ff02::1:ff00:21 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8'
  expected=$("$python" -c 'import ipaddress,sys
for a in sys.argv[1:]: a=ipaddress.ip_address(a); print(a.exploded.replace(":", ""), a.reverse_pointer)' $addresses)
  SHOW="for a in $addresses; do echo \"\$(expand_ipv6 \$a) \$(reverse_name \$a)\"; done" tried
  succeeds
  [ "$output" = "$expected" ]
}

@test "no addresses" {
  for address in '' : ::: 1 1: :1 1::2::3 1:2:3:4:5:6:7 1:2:3:4:5:6:7:8:9 1:2:3:4:5:6:7:8:: 12345:: g:: ::1%eth0 ::ffff:192.0.2.1 'a b'; do
    SHOW="is_ipv6 '$address'" tried
    [ "$status" -ne 0 ] || { echo "taken: $address" && false; }
  done
}

@test "prefixes: in, out, overlapping, with bits behind them" {
  yes() { SHOW=$1 tried && [ "$status" -eq 0 ] || { echo "not: $1: $output" && false; }; }
  no() { SHOW="if $1; then exit 1; fi" tried && [ "$status" -eq 0 ] || { echo "but: $1: $output" && false; }; }
  yes 'in_prefix fd00:6:6::ffff fd00:6:6::/64'
  yes 'in_prefix fd00:6:6:1ff:: fd00:6:6:100::/56'
  no 'in_prefix fd00:6:6:200:: fd00:6:6:100::/56'
  yes 'in_prefix ::1 ::/0'
  yes 'overlap fd00:6:6::/48 fd00:6:6:1::/64'
  no 'overlap fd00:6:6:1::/64 fd00:6:6::/64'
  yes 'is_prefix fd00::/9 0 128'
  no 'is_prefix fd00::1/64 0 128'
  no 'is_prefix fd80::/8 0 128'
  no 'is_prefix fd00::/129 0 128'
  no 'is_prefix fd00:: 0 128'
}

@test "interfaces are found by who has a default route" {
  SHOW='need_interfaces; echo "$PRIVATE_IF/$PUBLIC_IF"' tried
  succeeds
  [ "$output" = priv0/pub0 ]
}

@test "no default route: two could be the private one; named, it is fine" {
  stub ip '[[ $* != *route* ]] || exit 0; IP_DEFAULT=; '"$(cat "$BATS_TEST_DIRNAME/ip-stub.bash")"
  SHOW='need_interfaces; echo "$PRIVATE_IF/$PUBLIC_IF"' tried
  fails 1
  says '2 interfaces have no default route (pub0 priv0): set PRIVATE_INTERFACE'
  settings PRIVATE_INTERFACE=priv0 PUBLIC_INTERFACE=none
  SHOW='need_interfaces; echo "$PRIVATE_IF/$PUBLIC_IF"' tried
  [ "$output" = priv0/ ]
}

@test "an interface that is not there, and one that is to be both" {
  settings PRIVATE_INTERFACE=eth9
  SHOW=need_interfaces tried
  fails 1
  says 'there is no interface eth9, only: pub0 priv0'
  settings PRIVATE_INTERFACE=priv0 PUBLIC_INTERFACE=priv0
  SHOW=need_interfaces tried
  fails 1
  says 'priv0 cannot be both private and public'
}

@test "the private address: none yet is an error, in a trial an example" {
  SHOW='need_interfaces; need_private_address; echo "$NODE_ADDRESS"' tried
  [ "$output" = fd00:6:6::21 ]
  export IP_ADDRESS=
  SHOW='need_interfaces; need_private_address' tried
  fails 1
  says 'priv0 has no usable address of fd00:6:6::/64'
  says 'v6edge ra'
  SHOW='need_interfaces; need_private_address; echo "$NODE_ADDRESS"' tried --dry-run
  succeeds
  says fd00:6:6::aaaa
}
