# Reads and checks edge.env, join.env and versions.env: all that is wrong with them is said at once. Sourced by lib.sh.
# shellcheck shell=bash disable=SC2015,SC2034

# name, check, default; "!" = needed. A check is a function check_… below; what stands behind a colon are its arguments.
EDGE_SETTINGS='
CLUSTER_NAME                label                 v6edge
ZONE                        domain                !
CLUSTER_DOMAIN              domain                cluster.local
KUBERNETES_MINOR            minor                 -
EDGE_ADDRESS                address               !
EDGE_NAME                   domain                -
API_PORT                    port                  6443
EDGE_LINK_LOCAL             link_local            -
PRIVATE_SUBNET              prefix:64:64          !
POD_SUBNET                  prefix:48:64          !
SERVICE_SUBNET              prefix:108:120        !
PRIVATE_INTERFACE           interface             auto
PUBLIC_INTERFACE            interface             auto
FIREWALL                    choice:yes:no         no
SEARCH_DOMAINS              choice:yes:route      yes
EXTRA_SANS                  hosts                 -
KUBERNETES_REPOSITORY       url                   https://pkgs.k8s.io/core:/stable:/v{minor}/deb/
CRIO_REPOSITORY             url                   https://download.opensuse.org/repositories/isv:/cri-o:/stable:/v{minor}/deb/
KUBERNETES_KEY_FINGERPRINT  fingerprint           -
CRIO_KEY_FINGERPRINT        fingerprint           -
IMAGE_REPOSITORY            image                 registry.k8s.io
REGISTRY_MIRRORS            mirrors               -
SRV_WORKER                  services              _http._tcp:30080 _https._tcp:30443
SRV_CONTROL_PLANE           services              _kube-api._tcp:6443
DNS_TTL                     number:1:86400        60
DNS_LEASE                   duration              2h
PTR                         choice:edge:node:none edge
DNS_KEY_FILE                path                  /etc/v6edge-node/dns.key
CALICO_VXLAN                choice:Always:CrossSubnet:Never Always
CALICO_MTU                  number:0:9000         0
CALICO_SHA256               hex64                 -
HTTP_NODE_PORT              number:30000:32767    30080
HTTPS_NODE_PORT             number:30000:32767    30443
UNWRAP_PORT                 port                  7443
ACME_EMAIL                  email                 -
ACME_KEY_FILE               path                  -
CERT_MANAGER_SHA256         hex64                 -
KUARD_HOST                  domain                -
NFS_SERVER                  host                  -
NFS_SHARE                   path                  /srv/k8s
CSI_NFS_SHA256              hex64                 -
'
JOIN_SETTINGS='
ROLE                        choice:worker:control-plane !
NODE_NAME                   label                 -
CLUSTER_INIT                choice:yes:no         no
DNS_KEY_NAME                domain                -
DNS_KEY_ALGORITHM           choice:hmac-sha256:hmac-sha384:hmac-sha512:hmac-sha224:hmac-sha1 hmac-sha256
DNS_KEY_SECRET              base64                -
KUBEADM_TOKEN               token                 -
CA_CERT_HASHES              hashes                -
CERTIFICATE_KEY             hex64                 -
REPORT_URL                  url                   -
NODE_SECRET                 word                  -
'

PROBLEMS=()
problem() { PROBLEMS+=("$*"); }

# Says all problems and ends, if there are any.
report_problems() {
  if [ ${#PROBLEMS[@]} -eq 0 ]; then return; fi
  usage_error "$1" "${PROBLEMS[@]}"
}

matches() { [[ $1 =~ ^($2)$ ]] || return 1; }
LABEL='[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'

# Each sets EXPECTED to what is wanted, and fails, if the value is not that.
check_label() { matches "$1" "$LABEL" || expected 'lower-case letters, digits and hyphens, 63 at most'; }
check_domain() { [ ${#1} -le 253 ] && matches "$1" "$LABEL(\.$LABEL)+" || expected 'a lower-case domain name such as cluster.test'; }
check_address() { is_ipv6 "$1" || expected 'an IPv6 address such as fd00:6:6::1'; }
check_link_local() { is_ipv6 "$1" && in_prefix "$1" fe80::/10 || expected 'a link-local address such as fe80::1'; }
check_prefix() { is_prefix "$1" "$2" "$3" || expected "an IPv6 prefix of /$2 to /$3, with nothing behind it"; }
check_port() { check_number "$1" 1 65535; }
check_number() { matches "$1" '0|[1-9][0-9]{0,8}' && [ "$1" -ge "$2" ] && [ "$1" -le "$3" ] || expected "a number from $2 to $3"; }
check_minor() { matches "$1" '1\.(3[1-9]|[4-9][0-9])' || expected 'a Kubernetes minor such as 1.36, 1.31 at least'; }
check_interface() { matches "$1" '[a-zA-Z0-9_.@-]{1,15}' || expected 'the name of an interface, or auto'; }
check_choice() {
  local value=$1 one
  shift
  for one; do if [ "$one" = "$value" ]; then return; fi; done
  expected "one of: $*"
}
check_hosts() {
  local host
  for host in $1; do
    is_ipv6 "$host" || is_ipv4 "$host" || check_domain "${host#\*.}" ||
      {
        expected 'host names and addresses with spaces between'
        return
      }
  done
}
check_host() { is_ipv6 "$1" || check_domain "$1" || expected 'a host name or an IPv6 address'; }
check_email() { matches "$1" '[A-Za-z0-9._+-]+@[a-z0-9.-]+\.[a-z]+' || expected 'a mail address'; }
check_url() { matches "$1" 'https?://[][A-Za-z0-9._:-]+(/[][A-Za-z0-9._:/{}~+-]*)?' || expected 'an http or https URL'; }
check_fingerprint() { matches "$1" '[0-9A-F]{40}|[0-9A-F]{64}' || expected '40 or 64 upper-case hexadecimal digits'; }
check_image() { matches "$1" '[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?|\[[0-9a-f:]+\](:[0-9]+)?(/[a-z0-9._/-]+)?' || expected 'a registry such as registry.k8s.io'; }
check_mirrors() {
  local one
  for one in $1; do
    [[ $one = *=* ]] && check_image "${one%%=*}" && check_image "${one#*=}" ||
      {
        expected 'registry=mirror with spaces between'
        return
      }
  done
}
check_services() {
  local one
  for one in $1; do
    if matches "$one" '_[a-z0-9-]{1,15}\._(tcp|udp):[0-9]{1,5}(:[0-9]{1,5})?'; then
      local port weight
      IFS=: read -r _ port weight <<<"$one"
      if [ "$((10#$port))" -ge 1 ] && [ "$((10#$port))" -le 65535 ] && [ "$((10#${weight:-0}))" -le 65535 ]; then continue; fi
    fi
    expected '_service._tcp:port or _service._tcp:port:weight, with spaces between'
    return
  done
}
check_duration() { matches "$1" '[1-9][0-9]{0,6}[smhd]' || expected 'a duration such as 30m or 2h'; }
check_path() { matches "$1" '/[A-Za-z0-9._/-]+' || expected 'a path from / on'; }
check_base64() { matches "$1" '[A-Za-z0-9+/]{4,}={0,2}' || expected 'base64'; }
check_token() { matches "$1" '[a-z0-9]{6}\.[a-z0-9]{16}' || expected 'a bootstrap token such as kubeadm token create prints'; }
check_hashes() {
  local one
  for one in $1; do matches "$one" 'sha256:[0-9a-f]{64}' ||
    {
      expected 'sha256: and 64 hexadecimal digits'
      return
    }; done
}
check_hex64() { matches "$1" '[0-9a-f]{64}' || expected '64 hexadecimal digits'; }
check_word() { matches "$1" '[A-Za-z0-9._~+/=-]+' || expected 'letters, digits and . _ ~ + / = -'; }
expected() {
  EXPECTED=$1
  return 1
}

# seconds_of DURATION
seconds_of() {
  local number=${1%?}
  case $1 in
    *s) echo "$number" ;;
    *m) echo $((number * 60)) ;;
    *h) echo $((number * 3600)) ;;
    *d) echo $((number * 86400)) ;;
  esac
}

# read_settings FILE TABLE: sets the variables of the table from the file, which is data and never run as a program.
read_settings() {
  local file=$1 table=$2 line number=0 name value check default seen=' '
  while read -r name check default; do
    if [ -n "$name" ]; then declare -g "$name="; fi
  done <<<"$table"
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    line=${line%$'\r'}
    if [[ $line =~ ^[[:space:]]*(#|$) ]]; then continue; fi
    if ! [[ $line =~ ^([A-Z][A-Z0-9_]*)=(.*)$ ]]; then
      problem "${file##*/}:$number: not NAME=VALUE: $line"
      continue
    fi
    name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    value=${value%"${value##*[![:space:]]}"}
    if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then value=${BASH_REMATCH[1]}; fi
    if [[ $table != *$'\n'"$name "* ]]; then
      problem "${file##*/}:$number: unknown setting $name; edge.env.example and join.env.example have all there are"
    elif [[ $seen = *" $name "* ]]; then
      problem "${file##*/}:$number: $name stands there twice"
    else
      seen+="$name "
      declare -g "$name=$value"
    fi
  done <"$file"
  local words
  while read -r name check default; do
    if [ -z "$name" ]; then continue; fi
    if [ -z "${!name}" ]; then
      case $default in
        '!') problem "${file##*/}: $name is needed" ;;
        -) ;;
        *) declare -g "$name=$default" ;;
      esac
      continue
    fi
    IFS=: read -ra words <<<"$check"
    if ! "check_${words[0]}" "${!name}" "${words[@]:1}"; then
      # Secrets do not belong on a screen.
      case $name in
        *SECRET | *TOKEN | CERTIFICATE_KEY) problem "${file##*/}: $name has to be $EXPECTED" ;;
        *) problem "${file##*/}: $name is \"${!name}\"; it has to be $EXPECTED" ;;
      esac
    fi
  done <<<"$table"
}

# load_settings: edge.env, with what the scripts derive from it.
load_settings() {
  local name value
  ENV_FILE=${ENV_FILE:-$(first_file "$ROOT$CONFIG_DIR/edge.env" "$BOOTSTRAP/edge.env")}
  [ -f "$ENV_FILE" ] || usage_error "there is no ${ENV_FILE:-edge.env}" \
    "Copy $BOOTSTRAP/edge.env.example to $CONFIG_DIR/edge.env and fill it in, or name yours: --env FILE"
  read_settings "$ENV_FILE" "$EDGE_SETTINGS"
  while IFS='=' read -r name value; do
    if [[ $name =~ ^[A-Z] ]] && [ -z "${!name-}" ]; then declare -g "$name=$value"; fi
  done <"$BOOTSTRAP/versions.env"
  if [ ${#PROBLEMS[@]} -eq 0 ]; then relate_settings; fi
  report_problems "$ENV_FILE is not right:"
}

# What only two settings together can be wrong in, and what follows from them.
relate_settings() {
  EDGE_NAME=${EDGE_NAME:-edge.$ZONE}
  KUBERNETES_REPOSITORY=${KUBERNETES_REPOSITORY//'{minor}'/$KUBERNETES_MINOR}
  CRIO_REPOSITORY=${CRIO_REPOSITORY//'{minor}'/$KUBERNETES_MINOR}
  in_prefix "$EDGE_ADDRESS" "$PRIVATE_SUBNET" || problem "EDGE_ADDRESS $EDGE_ADDRESS is not in PRIVATE_SUBNET $PRIVATE_SUBNET"
  local one other
  for one in PRIVATE POD SERVICE; do
    for other in PRIVATE POD SERVICE; do
      if [[ $one < $other ]] && overlap "$(subnet "$one")" "$(subnet "$other")"; then
        problem "${one}_SUBNET and ${other}_SUBNET overlap: give each its own"
      fi
    done
  done
  if [ "$(seconds_of "$DNS_LEASE")" -lt 120 ]; then problem "DNS_LEASE $DNS_LEASE is shorter than 2m: nodes could not keep up"; fi
  return 0
}

subnet() {
  local name=$1_SUBNET
  echo "${!name}"
}

# load_join: join.env, after load_settings. What a node needs depends on what it is to be.
load_join() {
  JOIN_FILE=${JOIN_FILE:-$(first_file "$ROOT$CONFIG_DIR/join.env" "$BOOTSTRAP/join.env")}
  [ -f "$JOIN_FILE" ] || usage_error "there is no ${JOIN_FILE:-join.env}" \
    "On the edge, v6edge node token create prints the command that brings it; by hand: $BOOTSTRAP/join.env.example, --join FILE"
  read_settings "$JOIN_FILE" "$JOIN_SETTINGS"
  if [ "$CLUSTER_INIT" = yes ] && [ "$ROLE" = worker ]; then
    problem 'CLUSTER_INIT=yes is for a control plane: set ROLE=control-plane, or CLUSTER_INIT=no'
  fi
  if [ -n "$DNS_KEY_SECRET" ] && [ -z "$DNS_KEY_NAME" ]; then problem 'DNS_KEY_SECRET is there without DNS_KEY_NAME'; fi
  report_problems "$JOIN_FILE is not right:"
  node_name
}

# node_name: sets NODE_NAME (the host's name unless join.env has one) and NODE_FQDN.
node_name() {
  NODE_NAME=${NODE_NAME:-$(hostname -s)}
  NODE_NAME=${NODE_NAME,,}
  check_label "$NODE_NAME" || usage_error "\"$NODE_NAME\" cannot be a node's name" \
    'Lower-case letters, digits and hyphens, 63 at most: hostnamectl set-hostname NAME, or NODE_NAME in join.env.'
  NODE_FQDN=$NODE_NAME.$ZONE
}

first_file() {
  local file
  for file; do
    if [ -f "$file" ]; then
      echo "$file"
      return
    fi
  done
  echo "$1"
}
