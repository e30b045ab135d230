# For tests of the scripts that call kubeadm and kubectl: stand-ins that leave behind what the real ones leave, as far as the scripts
# look at it, and fail where a file below $FAKE says so. To load after helpers.
# shellcheck shell=bash disable=SC2016,SC2154

# ready_node: a node on which network.sh, runtime.sh and kubernetes.sh have run.
ready_node() {
  # A CA of our own, for its hash.
  "$(type -P openssl)" req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$FAKE/ca.key" -out "$FAKE/ca.crt" \
    -subj /CN=kubernetes -days 2 2>/dev/null
  ln -sf "$(type -P openssl)" "$FAKE/bin/openssl"
  mkdir -p "$ROOT/proc/sys/net/ipv6/conf/all" "$ROOT/run/crio"
  echo 1 >"$ROOT/proc/sys/net/ipv6/conf/all/forwarding"
  python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$ROOT/run/crio/crio.sock"
  export FAKE
  stub kubelet
  stub kubeadm '
    case $1 in
      version) echo v1.36.4 ;;
      config) [ ! -e "$FAKE/invalid" ] || { echo "unknown field \"x\""; exit 1; } ;;
      token) echo 123456.0123456789abcdef ;;
      reset) rm -rf "$ROOT"/etc/kubernetes/{pki,manifests,admin.conf,kubelet.conf} ;;
      init | join)
        if [ "$2" = phase ]; then printf "%s\n" "[upload-certs] Using certificate key:" "$(printf "e%.0s" {1..64})"; exit; fi
        if [ -e "$ROOT/etc/kubernetes/pki/ca.crt" ]; then echo "[ERROR FileAvailable--etc-kubernetes-pki-ca.crt]" >&2; exit 1; fi
        cp "$3" "$FAKE/config.yaml"
        stat -c %a "$3" >"$FAKE/config.mode"
        mkdir -p "$ROOT/etc/kubernetes/"{pki,manifests}
        cp "$FAKE/ca.crt" "$ROOT/etc/kubernetes/pki/ca.crt"
        if [ -e "$FAKE/broken" ]; then echo "timed out waiting for the condition" >&2; exit 1; fi
        touch "$ROOT/etc/kubernetes/kubelet.conf"
        if [ "$1" = init ] || grep -q ^controlPlane: "$3"; then
          touch "$ROOT/etc/kubernetes/admin.conf" "$ROOT/etc/kubernetes/manifests/kube-apiserver.yaml"
        fi
        ;;
    esac'
  stub kubectl 'case "$*" in *daemonset\ kube-proxy*) [ -e "$FAKE/kube-proxy" ] ;; *"get node"*) if [ -e "$FAKE/ready" ]; then echo True; fi ;; esac'
  stub curl '
    while [ $# -gt 0 ]; do
      case $1 in -H) case $2 in @*) cat "${2#@}" >>"$FAKE/sent.head" ;; esac; shift ;; --data-binary) cat >"$FAKE/sent" ; shift ;; esac
      shift
    done
    [ ! -e "$FAKE/edge-down" ]'
}

# cleaned_up: nothing with a secret in it is left on the node.
cleaned_up() { ! grep -rlE 'BEGIN|[a-z0-9]{6}\.[a-z0-9]{16}' "$ROOT/var/lib" "$ROOT/tmp" 2>/dev/null; }
