#!/bin/bash
# Prints what ~/.ssh/config needs to reach every node of the zone through the edge: a stanza with ProxyJump for each.
#
#   bastion.sh JUMP [--user NAME] [--key FILE] [--dry-run] [--env FILE]      asks the edge for the zone (AXFR, with dig)
#   bastion.sh JUMP [--user NAME] --api URL|SOCKET [--token-file FILE] …     asks the admin API
#   bastion.sh JUMP [--user NAME] --zone-file FILE …                         reads a zone file; - is standard input
#
# JUMP is how your ssh reaches the edge: an alias, or user@host. Nodes are the names right below the zone with an address of
# PRIVATE_SUBNET, but for the edge itself. From a workstation, since the edge gives its zone to few:
#
#   ssh edge v6edge records cluster.test --export | bastion.sh edge --zone-file - --env edge.env >~/.ssh/config.d/cluster
#
#   --user NAME         login on the nodes (root)
#   --key FILE          TSIG key for the transfer, as `dig -k` takes it
#   --api URL|SOCKET    http://[::1]:8653, or /run/v6edge/admin.sock
#   --token-file FILE   the admin API's token, where it wants one
#   --dry-run, -n       print what would be asked
#   --env FILE          the cluster's settings (/etc/v6edge-node/edge.env)

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" || exit

transfer() {
  local arguments=(+noall +answer +onesoa +time=5 +tries=2 "@$EDGE_ADDRESS" "$ZONE" AXFR) answer
  have dig || die 'there is no dig' 'apt-get install bind9-dnsutils, or use --api or --zone-file.'
  if [ -n "$FLAG_KEY" ]; then arguments=(-k "$FLAG_KEY" "${arguments[@]}"); fi
  # dig says on standard output, and in comments, why there was no transfer.
  answer=$(dig "${arguments[@]}" || true)
  if ! grep -qE '[[:space:]]SOA[[:space:]]' <<<"$answer"; then
    die "$EDGE_ADDRESS did not give the zone $ZONE: ${answer//$'\n'/ }" \
      'The edge gives it to holders of the key in transfer.key of the zone (--key), and to addresses in transfer.allow.' \
      'From elsewhere: --zone-file with what v6edge records --export prints on the edge.'
  fi
  printf '%s\n' "$answer"
}

api() {
  local base=$FLAG_API
  local arguments=(-fsSg --max-time 10 -H 'Accept: text/dns')
  if [[ $base = /* ]]; then
    arguments+=(--unix-socket "$base")
    base=http://localhost
  fi
  if [ -n "$FLAG_TOKEN_FILE" ]; then
    [ -r "$FLAG_TOKEN_FILE" ] || usage_error "cannot read $FLAG_TOKEN_FILE" 'Give the file of admin.tokenFile, or a copy.'
    # By standard input: on the command line every user would see it.
    printf 'Authorization: Bearer %s\n' "$(cat "$FLAG_TOKEN_FILE")" | curl "${arguments[@]}" -H @- "${base%/}/v1/zones/$ZONE/records" || no_api
  else
    curl "${arguments[@]}" "${base%/}/v1/zones/$ZONE/records" || no_api
  fi
}
no_api() { die "the admin API at $FLAG_API did not give the zone $ZONE" 'Does it run there (v6edge status)? Does it want a token (--token-file)?'; }

# nodes: NAME ADDRESS of a zone file on standard input, sorted.
nodes() {
  local owner address
  # Owners may be left out, or be relative: then they are below the zone. TTL and class come in any order, or not at all.
  awk -v zone="$ZONE." '
    /^\$ORIGIN/ { origin = tolower($2); next }
    /^[;$]/ || NF == 0 { next }
    BEGIN { origin = zone }
    {
      first = 1
      if ($0 !~ /^[ \t]/) {
        owner = tolower($1)
        first = 2
        if (owner == "@") owner = origin
        else if (owner !~ /\.$/) owner = owner "." origin
      }
      for (i = first; i < NF; i++) {
        if (toupper($i) == "AAAA") { print owner, tolower($(i + 1)); break }
        if ($i !~ /^[0-9]+[smhdwSMHDW]?$/ && toupper($i) != "IN") break
      }
    }' | while read -r owner address; do
    [[ $owner = *".$ZONE." ]] || continue
    owner=${owner%".$ZONE."}
    if check_label "$owner" && in_prefix "$address" "$PRIVATE_SUBNET" &&
      [ "$(expand_ipv6 "$address")" != "$(expand_ipv6 "$EDGE_ADDRESS")" ]; then
      printf '%s %s\n' "$owner" "$address"
    fi
  done | sort -u -k 1,1
}

stanzas() {
  local name address count=0
  while read -r name address; do
    if [ -z "$name" ]; then continue; fi
    count=$((count + 1))
    # By address: the name is one that your resolver does not know. The key in known_hosts stays with the name.
    printf 'Host %s %s\n    HostName %s\n    HostKeyAlias %s\n    User %s\n    ProxyJump %s\n\n' \
      "$name" "$name.$ZONE" "$address" "$name.$ZONE" "$FLAG_USER" "$JUMP"
  done
  if [ "$count" -eq 0 ]; then
    die "no node has an address of $PRIVATE_SUBNET in zone $ZONE" 'Nodes announce themselves with announce.sh: v6edge records '"$ZONE"' on the edge shows who did.'
  fi
}

parse_options --user= --key= --api= --token-file= --zone-file= -- "$@"
[ ${#ARGUMENTS[@]} -eq 1 ] || usage_error 'say how your ssh reaches the edge' "As: $PROGRAM edge, or $PROGRAM admin@edge.example.net"
JUMP=${ARGUMENTS[0]}
FLAG_USER=${FLAG_USER:-root}
[[ $JUMP =~ ^[A-Za-z0-9_.@:%-]+$ ]] || usage_error "\"$JUMP\" is no host for ProxyJump" 'An alias of your ~/.ssh/config, host, user@host or user@host:port.'
[[ $FLAG_USER =~ ^[A-Za-z0-9_.-]+$ ]] || usage_error "\"$FLAG_USER\" is no user" 'Give a login name: --user debian'
load_settings
if [ -n "$DRY_RUN" ]; then
  if [ -n "$FLAG_ZONE_FILE" ]; then
    echo "would read: $FLAG_ZONE_FILE"
  elif [ -n "$FLAG_API" ]; then
    echo "would ask: the admin API at $FLAG_API for zone $ZONE"
  else
    echo "would ask: $EDGE_ADDRESS for zone $ZONE (AXFR)"
  fi
  echo "would print: a stanza for each node, with ProxyJump $JUMP and user $FLAG_USER"
  exit 0
fi
if [ -n "$FLAG_ZONE_FILE" ]; then
  [ "$FLAG_ZONE_FILE" = - ] || [ -r "$FLAG_ZONE_FILE" ] || usage_error "cannot read $FLAG_ZONE_FILE" 'Give a zone file, or - for standard input.'
  zone=$(cat -- "$FLAG_ZONE_FILE")
elif [ -n "$FLAG_API" ]; then
  zone=$(api)
else
  zone=$(transfer)
fi
found=$(nodes <<<"$zone")
printf '# Nodes of %s through %s, by %s: ssh NAME\n\n' "$ZONE" "$JUMP" "$PROGRAM"
stanzas <<<"$found"
