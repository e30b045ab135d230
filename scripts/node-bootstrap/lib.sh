# What all scripts of this folder share: options, messages, changes that can be tried out and repeated, a lock, retries. To source.
#
# Every change of the machine goes through `run`, `write_file` or `remove`: with --dry-run they print what they would do. Files are
# below $ROOT, which is empty but for tests and images. A script is safe to run again at any time: it changes what differs.
# shellcheck shell=bash disable=SC2034
set -Eeuo pipefail
# lastpipe: write_file at the end of a pipe says what it did to the script itself.
shopt -s inherit_errexit lastpipe
export LC_ALL=C.UTF-8
# Folders made on the way to a file are others' too, networkd's for one; what is secret says so itself.
umask 022

ROOT=${ROOT-}
DRY_RUN=${DRY_RUN-}
VERBOSE=${VERBOSE-}
PROGRAM=${0##*/}
BOOTSTRAP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ENV_FILE=${ENV_FILE-}
JOIN_FILE=${JOIN_FILE-}
# Where the node keeps its settings, and what these scripts remember.
CONFIG_DIR=/etc/v6edge-node
STATE_DIR=/var/lib/v6edge-node
# What the last write_file did: changed or unchanged.
WRITTEN=unchanged
# Whether anything was changed so far, for who has to restart something.
CHANGES=0

export PATH=$PATH:/usr/sbin:/sbin

log() { printf '%s: %s\n' "$PROGRAM" "$*"; }
# What was done; nothing was in a trial.
done_log() { if [ -z "$DRY_RUN" ]; then log "$@"; fi; }
warn() { printf '%s: warning: %s\n' "$PROGRAM" "$*" >&2; }

# die WHAT [WHAT TO DO…]: says both, and ends with code 1, or 2 for wrong options and settings (usage_error).
die() {
  printf '%s: error: %s\n' "$PROGRAM" "$1" >&2
  shift
  if [ $# -gt 0 ]; then printf '  %s\n' "$@" >&2; fi
  # All is said: the shell around a $(…) ends as well, without a word.
  if [ "$BASHPID" != "$$" ]; then exit $((112 + ${DIE_CODE:-1})); fi
  exit "${DIE_CODE:-1}"
}
usage_error() { DIE_CODE=2 die "$@"; }

# The comment at the head of the script is its --help.
usage() { sed -n '2,$ { /^#/!q; /^# shellcheck /q; s/^# \{0,1\}//; p }' "$0"; }

on_error() {
  local code=$?
  [ "$BASHPID" = "$$" ] || exit "$code"
  case $code in 113 | 114) exit $((code - 112)) ;; esac
  printf '%s: error: "%s" failed with code %s (%s line %s)\n' "$PROGRAM" "$2" "$code" "${3##*/}" "$1" >&2
  echo '  Mend what it names, then run the same command again: it goes on where it stopped.' >&2
  exit "$code"
}
trap 'on_error "$LINENO" "$BASH_COMMAND" "${BASH_SOURCE[0]}"' ERR

# parse_options [--flag…] -- "$@": the options all scripts have, and flags of this one: --keep-name sets FLAG_KEEP_NAME=yes, and
# --node= takes a value into FLAG_NODE. What is no option is left in the array ARGUMENTS.
parse_options() {
  local own=() flag name
  while [ "$1" != -- ]; do
    own+=("$1")
    name=${1#--}
    name=${name%=}
    name=${name//-/_}
    declare -g "FLAG_${name^^}="
    shift
  done
  shift
  ARGUMENTS=()
  while [ $# -gt 0 ]; do
    case $1 in
      --help | -h)
        usage
        exit 0
        ;;
      --dry-run | -n) DRY_RUN=yes ;;
      --verbose | -v) VERBOSE=yes ;;
      --env | --join | --root)
        [ -n "${2-}" ] || usage_error "$1 needs a value" "See $PROGRAM --help."
        case $1 in
          --env) ENV_FILE=$2 ;;
          --join) JOIN_FILE=$2 ;;
          --root) ROOT=${2%/} ;;
        esac
        shift
        ;;
      -*)
        flag=${1%%=*}
        name=${flag#--}
        name=${name//-/_}
        if [[ " ${own[*]-} " = *" $flag "* ]]; then
          declare -g "FLAG_${name^^}=yes"
        elif [[ " ${own[*]-} " = *" $flag= "* ]]; then
          if [ "$flag" = "$1" ]; then
            [ -n "${2-}" ] || usage_error "$1 needs a value" "See $PROGRAM --help."
            declare -g "FLAG_${name^^}=$2"
            shift
          else
            declare -g "FLAG_${name^^}=${1#*=}"
          fi
        else
          usage_error "unknown option $1" "See $PROGRAM --help."
        fi
        ;;
      *) ARGUMENTS+=("$1") ;;
    esac
    shift
  done
  export ROOT DRY_RUN VERBOSE ENV_FILE JOIN_FILE
}

no_arguments() { [ ${#ARGUMENTS[@]} -eq 0 ] || usage_error "unexpected \"${ARGUMENTS[0]}\"" "See $PROGRAM --help."; }

# Whether it runs as root; where nothing but a folder is changed, and for a trial, anybody will do.
need_root() {
  if [ "$EUID" -eq 0 ] || [ -n "$ROOT$DRY_RUN" ]; then return; fi
  die 'this needs root' "Run: sudo $0" "or see what it would do: $0 --dry-run"
}

quoted() {
  local words=() word
  for word; do
    if [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]]; then words+=("$word"); else words+=("${word@Q}"); fi
  done
  echo "${words[*]}"
}

# run COMMAND…: does it, or says that it would. Its output is shown when it fails, or with --verbose.
run() {
  if [ -n "$DRY_RUN" ]; then
    echo "would run: $(quoted "$@")"
    return
  fi
  if [ -n "$VERBOSE" ]; then
    log "run: $(quoted "$@")"
    "$@" 9>&- || command_failed $? "$@"
    return
  fi
  local output code=0
  output=$(mktemp)
  "$@" >"$output" 2>&1 9>&- || code=$?
  if [ "$code" -ne 0 ]; then
    tail -n 30 "$output" >&2
    rm -f "$output"
    command_failed "$code" "$@"
  fi
  rm -f "$output"
}

command_failed() {
  local code=$1
  shift
  die "\"$(quoted "$@")\" failed with code $code" "${FAILURE_HINT:-Mend what it names above, then run the same command again: it goes on where it stopped.}"
}

# write_file PATH [MODE]: writes standard input to the file, whole or not at all, if that changes it. Sets WRITTEN.
write_file() {
  local path=$1 mode=${2:-0644} place=$ROOT$1 new
  new=$(cat && echo .)
  new=${new%.}
  WRITTEN=unchanged
  if [ -f "$place" ] && [ ! -L "$place" ] && [ "$(cat "$place" && echo .)" = "$new." ] && [ "$(stat -c %a "$place")" = "${mode#0}" ]; then
    if [ -n "$VERBOSE" ]; then log "unchanged: $path"; fi
    return
  fi
  WRITTEN=changed
  CHANGES=$((CHANGES + 1))
  if [ -n "$DRY_RUN" ]; then
    echo "would write: $path (mode $mode)"
    # What others may not read is not shown either.
    case $mode in *[4567]) printf '%s' "$new" | sed 's/^/  | /' ;; esac
    return
  fi
  mkdir -p "${place%/*}"
  local temporary
  temporary=$(mktemp "$place.XXXXXX")
  printf '%s' "$new" >"$temporary"
  chmod "$mode" "$temporary"
  mv -fT "$temporary" "$place"
  log "changed: $path"
}

# remove PATH…: files and folders with all that is in them; what is not there is passed over.
remove() {
  local path
  for path; do
    [[ $path = /?*/?* ]] || die "will not remove \"$path\"" 'This is a mistake in the script.'
    if [ ! -e "$ROOT$path" ] && [ ! -L "$ROOT$path" ]; then continue; fi
    CHANGES=$((CHANGES + 1))
    if [ -n "$DRY_RUN" ]; then
      echo "would remove: $path"
    else
      rm -rf --one-file-system "$ROOT$path"
      log "removed: $path"
    fi
  done
}

# retry TRIES COMMAND…: until it succeeds, with 1, 2, 4 … 30 seconds between. The output of the last try is shown if none does.
retry() {
  local tries=$1 try=1 wait=1
  shift
  if [ -n "$DRY_RUN" ]; then
    run "$@"
    return
  fi
  while [ "$try" -lt "$tries" ]; do
    if "$@" >/dev/null 2>&1 9>&-; then return; fi
    if [ -n "$VERBOSE" ]; then log "try $try of $tries failed, again in $wait s: $(quoted "$@")"; fi
    sleep "$wait"
    try=$((try + 1))
    wait=$((wait * 2 > 30 ? 30 : wait * 2))
  done
  run "$@"
}

# One script at a time changes this machine; those that join.sh runs are under its lock.
lock() {
  if [ -n "$DRY_RUN" ] || [ -n "${V6EDGE_BOOTSTRAP_LOCKED-}" ]; then return; fi
  local file=$ROOT/run/v6edge-bootstrap.lock
  mkdir -p "${file%/*}"
  exec 9>>"$file"
  if ! flock --nonblock 9; then
    die "another of these scripts runs: $(cat "$file")" 'Wait until it has ended, then run this again.'
  fi
  printf '%s, process %s\n' "$PROGRAM" "$$" >"$file"
  export V6EDGE_BOOTSTRAP_LOCKED=$$
}

# render FILE: prints it with each @NAME@ replaced by the variable of that name. A name without a variable is a mistake.
render() {
  local text name
  text=$(cat "$1" && echo .)
  text=${text%.}
  while [[ $text =~ @([A-Z][A-Z0-9_]*)@ ]]; do
    name=${BASH_REMATCH[1]}
    [ -n "${!name+set}" ] || die "${1##*/}: nothing is known for the placeholder @$name@" 'This is a mistake in the script.'
    [[ ${!name} != *@"$name"@* ]] || die "${1##*/}: $name holds its own placeholder" "Give $name another value."
    text=${text//"@$name@"/"${!name}"}
  done
  printf '%s' "$text"
}

# once NAME INPUT COMMAND…: runs the command unless it has succeeded before with the same input (a text), and remembers that it has.
once() {
  local mark=$STATE_DIR/steps/$1 sum
  sum=$(printf '%s' "$2" | sha256sum | cut -c 1-64)
  shift 2
  if [ -f "$ROOT$mark" ] && [ "$(cat "$ROOT$mark")" = "$sum" ]; then
    return
  fi
  "$@"
  if [ -n "$DRY_RUN" ]; then return; fi
  mkdir -p "$ROOT$STATE_DIR/steps"
  printf '%s\n' "$sum" >"$ROOT$mark"
}

# have COMMAND: whether the program is there.
have() { type -P "$1" >/dev/null; }

# shellcheck source=settings.sh
. "$BOOTSTRAP/settings.sh"
# shellcheck source=addresses.sh
. "$BOOTSTRAP/addresses.sh"
