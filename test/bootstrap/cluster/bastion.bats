# bastion.sh: stanzas of ssh for the nodes of a zone, from a transfer, the admin API or a zone file.
load helpers

setup() {
  fake_node
  settings EDGE_ADDRESS=fd00:6:6::1
  export FAKE
  cat >"$FAKE/zone" <<'END'
; <<>> DiG 9.18 <<>> cluster.test AXFR
cluster.test.		300	IN	SOA	edge.cluster.test. admin.cluster.test. 7 3600 600 86400 60
cluster.test.		300	IN	NS	edge.cluster.test.
edge.cluster.test.	300	IN	AAAA	fd00:6:6:0::1
worker2.cluster.test.	60	IN	AAAA	fd00:6:6::22
cp1.cluster.test.	60	IN	AAAA	fd00:6:6::11
public.cluster.test.	60	IN	AAAA	2001:db8::5
a.b.cluster.test.	60	IN	AAAA	fd00:6:6::77
cp1.cluster.test.	60	IN	TXT	"x IN AAAA fd00:6:6::66"
_http._tcp.cluster.test. 60	IN	SRV	0 100 80 worker2.cluster.test.
END
  stub dig 'cat "$FAKE/zone"'
}
hosts() { sed -n 's/^Host //p' <<<"$output" | paste -sd ,; }

@test "a stanza for each node, by a transfer: not the edge, not what is elsewhere" {
  script bastion.sh admin@edge.example.net --user debian --key /root/transfer.key
  succeeds
  called 'dig -k /root/transfer.key +noall +answer +onesoa +time=5 +tries=2 @fd00:6:6::1 cluster.test AXFR'
  [ "$(hosts)" = 'cp1 cp1.cluster.test,worker2 worker2.cluster.test' ]
  says 'Host cp1 cp1.cluster.test
    HostName fd00:6:6::11
    HostKeyAlias cp1.cluster.test
    User debian
    ProxyJump admin@edge.example.net'
}

@test "ssh itself takes what is printed" {
  script bastion.sh edge
  succeeds
  printf '%s\n' "$output" >"$FAKE/config"
  result=$(ssh -G -F "$FAKE/config" worker2)
  grep -qx 'hostname fd00:6:6::22' <<<"$result"
  grep -qx 'user root' <<<"$result"
  grep -qx 'proxyjump edge' <<<"$result"
}

@test "by the admin API: a socket, and a URL with a token that is on no command line" {
  echo s3cret >"$FAKE/token"
  stub curl 'case "$*" in *"-H @-"*) cat >"$FAKE/head" ;; esac; cat "$FAKE/zone"'
  script bastion.sh edge --api /run/v6edge/admin.sock
  succeeds
  called 'curl -fsSg --max-time 10 -H Accept: text/dns --unix-socket /run/v6edge/admin.sock http://localhost/v1/zones/cluster.test/records'
  [ "$(hosts)" = 'cp1 cp1.cluster.test,worker2 worker2.cluster.test' ]
  script bastion.sh edge --api 'http://[::1]:8653/' --token-file "$FAKE/token"
  succeeds
  called_like 'http://\[::1\]:8653/v1/zones/cluster.test/records$'
  not_called s3cret
  [ "$(cat "$FAKE/head")" = 'Authorization: Bearer s3cret' ]
}

@test "a zone file with an origin, relative names, names left out, and no TTL" {
  cat >"$FAKE/zone" <<'END'
$ORIGIN cluster.test.
$TTL 300
@ SOA edge admin 7 3600 600 86400 60
edge AAAA fd00:6:6::1
Worker1 60 IN AAAA FD00:6:6::21
	TXT "AAAA fd00:6:6::99"
cp1 IN 1h TXT x
    IN AAAA fd00:6:6::11
END
  script bastion.sh edge --zone-file "$FAKE/zone"
  succeeds
  [ "$(hosts)" = 'cp1 cp1.cluster.test,worker1 worker1.cluster.test' ]
  says 'HostName fd00:6:6::21'
  run env "PATH=$FAKE/bin" "$FAKE/bin/bash" "$SCRIPTS/bastion.sh" edge --zone-file - <"$FAKE/zone"
  succeeds
  [ "$(hosts)" = 'cp1 cp1.cluster.test,worker1 worker1.cluster.test' ]
}

@test "what a zone says cannot become a line of ssh's configuration" {
  printf '%s\n' 'evil\010ProxyCommand.cluster.test. 60 IN AAAA fd00:6:6::5' 'x*.cluster.test. 60 IN AAAA fd00:6:6::6' \
    'ok.cluster.test. 60 IN AAAA fd00:6:6::7;ProxyCommand' 'good.cluster.test. 60 IN AAAA fd00:6:6::8' >"$FAKE/zone"
  script bastion.sh edge --zone-file "$FAKE/zone"
  succeeds
  [ "$(hosts)" = 'good good.cluster.test' ]
}

@test "no transfer: why, and the other ways" {
  stub dig 'echo "; Transfer failed."'
  script bastion.sh edge
  fails 1
  says 'did not give the zone cluster.test: ; Transfer failed.'
  says 'transfer.allow'
  stub curl 'exit 22'
  script bastion.sh edge --api /run/v6edge/admin.sock
  fails 1
  says '--token-file'
  no_program dig
  script bastion.sh edge
  fails 1
  says 'bind9-dnsutils'
  echo 'cluster.test. 1 IN SOA a b 1 2 3 4 5' >"$FAKE/zone"
  script bastion.sh edge --zone-file "$FAKE/zone"
  fails 1
  says 'announce.sh'
}

@test "wrong input, each with what to do" {
  script bastion.sh
  fails 2
  says 'say how your ssh reaches the edge'
  script bastion.sh $'edge\nProxyCommand x'
  fails 2
  script bastion.sh edge --user 'a b'
  fails 2
  says 'is no user'
  script bastion.sh edge --zone-file /nowhere
  fails 2
  says 'cannot read /nowhere'
  script bastion.sh edge --api /run/x --token-file /nowhere
  fails 2
  says 'cannot read /nowhere'
}

@test "--dry-run says what would be asked, and asks nobody" {
  script bastion.sh edge --dry-run
  succeeds
  says 'would ask: fd00:6:6::1 for zone cluster.test (AXFR)'
  [ ! -s "$CALLS" ]
}
