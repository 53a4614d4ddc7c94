#!/usr/bin/env bash
# Writes the one archive that a machine of the class is made from: the wheelhouse package, the
# Docker Engine of Debian 12 for boxes without one, the images of the labs, and validate-cluster.
#
#   archive.sh PACKAGE.deb [OUT]       OUT: default wheelhouse-kit.tar beside this script
#
# The architecture is that of the package; images of the labs are those of this machine's Docker.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

die() { echo "archive: $*" >&2; exit 1; }

deb=$(realpath "${1:?the wheelhouse package}")
out=${2:-$here/wheelhouse-kit.tar}
arch=$(dpkg-deb -f "$deb" Architecture)
[ "$arch" = "$(dpkg --print-architecture)" ] || die "$deb is for $arch: run this on such a machine, whose Docker has the images"
work=$(mktemp -d "$(dirname "$out")/_kit.XXXXXX")
trap 'rm -rf "$work"' EXIT

# closure PACKAGE...: with all that they depend on, a name and an address each.
closure() {
  apt-get -q -y -o Dir::State::status=/dev/null -o Debug::NoLocking=1 --no-install-recommends --print-uris install "$@" |
    sed -n "s/^'\([^']*\)' \([^_]*\)_.*/\2 \1/p" | LC_ALL=C sort -u
}

# What every box has: fetching that again would replace a machine's own system.
engine() {
  closure apt systemd-sysv udev dbus openssh-server sudo ifupdown initramfs-tools linux-image-"$arch" >"$work/base"
  closure docker.io iptables iputils-ping zstd >"$work/engine"
  LC_ALL=C join -v 1 "$work/engine" "$work/base" | cut -d' ' -f1
}

# shellcheck disable=SC2016
apt-get indextargets --format '$(CODENAME)' 'Created-By: Packages' | grep -qx bookworm ||
  die "this machine's apt has no Debian 12 (bookworm), whose Docker Engine is put into the archive"
mkdir "$work/kit" "$work/kit/packages"
mapfile -t names < <(engine)
(cd "$work/kit/packages" && apt-get -q -o APT::Sandbox::User=root download "${names[@]}" >"$work/apt.log" 2>&1) ||
  { tail -n 5 "$work/apt.log" >&2; die "apt-get download failed"; }
mapfile -t tags < <(sed -n 's/^# tag: //p' "$here"/../labs/images/*/Dockerfile)
docker image inspect "${tags[@]}" >/dev/null || die "an image of the labs is missing: run make images"
docker save "${tags[@]}" | zstd -q -T0 -10 -o "$work/kit/images.tar.zst"
cp "$deb" "$here/validate-cluster" "$work/kit/"
tar -C "$work/kit" --sort=name --owner=0 --group=0 --numeric-owner -cf "$work/kit.tar" .
mv "$work/kit.tar" "$out"
echo "archive: $out: $(du -h "$out" | cut -f1): ${deb##*/}, ${#names[@]} packages of the Docker Engine, ${#tags[@]} images"
