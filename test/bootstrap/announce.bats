# announce.sh: what is sent, what is remembered, and the units.
load helpers

SERVICES='SRV_WORKER=_http._tcp:80 _https._tcp:443'

setup() {
  fake_node
  good_machine
  join_settings
  settings "$SERVICES"
  # nsupdate writes down what it is told, and says what the edge would have said.
  stub nsupdate 'cat >"$FAKE_SENT"; [ -z "$FAKE_REPLY" ] || { echo "$FAKE_REPLY" >&2; exit 2; }'
  export FAKE_SENT=$FAKE/sent FAKE_REPLY=
}

# key_there: as an earlier announce.sh left it.
key_there() { echo 'key "worker1.cluster.test" { algorithm hmac-sha256; secret "eA=="; };' >"$ROOT/etc/v6edge-node/dns.key"; }

sent() { cmp "$FAKE_SENT" - || { cat "$FAKE_SENT" && false; }; }

@test "fresh: key, units and hooks; name and memberships in one message" {
  mkdir -p "$ROOT/etc/networkd-dispatcher"
  script announce.sh
  succeeds
  says 'announced worker1.cluster.test fd00:6:6::21'
  sent <<'END'
server fd00:6:6::1 53
zone cluster.test.
update delete worker1.cluster.test. AAAA
update add worker1.cluster.test. 60 AAAA fd00:6:6::21
update add _http._tcp.cluster.test. 60 SRV 0 100 80 worker1.cluster.test.
update add _https._tcp.cluster.test. 60 SRV 0 100 443 worker1.cluster.test.
send
END
  called "nsupdate -t 10 -k $ROOT/etc/v6edge-node/dns.key"
  [ "$(stat -c %a "$ROOT/etc/v6edge-node/dns.key")" = 400 ]
  has /etc/v6edge-node/dns.key 'key "worker1.cluster.test" {'
  has /etc/systemd/system/v6edge-member.service 'Environment=V6EDGE_ROLE=worker V6EDGE_NODE_NAME=worker1'
  has /etc/systemd/system/v6edge-announce.timer OnUnitInactiveSec=1800
  [ -x "$ROOT/etc/networkd-dispatcher/routable.d/50-v6edge-announce" ]
  [ -x "$ROOT/usr/local/lib/v6edge-node/announce.sh" ]
  called 'systemctl start v6edge-member.service v6edge-announce.timer v6edge-announce.path'
  ! grep -rq c2VjcmV0 "$ROOT/usr" "$ROOT/etc/systemd"
}

@test "repeated: nothing is written, and a service that runs is not restarted" {
  script announce.sh
  before=$(snapshot)
  forget_calls
  script announce.sh
  succeeds
  [ "$(snapshot)" = "$before" ]
  not_called 'restart|daemon-reload|stop'
}

@test "what is installed announces by itself, as the units run it" {
  script announce.sh
  rm "$ROOT/etc/v6edge-node/join.env"
  mkdir "$FAKE/state" "$FAKE/credentials"
  cp "$ROOT/etc/v6edge-node/dns.key" "$FAKE/credentials/dns.key"
  export V6EDGE_ROLE=worker V6EDGE_NODE_NAME=worker1 STATE_DIRECTORY=$FAKE/state CREDENTIALS_DIRECTORY=$FAKE/credentials
  SCRIPTS=$ROOT/usr/local/lib/v6edge-node script announce.sh --enter
  succeeds
  called "nsupdate -t 10 -k $FAKE/credentials/dns.key"
  SCRIPTS=$ROOT/usr/local/lib/v6edge-node script announce.sh --leave
  succeeds
  SCRIPTS=$ROOT/usr/local/lib/v6edge-node script announce.sh --refresh
  succeeds
  says 'in no pool'
}

@test "a control plane, ports and weights, PTR by the node" {
  join_settings ROLE=control-plane NODE_NAME=cp1
  settings 'SRV_CONTROL_PLANE=_kube-api._tcp:16443:7' PTR=node DNS_TTL=30
  script announce.sh --print
  succeeds
  [ "$output" = 'server fd00:6:6::1 53
zone cluster.test.
update delete cp1.cluster.test. AAAA
update add cp1.cluster.test. 30 AAAA fd00:6:6::21
update add _kube-api._tcp.cluster.test. 30 SRV 0 7 16443 cp1.cluster.test.
send
zone 0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa.
update delete 1.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa. PTR
update add 1.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa. 30 PTR cp1.cluster.test.
send' ]
  not_called nsupdate
}

@test "another address, another port: what was announced before goes in the same message" {
  key_there
  settings PTR=node "$SERVICES"
  script announce.sh --enter
  settings PTR=node 'SRV_WORKER=_http._tcp:8080'
  IP_ADDRESS=fd00:6:6::22 script announce.sh --enter
  succeeds
  sent <<'END'
server fd00:6:6::1 53
zone cluster.test.
update delete _http._tcp.cluster.test. SRV 0 100 80 worker1.cluster.test.
update delete _https._tcp.cluster.test. SRV 0 100 443 worker1.cluster.test.
update delete worker1.cluster.test. AAAA
update add worker1.cluster.test. 60 AAAA fd00:6:6::22
update add _http._tcp.cluster.test. 60 SRV 0 100 8080 worker1.cluster.test.
send
zone 0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa.
update delete 1.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa. PTR worker1.cluster.test.
update delete 2.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa. PTR
update add 2.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.6.0.0.0.0.0.d.f.ip6.arpa. 60 PTR worker1.cluster.test.
send
END
}

@test "leaving: memberships go, the name stays; a refresh does not bring them back, entering does" {
  key_there
  script announce.sh --enter
  script announce.sh --leave
  succeeds
  sent <<'END'
server fd00:6:6::1 53
zone cluster.test.
update delete _http._tcp.cluster.test. SRV 0 100 80 worker1.cluster.test.
update delete _https._tcp.cluster.test. SRV 0 100 443 worker1.cluster.test.
update delete worker1.cluster.test. AAAA
update add worker1.cluster.test. 60 AAAA fd00:6:6::21
send
END
  script announce.sh --refresh
  succeeds
  ! grep -q 'add .* SRV' "$FAKE_SENT"
  script announce.sh --enter
  grep -q 'add .* SRV' "$FAKE_SENT"
  script announce.sh --refresh
  grep -q 'add .* SRV' "$FAKE_SENT"
}

@test "leaving with no address left, and with nothing remembered: memberships go all the same" {
  key_there
  IP_ADDRESS= script announce.sh --leave
  succeeds
  sent <<'END'
server fd00:6:6::1 53
zone cluster.test.
update delete _http._tcp.cluster.test. SRV 0 100 80 worker1.cluster.test.
update delete _https._tcp.cluster.test. SRV 0 100 443 worker1.cluster.test.
send
END
}

@test "leaving with no address left: what is remembered of the name is kept" {
  key_there
  settings PTR=node "$SERVICES"
  script announce.sh --enter
  IP_ADDRESS= script announce.sh --leave
  succeeds
  [ "$(cut -d ' ' -f 2 "$ROOT/var/lib/v6edge-announce/announced" | tr '\n' ' ')" = 'AAAA PTR ' ]
  IP_ADDRESS=fd00:6:6::22 script announce.sh --enter
  grep -q '^update delete 1.2.0.*ip6.arpa. PTR worker1.cluster.test.$' "$FAKE_SENT"
}

@test "withdrawn: everything goes, units and key too; again it does no harm" {
  script announce.sh
  forget_calls
  script announce.sh --withdraw
  succeeds
  sent <<'END'
server fd00:6:6::1 53
zone cluster.test.
update delete _http._tcp.cluster.test. SRV 0 100 80 worker1.cluster.test.
update delete _https._tcp.cluster.test. SRV 0 100 443 worker1.cluster.test.
update delete worker1.cluster.test. AAAA
send
END
  called 'systemctl disable --now v6edge-member.service'
  # The units are stopped first: they would announce once more.
  [ "$(grep -n 'disable --now v6edge-member' "$CALLS" | cut -d: -f1)" -lt "$(grep -n nsupdate "$CALLS" | cut -d: -f1)" ]
  [ ! -e "$ROOT/etc/systemd/system/v6edge-member.service" ] && [ ! -e "$ROOT/etc/v6edge-node/dns.key" ]
}

@test "what the edge says becomes what to do; nothing counts as announced; the next run ends well" {
  key_there
  while IFS='|' read -r reply advice; do
    FAKE_REPLY=$reply script announce.sh --enter
    fails 1
    says "$reply"
    says "$advice"
  done <<'END'
update failed: NOTAUTH(BADTIME)|clocks are more than 5 minutes apart
update failed: NOTAUTH(BADKEY)|does not know the key
update failed: NOTAUTH(BADSIG)|another secret
update failed: REFUSED|No rule of the edge
update failed: NOTAUTH|has no zone cluster.test
; Communication with fd00:6:6::1#53 failed: timed out|Does the edge answer?
END
  [ ! -e "$ROOT/var/lib/v6edge-announce/announced" ]
  FAKE_REPLY= script announce.sh
  succeeds
}

@test "the first announcement fails: seen at once; run again, it goes on" {
  FAKE_REPLY='update failed: REFUSED' script announce.sh
  fails 1
  says 'the edge did not take the update for worker1.cluster.test'
  script announce.sh
  succeeds
}

@test "no key anywhere: where to get one" {
  join_settings DNS_KEY_SECRET= DNS_KEY_NAME=
  script announce.sh
  fails 1
  says 'v6edge key new worker1.cluster.test'
  mkdir -p "$ROOT/etc/v6edge-node"
  echo 'key "node-key" { algorithm hmac-sha256; secret "eA=="; };' >"$ROOT/etc/v6edge-node/dns.key"
  script announce.sh
  succeeds
  has /etc/v6edge-node/dns.key 'key "node-key" { algorithm hmac-sha256; secret "eA=="; };'
}

@test "no address yet, and options that do not go together" {
  IP_ADDRESS= script announce.sh --enter
  fails 1
  says 'has no usable address'
  script announce.sh --enter --leave
  fails 2
  says 'do not go together'
}

@test "--dry-run shows the message and the units, and sends nothing" {
  before=$(snapshot)
  script announce.sh --dry-run
  succeeds
  says 'update add worker1.cluster.test. 60 AAAA fd00:6:6::21'
  says 'would write: /etc/systemd/system/v6edge-member.service'
  does_not_say c2VjcmV0
  script announce.sh --withdraw --dry-run
  succeeds
  [ "$(snapshot)" = "$before" ]
  not_called 'nsupdate|systemctl (start|enable|disable|daemon)'
}

@test "systemd takes the units" {
  script announce.sh
  mkdir "$FAKE/units"
  cp "$ROOT"/etc/systemd/system/v6edge-* "$FAKE/units"
  sed -i "s|^ExecSt\([a-z]*\)=.*|ExecSt\1=/bin/true|" "$FAKE"/units/*.service
  run systemd-analyze verify --man=no "$FAKE"/units/v6edge-*
  succeeds
  does_not_say v6edge
}
