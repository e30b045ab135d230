# What `ip` says on the fake node. $IP_DEFAULT: the interface with the default route; $IP_ADDRESS: the private address, tentative
# ones are not among what is asked for.
case "$*" in
  '-o link show')
    echo '1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN'
    echo '2: pub0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq state UP'
    echo '3: priv0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq state UP'
    echo '4: cali12345@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP'
    ;;
  '-6 route show default' | "-6 route show default dev ${IP_DEFAULT-pub0}") echo "default via fe80::ff dev ${IP_DEFAULT-pub0} proto ra metric 1024" ;;
  '-6 -o addr show dev priv0 to '*)
    if [ -n "${IP_ADDRESS-fd00:6:6::21}" ]; then
      echo "3: priv0    inet6 ${IP_ADDRESS-fd00:6:6::21}/64 scope global dynamic mngtmpaddr \\       valid_lft 86000sec"
    fi
    ;;
esac
