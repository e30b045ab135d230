#!/bin/bash
# Prints the folder of a bare Debian with systemd, networkd, resolved and D-Bus, made by debootstrap when it is not there yet (root;
# a minute). Containers of tests have it as their lower layer and never write to it. One folder for each edition of this
# script and each release; those of older editions are removed after a day, as tests of another checkout may be running in them.
# V6EDGE_TEST_CACHE is where, /var/cache/v6edge-test unless set; V6EDGE_TEST_RELEASE another release than this machine's, trixie say.
# V6EDGE_TEST_MIRROR is where packages come from, V6EDGE_TEST_KEYRING whose keys sign them, for another distribution: Ubuntu's noble
# with its mirror and /usr/share/keyrings/ubuntu-archive-keyring.gpg.
set -euo pipefail
cache=${V6EDGE_TEST_CACHE:-/var/cache/v6edge-test}
PATH=$PATH:/usr/sbin:/sbin
packages=systemd,systemd-sysv,systemd-resolved,dbus,iproute2,iputils-ping,procps,libgcc-s1,libstdc++6,curl,bind9-dnsutils,openssl,man-db,gpg
packages+=,ca-certificates

# From where this machine's own packages come.
# shellcheck disable=SC1091
own=$(. /etc/os-release && echo "$VERSION_CODENAME")
release=${V6EDGE_TEST_RELEASE:-$own}
# There resolved is a part of systemd's own package.
[ "$release" != jammy ] || packages=${packages/systemd-resolved,/}
# shellcheck disable=SC2016
mirrors=${V6EDGE_TEST_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $own" 'Component: main')}
if [ -z "$mirrors" ]; then
  echo "apt knows no mirror of $own: apt-get update" >&2
  exit 1
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
flock -w 600 9
root=$cache/rootfs-$release-$(sha256sum "$0" | cut -c 1-12)
if [ ! -d "$root" ]; then
  rm -rf "$cache/making"
  find "$cache" -maxdepth 1 -name 'rootfs-*' -mmin +1440 -exec rm -rf {} +
  log=$cache/debootstrap.log
  options=(--variant=minbase "--include=$packages")
  [ -z "${V6EDGE_TEST_KEYRING:-}" ] || options+=("--keyring=$V6EDGE_TEST_KEYRING")
  target=("$release" "$cache/making" "${mirrors%%$'\n'*}")
  # A release that debootstrap has not heard of yet is made like the one that most of them are made like.
  scripts=/usr/share/debootstrap/scripts
  [ -e "$scripts/$release" ] || target+=("$scripts/gutsy")
  if ! debootstrap "${options[@]}" "${target[@]}" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    exit 1
  fi
  rm -rf "$cache"/making/var/cache/apt/archives/*.deb "$cache"/making/var/lib/apt/lists/*
  # Each container is a machine of its own; without this file its first start asks for a locale and the like.
  : >"$cache/making/etc/machine-id"
  mv "$cache/making" "$root"
fi
echo "$root"
