#!/usr/bin/env bash
# Stages of `make test-kits`: what the kits are made of.
#
#   build.sh STAGE       packages, archive, box or again
#
# WHEELHOUSE_KITS_DIR  see prove.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
dir=${WHEELHOUSE_KITS_DIR:-$top/bin/kits}
arch=$(dpkg --print-architecture)

seen() { echo "seen: $*"; }
die() { echo "FAILED: $*" >&2; exit 1; }

# packages: that of these sources, and one of the last commit that had another program.
stage_packages() {
  local older tree=$dir/older-tree
  rm -rf "$dir/deb" "$dir/older"
  "$top/arm/setup.sh"
  "$top/arm/deb/build.sh" -z zstd -l 3 -o "$dir/deb" "$arch"
  older=$(git -C "$top" rev-list -n 2 HEAD -- cluster | sed -n 2p)
  [ -n "$older" ] || die "this clone has no commit before the last one of cluster/"
  git -C "$top" worktree remove --force "$tree" 2>/dev/null || true
  git -C "$top" worktree add -q --detach "$tree" "$older"
  # shellcheck disable=SC2064 # the directory as it is now
  trap "git -C '$top' worktree remove --force '$tree'" EXIT
  "$tree/arm/deb/build.sh" -z zstd -l 3 -o "$dir/older" "$arch"
  dpkg --compare-versions "$(version older)" lt "$(version deb)" || die "$(version older) is not older than $(version deb)"
  seen "$(version deb), and before it $(version older)"
}

version() { dpkg-deb -f "$dir/$1"/wheelhouse_*.deb Version; }

stage_archive() {
  "$top/vagrant/archive.sh" "$dir"/deb/wheelhouse_*.deb "$dir/wheelhouse-kit.tar"
  seen "$(du -h "$dir/wheelhouse-kit.tar" | cut -f1)"
}

stage_box() {
  local box size
  "$top/vagrant/box.sh" --out "$dir/box" "$dir/wheelhouse-kit.tar"
  for box in "$dir"/box/*.box; do
    size=$(stat -c %s "$box")
    [ "$size" -lt 1200000000 ] || die "$box has $size bytes"
    seen "${box##*/}: $((size / 1000000)) MB"
  done
}

# again: the same inputs give the same bytes.
stage_again() {
  "$top/vagrant/box.sh" --out "$dir/box-again" "$dir/wheelhouse-kit.tar"
  diff "$dir/box/SHA256SUMS-$arch" "$dir/box-again/SHA256SUMS-$arch" || die "two builds of the box differ"
  rm -rf "$dir/box-again"
  seen "$(sed 's/^\(.\{12\}\)[^ ]*/\1.../' "$dir/box/SHA256SUMS-$arch" | xargs)"
}

"stage_${1:?a stage}"
