#!/usr/bin/env bash
# Builds the Debian packages of Wheelhouse, of what this repository and this machine's Go
# toolchain make; nothing is fetched but Go modules.
#
#   build.sh [-z COMPRESSION] [-l LEVEL] [-o DIR] ARCH...     amd64, arm64, armhf; into bin/deb
#
# LDFLAGS are those of the program (`make deb` sets them). A package of the same commit has the
# same bytes, whenever and wherever it is built with the same toolchain and dpkg.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

die() { echo "deb: $*" >&2; exit 1; }

compression=xz level=6 out=$top/bin/deb
while getopts z:l:o: flag; do
  case $flag in
  z) compression=$OPTARG ;;
  l) level=$OPTARG ;;
  o) out=$OPTARG ;;
  *) die "usage: build.sh [-z COMPRESSION] [-l LEVEL] [-o DIR] ARCH..." ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || die "name an architecture: amd64, arm64 or armhf"
command -v dpkg-deb >/dev/null || die "dpkg-deb is missing: apt-get install dpkg"

commit=$(git -C "$top" rev-parse --short=9 HEAD)
SOURCE_DATE_EPOCH=$(git -C "$top" log -1 --format=%ct)
export SOURCE_DATE_EPOCH
version=0.1.0+git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d.%H%M%S).$commit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# program ARCH: the program for an architecture, with Go's cache behind it.
program() {
  local env=(CGO_ENABLED=0)
  case $1 in
  amd64 | arm64) env+=(GOARCH="$1") ;;
  armhf) env+=(GOARCH=arm GOARM=7) ;;
  *) die "no packages for $1: there are amd64, arm64 and armhf" ;;
  esac
  (cd "$top" && env "${env[@]}" go build -trimpath -buildvcs=false -ldflags "${LDFLAGS:--s -w}" -o "$out/$1/wheelhouse" ./cluster/cmd/wheelhouse)
}

# compress FILE...: as Debian has manual pages and changelogs.
compress() { gzip -9n "$@"; }

# documents DIR PACKAGE: changelog, copyright.
documents() {
  mkdir -p "$1/usr/share/doc/$2"
  cp "$here/debian/copyright" "$1/usr/share/doc/$2/"
  cat >"$1/usr/share/doc/$2/changelog" <<EOF
wheelhouse ($version) stable; urgency=medium

  * Built from commit $commit.

 -- Wheelhouse <wheelhouse@example.org>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
EOF
  compress "$1/usr/share/doc/$2/changelog"
}

# labs DIR: the labs and their checks, as lab finds them, and the slides beside them.
labs() {
  local dir=$1/usr/share/wheelhouse
  mkdir -p "$dir/labs" "$dir/features"
  cp "$top/labs/tracks.yaml" "$dir/labs/"
  (cd "$top" && git ls-files ':(glob)labs/*/*/lab.yaml' | cut -d/ -f2 | sort -u |
    while read -r track; do git ls-files -z "labs/$track" "features/$track"; done | xargs -0 cp --parents -t "$dir")
  (cd "$top" && git ls-files -z ':(glob)slides/*/*' | xargs -0 cp --parents -t "$dir")
}

# finish DIR CONTROL ARCH: the package of a tree.
finish() {
  local root=$1 control=$2 arch=$3 name
  find "$root" -type d -exec chmod 755 {} +
  find "$root" -path "$root/DEBIAN" -prune -o -type f -exec chmod u=rwX,go=rX {} +
  mkdir -p "$root/DEBIAN"
  (cd "$root" && find . -path ./DEBIAN -prune -o -type f ! -path './etc/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
  sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f1)/" "$here/debian/$control" >"$root/DEBIAN/control"
  name=$(sed -n 's/^Package: //p' "$root/DEBIAN/control")
  find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Z"$compression" -z"$level" --build "$root" "$out/${name}_${version}_$arch.deb" >/dev/null
  echo "deb: $out/${name}_${version}_$arch.deb: $(du -h "$out/${name}_${version}_$arch.deb" | cut -f1)"
}

package() { # ARCH
  local arch=$1 root=$work/$1 page
  program "$arch"
  mkdir -p "$root/usr/bin"
  cp -r "$here/root/." "$root/"
  cp "$out/$arch/wheelhouse" "$root/usr/bin/"
  for page in kubectl lab; do ln -s wheelhouse "$root/usr/bin/$page"; done
  ln -s wheelhouse "$root/usr/bin/kube-config"
  for page in "$here"/man/*; do
    mkdir -p "$root/usr/share/man/man${page##*.}"
    cp "$page" "$root/usr/share/man/man${page##*.}/"
  done
  compress "$root"/usr/share/man/man*/*
  documents "$root" wheelhouse
  mkdir -p "$root/usr/share/lintian/overrides" "$root/usr/share/wheelhouse/addons"
  cp "$here/debian/lintian-overrides" "$root/usr/share/lintian/overrides/wheelhouse"
  cp "$here/../addons"/*.yaml "$root/usr/share/wheelhouse/addons/"
  labs "$root"
  printf 'version=%s\ncommit=%s\ndate=%s\n' "${version%%+*}" "$commit" "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" >"$root/usr/share/wheelhouse/build"
  mkdir "$root/DEBIAN"
  cp "$here"/debian/{postinst,prerm,postrm} "$root/DEBIAN/"
  chmod 755 "$root"/DEBIAN/{postinst,prerm,postrm}
  (cd "$root" && find etc -type f -printf '/%p\n' | LC_ALL=C sort) >"$root/DEBIAN/conffiles"
  finish "$root" control "$arch"
}

mkdir -p "$out"
for arch in "$@"; do package "$arch"; done
