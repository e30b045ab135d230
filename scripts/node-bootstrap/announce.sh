#!/bin/bash
# Announces this node to the edge by signed DNS updates: its name (AAAA, and PTR where the edge does not write that), and the SRV
# records that make it a member of the edge's pools.
#
#   announce.sh [--dry-run] [--env FILE] [--join FILE]
#
# sets it up, once and for all, and announces: v6edge-member.service makes the node a member of its pools while it is active, and takes
# it out when it is stopped, at shutdown for example; v6edge-announce.timer announces four times in DNS_LEASE, and so does a change
# of the network. The name stays until its lease ends, or --withdraw: certificates and caches hold it.
#
#   --enter      what v6edge-member.service does when it starts: announces name and memberships
#   --refresh    what the timer has done: the name, and memberships unless the node has left its pools
#   --leave      what v6edge-member.service does when it stops: takes the memberships back, the name stays
#   --withdraw   for a node that will not come back: takes everything back, and takes the units away
#   --print      prints the updates for nsupdate, and sends nothing
#   --dry-run    print what would be done
#   --env FILE   the cluster's settings (/etc/v6edge-node/edge.env)
#   --join FILE  this node's settings (/etc/v6edge-node/join.env)
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit
# shellcheck source=announce-units.sh
. "$BOOTSTRAP/announce-units.sh"

# Of a service's member, of 256 at most: the edge's own default.
DEFAULT_WEIGHT=100
NSUPDATE_SECONDS=10

# As a service it has these folders and the key from systemd, and runs as nobody in particular.
ANNOUNCE_STATE=/var/lib/v6edge-announce
announced_file() { echo "${STATE_DIRECTORY:-$ROOT$ANNOUNCE_STATE}/announced"; }
left_file() { echo "${STATE_DIRECTORY:-$ROOT$ANNOUNCE_STATE}/left"; }
# write_state FILE: standard input, whole; the folder may be another user's than its file.
write_state() {
  mkdir -p "${1%/*}"
  cat >"$1.new"
  mv -f "$1.new" "$1"
}
key_file() {
  local given=${CREDENTIALS_DIRECTORY-}/dns.key
  if [ -n "${CREDENTIALS_DIRECTORY-}" ] && [ -r "$given" ]; then echo "$given"; else echo "$ROOT$DNS_KEY_FILE"; fi
}

# What this node is: from its unit, or from join.env.
identity() {
  if [ -n "${V6EDGE_ROLE-}" ]; then
    ROLE=$V6EDGE_ROLE NODE_NAME=$V6EDGE_NODE_NAME
    node_name
  else
    load_join
  fi
}

# memberships: the SRV records of its role, a line each: owner, type, data.
memberships() {
  local services=$SRV_WORKER one name port weight
  if [ "$ROLE" = control-plane ]; then services=$SRV_CONTROL_PLANE; fi
  for one in $services; do
    IFS=: read -r name port weight <<<"$one"
    echo "$name.$ZONE. SRV 0 ${weight:-$DEFAULT_WEIGHT} $port $NODE_FQDN."
  done
}

# wanted MEMBER?: the records there are to be.
wanted() {
  echo "$NODE_FQDN. AAAA $NODE_ADDRESS"
  if [ "$PTR" = node ]; then echo "$(reverse_name "$NODE_ADDRESS"). PTR $NODE_FQDN."; fi
  if [ "$1" = yes ]; then memberships; fi
}

# updates WANTED: words for nsupdate: one message for the zone, whole or not at all, and one for the reverse zone if we write it. What was
# announced before and is not wanted now goes. The name's addresses are replaced, so that one from before a new installation goes.
updates() {
  local wanted=$1 before record owner type data part zone
  before=$(cat "$(announced_file)" 2>/dev/null || true)
  echo "server $EDGE_ADDRESS 53"
  for part in zone reverse; do
    zone=$ZONE
    if [ "$part" = reverse ]; then
      if ! grep -q ' PTR ' <<<"$wanted$before"; then continue; fi
      zone=$(reverse_name "${PRIVATE_SUBNET%/*}" 16)
    fi
    echo "zone $zone."
    while read -r owner type data; do
      if [ -z "$owner" ] || ! in_part "$part" "$type"; then continue; fi
      if [ "$type" != AAAA ] && ! grep -qxF "$owner $type $data" <<<"$wanted"; then echo "update delete $owner $type $data"; fi
    done <<<"$before"
    while read -r owner type data; do
      if [ -z "$owner" ] || ! in_part "$part" "$type"; then continue; fi
      if [ "$type" != SRV ]; then echo "update delete $owner $type"; fi
      echo "update add $owner $DNS_TTL $type $data"
    done <<<"$wanted"
    if [ "$MODE" = withdraw ] && [ "$part" = zone ]; then echo "update delete $NODE_FQDN. AAAA"; fi
    # Those of its role at least, if it is not known any more what was announced.
    if [ "$MODE" != enter ] && [ "$part" = zone ]; then
      while read -r record; do
        if ! grep -qxF "$record" <<<"$wanted$before"; then echo "update delete $record"; fi
      done < <(memberships)
    fi
    echo send
  done
}
in_part() { if [ "$1" = reverse ]; then [ "$2" = PTR ]; else [ "$2" != PTR ]; fi; }

# send WANTED: and remembers what is announced from now on.
send() {
  local text output code=0 key
  text=$(updates "$1")
  if [ -n "$DRY_RUN" ] || [ "$MODE" = print ]; then
    if [ -n "$DRY_RUN" ]; then echo "would send by nsupdate -k $DNS_KEY_FILE:"; fi
    printf '%s\n' "$text"
    return
  fi
  key=$(key_file)
  [ -r "$key" ] || die "there is no key $key" \
    "On the edge: v6edge key new $NODE_FQDN, and a rule for it; here: DNS_KEY_NAME and DNS_KEY_SECRET in join.env, or that file itself."
  output=$(nsupdate -t "$NSUPDATE_SECONDS" -k "$key" <<<"$text" 2>&1) || code=$?
  if [ "$code" -ne 0 ] || [ -n "$output" ]; then
    printf '%s\n' "$output" >&2
    die "the edge did not take the update for $NODE_FQDN" "$(why "$output")"
  fi
  write_state "$(announced_file)" <<<"$1"
}

# What to do about what nsupdate said.
why() {
  case $1 in
    *BADTIME*) echo 'The clocks are more than 5 minutes apart: timedatectl, here and on the edge.' ;;
    *BADKEY*) echo "The edge does not know the key: v6edge node list there; or dns.keys, then v6edge reload." ;;
    *BADSIG*) echo "The edge has another secret for the key: take the one from there, into $DNS_KEY_FILE." ;;
    *NOTAUTH*) echo "The edge has no zone $ZONE, or not this key: v6edge zones there." ;;
    *REFUSED*) echo "No rule of the edge's zone lets this key do that: its log says which record, and which rules it has." ;;
    *NOTZONE*) echo 'A name is outside of the zone: ZONE and PRIVATE_SUBNET in edge.env, dns.zones on the edge.' ;;
    *SERVFAIL*) echo "The edge could not write it down: v6edge status there." ;;
    *) echo "Does the edge answer? dig @$EDGE_ADDRESS $EDGE_NAME AAAA; on the edge: v6edge status. It is tried again by itself." ;;
  esac
}

set_up() {
  local file folder=/usr/local/lib/v6edge-node seconds units='v6edge-member.service v6edge-announce.service v6edge-announce.timer v6edge-announce.path'
  if ! have nsupdate; then
    # shellcheck source=packages.sh
    . "$BOOTSTRAP/packages.sh"
    install_packages bind9-dnsutils
  fi
  CHANGES=0
  if [ -n "$DNS_KEY_SECRET" ]; then
    printf 'key "%s" {\n  algorithm %s;\n  secret "%s";\n};\n' "$DNS_KEY_NAME" "$DNS_KEY_ALGORITHM" "$DNS_KEY_SECRET" |
      write_file "$DNS_KEY_FILE" 0400
  elif [ ! -f "$ROOT$DNS_KEY_FILE" ]; then
    die "there is no key $DNS_KEY_FILE, and none in join.env" \
      "On the edge: v6edge key new $NODE_FQDN; put it into that file, or its parts into join.env (DNS_KEY_NAME, DNS_KEY_SECRET)."
  fi
  if [ "$(realpath "$ENV_FILE")" != "$(realpath -m "$ROOT$CONFIG_DIR/edge.env")" ]; then write_file "$CONFIG_DIR/edge.env" <"$ENV_FILE"; fi
  # The units run what is there for good, and not what a bundle was unpacked to.
  for file in lib.sh settings.sh addresses.sh versions.env announce.sh announce-units.sh; do
    if [ "$BOOTSTRAP" != "$ROOT$folder" ]; then write_file "$folder/$file" "$(file_mode "$file")" <"$BOOTSTRAP/$file"; fi
  done
  seconds=$(($(seconds_of "$DNS_LEASE") / 4))
  member_unit | write_file /etc/systemd/system/v6edge-member.service
  announce_unit | write_file /etc/systemd/system/v6edge-announce.service
  timer_unit "$seconds" | write_file /etc/systemd/system/v6edge-announce.timer
  path_unit | write_file /etc/systemd/system/v6edge-announce.path
  if [ -d "$ROOT/etc/networkd-dispatcher" ]; then
    dispatcher_hook | write_file /etc/networkd-dispatcher/routable.d/50-v6edge-announce 0755
  fi
  if [ "$CHANGES" -gt 0 ]; then run systemctl daemon-reload; fi
  # shellcheck disable=SC2086
  run systemctl enable $units
  # Once before the unit, which would only say that it failed: an error of the first time is to be seen here.
  MODE=enter
  announce
  # One that runs goes on: a restart would take the node out of its pools for a moment.
  run systemctl start v6edge-member.service v6edge-announce.timer v6edge-announce.path
}

announce() {
  local member=yes
  need_private_address
  if [ "$MODE" = refresh ] && [ -e "$(left_file)" ]; then member=no; fi
  if [ "$MODE" = enter ] && [ -z "$DRY_RUN" ]; then rm -f "$(left_file)"; fi
  send "$(wanted "$member")"
  if [ "$MODE" != print ]; then done_log "announced $NODE_FQDN $NODE_ADDRESS$([ "$member" = yes ] || echo ', in no pool')"; fi
}

leave() {
  local records
  NODE_ADDRESS=$(private_address || true)
  if [ -n "$NODE_ADDRESS" ]; then
    records=$(wanted no)
  else
    # No address any more: the name is left as it is, and the memberships go all the same.
    records=$(sed -n '/ \(AAAA\|PTR\) /p' "$(announced_file)" 2>/dev/null || true)
  fi
  if [ -z "$DRY_RUN" ]; then write_state "$(left_file)" </dev/null; fi
  send "$records"
  done_log "$NODE_FQDN has left its pools"
}

withdraw() {
  local unit
  for unit in v6edge-announce.timer v6edge-announce.path v6edge-announce.service v6edge-member.service; do
    if [ ! -f "$ROOT/etc/systemd/system/$unit" ]; then continue; fi
    run systemctl disable --now "$unit"
    remove "/etc/systemd/system/$unit"
  done
  # With what is left: the services would announce the name once more when they stop.
  send ''
  remove /etc/networkd-dispatcher/routable.d/50-v6edge-announce "$ANNOUNCE_STATE" "/var/lib/private/${ANNOUNCE_STATE##*/}" "$DNS_KEY_FILE"
  run systemctl daemon-reload
  done_log "$NODE_FQDN is withdrawn"
}

main() {
  local mode
  parse_options --enter --refresh --leave --withdraw --print -- "$@"
  no_arguments
  MODE=setup
  for mode in enter refresh leave withdraw print; do
    local flag=FLAG_${mode^^}
    if [ -n "${!flag}" ]; then
      [ "$MODE" = setup ] || usage_error "--$MODE and --$mode do not go together" "See $PROGRAM --help."
      MODE=$mode
    fi
  done
  case $MODE in setup | withdraw) need_root && lock ;; esac
  load_settings
  identity
  need_interfaces
  case $MODE in
    setup) set_up ;;
    enter | refresh | print) announce ;;
    leave) leave ;;
    withdraw) withdraw ;;
  esac
}
main "$@"
