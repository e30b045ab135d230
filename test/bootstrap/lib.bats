# What the scripts share: options, messages, changes, retries, the lock.
load helpers

setup() { fake_node; }

# program TEXT: makes scripts/tried.sh of it on top of the library, and `tried ARGUMENTS…` runs it.
program() {
  printf '#!/bin/bash\n# Tries the library.\n#\n#   tried.sh [--dry-run]\n. "%s/lib.sh" || exit\n%s\n' "$SCRIPTS" "$1" >"$FAKE/tried.sh"
}
tried() { run env "PATH=$FAKE/bin" "$FAKE/bin/bash" "$FAKE/tried.sh" "$@"; }

@test "--help prints the comment at the head, and nothing else happens" {
  program 'parse_options -- "$@"; run sysctl -w a=b'
  tried --help
  succeeds
  [ "$output" = $'Tries the library.\n\n  tried.sh [--dry-run]' ]
  not_called sysctl
}

@test "an unknown option, and one without its value, are told with where to look" {
  program 'parse_options --yes --node= -- "$@"; no_arguments; echo "$FLAG_YES/$FLAG_NODE"'
  tried --no
  fails 2
  says 'unknown option --no'
  says 'tried.sh --help'
  tried --node
  fails 2
  says '--node needs a value'
  tried stray
  fails 2
  says 'unexpected "stray"'
  tried --yes --node=n1
  succeeds
  says yes/n1
  tried --node n2
  says /n2
}

@test "write_file writes once, says when it changes, and keeps the mode" {
  program 'parse_options -- "$@"; write_file /etc/a/b 0640 <<<"one
two"; echo "$WRITTEN $CHANGES"'
  tried
  succeeds
  says 'changed: /etc/a/b'
  says 'changed 1'
  [ "$(cat "$ROOT/etc/a/b")" = $'one\ntwo' ]
  [ "$(stat -c %a "$ROOT/etc/a/b")" = 640 ]
  tried
  [ "$output" = 'unchanged 0' ]
  chmod 600 "$ROOT/etc/a/b"
  tried
  says 'changed 1'
  [ "$(stat -c %a "$ROOT/etc/a/b")" = 640 ]
  [ "$(ls "$ROOT/etc/a")" = b ]
}

@test "folders on the way to a file are open to others, whatever the caller keeps from them" {
  program 'parse_options -- "$@"; write_file /etc/a/b/c <<<"for networkd"'
  umask 077
  tried
  succeeds
  [ "$(stat -c %a "$ROOT/etc/a/b")" = 755 ]
}

@test "--dry-run shows every change, makes none, and shows no secret" {
  program 'parse_options -- "$@"; need_root; lock
write_file /etc/open <<<"for all"
write_file /etc/secret 0600 <<<"for root"
run sysctl -w "a=b c"
touch "$ROOT/etc/gone"; remove /etc/gone
retry 5 curl http://edge'
  tried --dry-run
  succeeds
  says 'would write: /etc/open (mode 0644)'
  says '| for all'
  says 'would write: /etc/secret (mode 0600)'
  does_not_say 'for root'
  says "would run: sysctl -w 'a=b c'"
  says 'would remove: /etc/gone'
  says 'would run: curl http://edge'
  [ -e "$ROOT/etc/gone" ] && [ ! -e "$ROOT/etc/open" ] && [ ! -e "$ROOT/run/v6edge-bootstrap.lock" ]
  [ ! -s "$CALLS" ]
}

@test "a command that fails shows its output, its code and what to do; what is after it does not run" {
  stub sysctl 'echo "sysctl: no such key" >&2; exit 7'
  program 'parse_options -- "$@"; run sysctl -w a=b; run modprobe x'
  tried
  fails 1
  says 'sysctl: no such key'
  says '"sysctl -w a=b" failed with code 7'
  says 'run the same command again'
  not_called modprobe
}

@test "an error nobody thought of names its place" {
  program 'parse_options -- "$@"
false'
  tried
  fails 1
  says '"false" failed with code 1 (tried.sh line 7)'
}

@test "die inside of a substitution ends the script, said once" {
  program 'parse_options -- "$@"; x=$(die "this is it" "do that"); echo "on: $x"'
  tried
  fails 1
  [ "$output" = $'tried.sh: error: this is it\n  do that' ]
}

@test "retry waits 1, 2, 4 … 30 seconds, and shows the last failure" {
  stub curl 'echo "refused $(wc -l <"$CALLS")"; exit 7'
  program 'parse_options -- "$@"; retry 8 curl http://edge'
  tried
  fails 1
  says refused
  [ "$(grep ^sleep "$CALLS" | tr '\n' ' ')" = 'sleep 1 sleep 2 sleep 4 sleep 8 sleep 16 sleep 30 sleep 30 ' ]
  [ "$(grep -c ^curl "$CALLS")" = 8 ]
  forget_calls
  stub curl '[ "$(grep -c ^curl "$CALLS")" -ge 3 ]'
  tried
  succeeds
  [ "$(grep -c ^curl "$CALLS")" = 3 ]
}

@test "only one script at a time; a lock that is left over does not matter" {
  program 'parse_options -- "$@"; lock; run modprobe x'
  mkdir -p "$ROOT/run"
  echo 'network.sh, process 7' >"$ROOT/run/v6edge-bootstrap.lock"
  exec 8<"$ROOT/run/v6edge-bootstrap.lock"
  flock 8
  tried
  fails 1
  says 'another of these scripts runs: network.sh, process 7'
  exec 8<&-
  tried
  succeeds
  V6EDGE_BOOTSTRAP_LOCKED=1 tried
  succeeds
}

@test "once: not again after success, again after a failure and with another input" {
  stub modprobe '[ ! -e "$ROOT/broken" ]'
  program 'parse_options -- "$@"; step() { run modprobe "$1"; }; once first "$INPUT" step x; echo on'
  touch "$ROOT/broken"
  INPUT=1 tried
  fails 1
  rm "$ROOT/broken"
  INPUT=1 tried
  succeeds
  INPUT=1 tried
  succeeds
  [ "$(wc -l <"$CALLS")" = 2 ]
  INPUT=2 tried
  [ "$(wc -l <"$CALLS")" = 3 ]
}

@test "render fills every placeholder, and fails on one it does not know" {
  printf 'a: @ONE@ @TWO@\nb: x@y.z @ONE@\n' >"$FAKE/template"
  program 'parse_options -- "$@"; ONE="1 & \\1"; TWO=; render "$FAKE/template"'
  FAKE=$FAKE tried
  succeeds
  [ "$output" = $'a: 1 & \\1 \nb: x@y.z 1 & \\1' ]
  echo '@THREE@' >"$FAKE/template"
  FAKE=$FAKE tried
  fails 1
  says 'placeholder @THREE@'
}

@test "remove takes only what lies below two folders or more" {
  program 'parse_options -- "$@"; remove "$WHAT"'
  mkdir -p "$ROOT/etc/kubernetes/pki"
  for what in / /etc '' etc/kubernetes //etc; do
    WHAT=$what tried
    [ "$what" = //etc ] || fails 1
  done
  [ -d "$ROOT/etc/kubernetes" ]
  WHAT=/etc/kubernetes tried
  succeeds
  [ ! -e "$ROOT/etc/kubernetes" ]
  WHAT=/etc/kubernetes tried
  [ -z "$output" ]
}

@test "write_file at the end of a pipe says what it did, too" {
  program 'parse_options -- "$@"; echo text | write_file /etc/a; echo "$WRITTEN $CHANGES"'
  tried
  says 'changed 1'
  tried
  [ "$output" = 'unchanged 0' ]
}
