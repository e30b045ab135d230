# Package repositories whose keys are checked, packages of one minor version, and holding them. Sourced after lib.sh.
# shellcheck shell=bash

APT=(env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes -o DPkg::Lock::Timeout=300 -o APT::Acquire::Retries=3)
APT_HINT='Does the edge resolve names (resolvectl query pkgs.k8s.io), does IPv6 lead out (curl -6)? Then run the same command again.'

apt_update() { FAILURE_HINT=$APT_HINT retry 4 "${APT[@]}" update; }

# is_installed PACKAGE
is_installed() { [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null || true) = ?i* ]]; }

# installed_minor PACKAGE: as 1.36; nothing if it is not installed.
installed_minor() {
  if ! is_installed "$1"; then return; fi
  dpkg-query -W -f '${Version}' "$1" | sed -nE 's/^([0-9]+:)?([0-9]+\.[0-9]+)\..*/\2/p'
}

# install_packages PACKAGE…: those that are missing.
install_packages() {
  local missing=() package
  for package; do if ! is_installed "$package"; then missing+=("$package"); fi; done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  CHANGES=$((CHANGES + 1))
  log "installing: ${missing[*]}"
  if [ -z "$DRY_RUN" ] && "${APT[@]}" --no-install-recommends install "${missing[@]}" >/dev/null 2>&1 9>&-; then return; fi
  # The lists may be old, or not there.
  apt_update
  FAILURE_HINT=$APT_HINT retry 3 "${APT[@]}" --no-install-recommends install "${missing[@]}"
}

# install_minor MINOR PACKAGE…: of this minor version, held so that no upgrade in passing changes it. What is in a cluster already is
# not taken to another minor: that is done by hand, one minor at a time, with the node drained.
install_minor() {
  local minor=$1 package other there=yes
  shift
  for package; do
    other=$(installed_minor "$package")
    if [ -n "$other" ] && [ "$other" != "$minor" ] && [ -f "$ROOT/etc/kubernetes/kubelet.conf" ]; then
      die "$package is $other here, and KUBERNETES_MINOR in edge.env is $minor; this node is in a cluster" \
        'Upgrade it one minor at a time: kubectl drain, kubeadm upgrade node, then the packages (apt-mark unhold first).' \
        "Or set KUBERNETES_MINOR=$other to leave it as it is."
    fi
    if [ "$other" != "$minor" ]; then there=no; fi
  done
  if [ "$there" = no ]; then
    CHANGES=$((CHANGES + 1))
    log "installing: $* ($minor)"
    apt_update
    FAILURE_HINT=$APT_HINT retry 3 "${APT[@]}" --no-install-recommends --allow-downgrades --allow-change-held-packages install "$@"
    for package; do
      other=$(installed_minor "$package")
      if [ -z "$DRY_RUN" ] && [ "$other" != "$minor" ]; then
        die "$package $other was installed, not $minor" "Does another repository have it? apt-cache policy $package; take that one out."
      fi
    done
  fi
  hold "$@"
}

hold() {
  local package held
  held=$(apt-mark showhold)
  for package; do
    if ! grep -qx "$package" <<<"$held"; then
      run apt-mark hold "$package"
    fi
  done
}

# fingerprints_of FILE: of the primary keys in it that have not expired, one a line.
fingerprints_of() {
  gpg --batch --with-colons --show-keys "$1" 2>/dev/null |
    awk -F: '$1 == "pub" { good = ($2 != "e" && $2 != "r"); wanted = 1 } $1 == "fpr" && wanted { if (good) print $10; wanted = 0 }' || true
}

# add_repository NAME URL FINGERPRINT: a flat repository signed by the key at URL/Release.key, which has to have the fingerprint. An
# empty one: as it was the first time.
add_repository() {
  local name=$1 url=${2%/}/ wanted=$3 key=/etc/apt/keyrings/$1.asc known=$STATE_DIR/keys/$1 found fetched
  install_packages gpg ca-certificates curl
  if [ -z "$wanted" ] && [ -f "$ROOT$known" ]; then wanted=$(cat "$ROOT$known"); fi
  found=
  if [ -f "$ROOT$key" ]; then found=$(fingerprints_of "$ROOT$key"); fi
  if [ -z "$found" ] || [ "$found" != "${wanted:-$found}" ]; then
    if [ -n "$DRY_RUN" ]; then
      echo "would fetch: ${url}Release.key, check that its fingerprint is ${wanted:-any, and keep it}, and write it to $key"
    else
      fetched=$(mktemp)
      FAILURE_HINT=$APT_HINT retry 4 curl -fsSLg --max-time 60 -o "$fetched" "${url}Release.key"
      found=$(fingerprints_of "$fetched")
      if [ -z "$found" ] || [[ $found = *$'\n'* ]]; then
        rm -f "$fetched"
        die "${url}Release.key is not one key that is still good" "What is there? curl -fsSL ${url}Release.key | gpg --show-keys"
      fi
      if [ "$found" != "${wanted:-$found}" ]; then
        rm -f "$fetched"
        die "the key of $url has the fingerprint $found, not $wanted" \
          "If its owners say that they have a new one, set ${name^^}_KEY_FINGERPRINT=$found in edge.env${known:+ and remove $known}."
      fi
      if [ -z "$wanted" ]; then
        warn "taking the key $found for $url, as it came over the network; compare it with what its owners publish"
      fi
      write_file "$key" <"$fetched"
      rm -f "$fetched"
      write_file "$known" <<<"$found"
    fi
  fi
  write_file "/etc/apt/sources.list.d/$name.sources" <<END
Types: deb
URIs: $url
Suites: /
Signed-By: $key
END
}
