# join.sh: the steps in their order, and where it goes on after a failure.
load helpers

setup() {
  fake_node
  join_settings REPORT_URL=http://[fd00:6:6::1]:8654/join/report NODE_SECRET=node-secret-1
  # The steps are stand-ins here that write down how they were called; the real ones have their own tests.
  mkdir "$FAKE/scripts"
  cp "$SCRIPTS"/*.sh "$SCRIPTS"/versions.env "$FAKE/scripts"
  SCRIPTS=$FAKE/scripts
  for step in preflight network runtime kubernetes announce worker control-plane; do
    printf '#!/bin/bash\n. "$(dirname "$0")/lib.sh" || exit\nparse_options -- "$@"\nlock\necho "step %s${DRY_RUN:+ dry}" >>"$CALLS"\n[ ! -e "$FAKE/fails-%s" ] || die "%s is broken" "mend it"\n' \
      "$step" "$step" "$step" >"$FAKE/scripts/$step.sh"
  done
  export FAKE
  stub curl 'cat >>"$FAKE/headers"'
}

steps() { sed -n 's/^step //p' "$CALLS" | tr '\n' ' '; }

@test "a worker, from nothing to done, with progress and reports" {
  script join.sh
  succeeds
  [ "$(steps)" = 'preflight network runtime kubernetes announce worker ' ]
  says '[1/6] whether this machine can become a node'
  says '[6/6] kubeadm join'
  says 'worker1.cluster.test is a worker of v6edge'
  called_like '^curl .*STATE=begun'
  called_like '^curl .*STATE=done'
  not_called node-secret-1
  grep -q 'Bearer node-secret-1' "$FAKE/headers"
}

@test "a control plane ends in its own script" {
  join_settings ROLE=control-plane NODE_NAME=cp1 CLUSTER_INIT=yes
  script join.sh
  succeeds
  says '[6/6] kubeadm init'
  [ "$(steps)" = 'preflight network runtime kubernetes announce control-plane ' ]
}

@test "failing midway: told and reported; run again, it goes on where it stopped" {
  touch "$FAKE/fails-kubernetes"
  script join.sh
  fails 1
  says 'kubernetes is broken'
  says 'step kubernetes failed'
  says "$FAKE/scripts/join.sh --env"
  called_like '^curl .*STATE=failed'
  [ "$(steps)" = 'preflight network runtime kubernetes ' ]
  rm "$FAKE/fails-kubernetes"
  forget_calls
  script join.sh
  succeeds
  [ "$(steps)" = 'kubernetes announce worker ' ]
}

@test "repeated: only the last step looks again; a changed setting has every step run" {
  script join.sh
  forget_calls
  join_settings REPORT_URL=http://[fd00:6:6::1]:8654/join/report NODE_SECRET=another-secret
  script join.sh
  succeeds
  [ "$(steps)" = 'worker ' ]
  forget_calls
  settings DNS_TTL=30
  script join.sh
  [ "$(steps)" = 'preflight network runtime kubernetes announce worker ' ]
  forget_calls
  join_settings DNS_KEY_SECRET=YW5vdGhlci1zZWNyZXQ=
  script join.sh
  [ "$(steps)" = 'announce worker ' ]
}

@test "settings given by name are kept for good, and secrets of joining forgotten" {
  mkdir "$FAKE/bundle"
  mv "$ROOT/etc/v6edge-node/edge.env" "$ROOT/etc/v6edge-node/join.env" "$FAKE/bundle"
  script join.sh --env "$FAKE/bundle/edge.env" --join "$FAKE/bundle/join.env"
  succeeds
  cmp "$FAKE/bundle/edge.env" "$ROOT/etc/v6edge-node/edge.env"
  [ "$(stat -c %a "$ROOT/etc/v6edge-node/join.env")" = 600 ]
  has /etc/v6edge-node/join.env KUBEADM_TOKEN=
  has /etc/v6edge-node/join.env NODE_SECRET=node-secret-1
  ! grep -r abcdef.0123 "$ROOT"
  script join.sh --env "$FAKE/bundle/edge.env" --join "$FAKE/bundle/join.env"
  succeeds
  does_not_say changed:
}

@test "an edge that does not listen to reports stops nothing" {
  stub curl 'cat >/dev/null; exit 7'
  script join.sh
  succeeds
  says 'the edge was not told'
}

@test "wrong settings: told before any step" {
  join_settings ROLE=boss
  script join.sh
  fails 2
  says 'ROLE is "boss"'
  [ -z "$(steps)" ]
  rm "$ROOT/etc/v6edge-node/join.env"
  script join.sh
  fails 2
  says 'v6edge node token create'
}

@test "two at once: the second says so" {
  mkdir -p "$ROOT/run"
  echo 'join.sh, process 7' >"$ROOT/run/v6edge-bootstrap.lock"
  exec 8<"$ROOT/run/v6edge-bootstrap.lock"
  flock 8
  script join.sh
  exec 8<&-
  fails 1
  says 'another of these scripts runs: join.sh, process 7'
  [ -z "$(steps)" ]
}

@test "--dry-run has every step tried, and nothing marked as done or reported" {
  before=$(snapshot)
  script join.sh --dry-run
  succeeds
  [ "$(steps)" = 'preflight dry network dry runtime dry kubernetes dry announce dry worker dry ' ]
  [ "$(snapshot)" = "$before" ]
  not_called ^curl
}
