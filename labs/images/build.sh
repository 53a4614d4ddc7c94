#!/usr/bin/env bash
# Builds every image the labs run, under the very names their manifests use. Nothing is
# pulled: an image is Debian packages that this machine's own apt fetches and checks,
# unpacked into an empty root, or a program of this repository. What is built already
# from the same files is left alone.
#
#   labs/images/build.sh [NAME...]
#
# A directory labs/images/NAME holds a Dockerfile (FROM scratch; its first lines name the
# tags: "# tag: nginx:latest") and, as needed,
#   packages      Debian packages that become root.tar in the build's context,
#                 with what they depend on; a line "-name" leaves a dependency out
#   prepare.sh    changes that root before it is packed: prepare.sh ROOT
#   main.go       a static program, built as ./NAME in the context. Its variable main.version
#                 is what stands behind the colon of a tag: a tag of another version is
#                 another program
# internal/ holds Go packages that several programs share.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
label=wheelhouse.image.source

die() { echo "images: $*" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

source_hash() { # of the directory's files and of this script
  local from=("$1" build.sh)
  [ ! -e "$here/$1/main.go" ] || from+=(internal)
  (cd "$here" && find "${from[@]}" -type f ! -name '*_test.go' ! -name '*.md' | LC_ALL=C sort | xargs sha256sum; uname -m) | sha256sum | cut -d' ' -f1
}

tags() { sed -n 's/^# tag: //p' "$here/$1/Dockerfile"; }

# versions NAME: those that its program is built in, or one word for an image without one.
versions() {
  if [ -e "$here/$1/main.go" ]; then tags "$1" | sed 's/.*://' | sort -u; else echo any; fi
}

# present NAME HASH: every tag of it stands for an image of that hash.
present() {
  local tag
  for tag in $(tags "$1"); do
    grep -qxF "$2 $tag" "$work/built" || return 1
  done
}

# fetch DIR PACKAGE...: the packages and all they depend on, as .deb files. An empty list
# of installed packages makes apt name every dependency.
fetch() {
  local dir=$1; shift
  local apt=(apt-get -q -y -o "Dir::State::status=/dev/null" -o "Dir::Cache::archives=$dir"
    -o "APT::Sandbox::User=root" -o "Debug::NoLocking=1" --no-install-recommends)
  mkdir -p "$dir/partial"
  if ! "${apt[@]}" --print-uris install "$@" >/dev/null 2>&1; then
    apt-get -q -y update >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; die "apt-get update failed"; }
  fi
  "${apt[@]}" --download-only install "$@" >"$work/apt.log" 2>&1 ||
    { tail -5 "$work/apt.log" >&2; die "apt could not fetch $*"; }
}

# unpack FILE: root.tar of the packages named in FILE goes to $work/context.
unpack() {
  local name=$1 root=$work/root deb
  local wanted unwanted
  wanted=$(grep -vE '^(#|-|$)' "$here/$name/packages" | tr '\n' ' ')
  unwanted=$(sed -n 's/^-//p' "$here/$name/packages")
  # shellcheck disable=SC2086
  fetch "$work/debs" $wanted
  # Debian's merged /usr, which the installer makes and no package holds.
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{etc,proc,sys,dev,run,root} && mkdir -m 1777 "$root/tmp"
  for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
  for deb in "$work"/debs/*.deb; do
    if grep -qxF "$(basename "${deb%%_*}")" <<<"$unwanted"; then continue; fi
    dpkg-deb --fsys-tarfile "$deb" |
      tar -x -C "$root" --keep-directory-symlink --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
        --exclude='./usr/share/locale/*' --exclude='./usr/share/info/*' --exclude='./usr/share/lintian/*'
  done
  [ ! -e "$root/usr/share/base-passwd/passwd.master" ] || {
    cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
    cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  }
  # This machine's apt settings are no business of an image.
  rm -rf "$root"/etc/apt "$root"/var/cache/apt "$root"/var/lib/apt "$root"/var/lib/dpkg
  [ -e "$root/bin/sh" ] || [ ! -e "$root/bin/bash" ] || ln -s bash "$root/bin/sh"
  [ ! -x "$here/$name/prepare.sh" ] || "$here/$name/prepare.sh" "$root"
  tar -c -C "$root" --numeric-owner -f "$work/context/root.tar" .
}

build() {
  local name=$1 hash=$2 version start=$SECONDS
  rm -rf "$work/context" "$work/root" "$work/debs"
  mkdir "$work/context"
  cp -r "$here/$name/." "$work/context/"
  [ ! -e "$here/$name/packages" ] || unpack "$name"
  [ -n "$(tags "$name")" ] || die "$name/Dockerfile names no tag"
  for version in $(versions "$name"); do build_version "$name" "$hash" "$version"; done
  echo "images: built $(tags "$name" | tr '\n' ' ')in $((SECONDS - start)) s"
}

# build_version NAME HASH VERSION: the image of one version, from the context.
build_version() {
  local name=$1 hash=$2 version=$3 tag args=()
  if [ -e "$here/$name/main.go" ]; then
    (cd "$here/$name" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$work/context/$name" .)
  fi
  for tag in $(tags "$name"); do
    if [ "$version" = any ] || [ "${tag##*:}" = "$version" ]; then args+=(-t "$tag"); fi
  done
  DOCKER_BUILDKIT=0 docker build -q --network none --label "$label=$hash" "${args[@]}" "$work/context" >"$work/build.log" 2>&1 ||
    { cat "$work/build.log" >&2; die "docker build of $name failed"; }
}

docker images -q --filter "label=$label" | sort -u | xargs -r docker image inspect \
  --format "{{\$h := index .Config.Labels \"$label\"}}{{range .RepoTags}}{{\$h}} {{.}}{{\"\\n\"}}{{end}}" |
  sed -E 's#^([0-9a-f]+ )docker\.io/#\1#' >"$work/built"

names=("$@")
[ ${#names[@]} -gt 0 ] || names=($(cd "$here" && ls -d */Dockerfile | xargs dirname))
made=0
for name in "${names[@]}"; do
  [ -e "$here/$name/Dockerfile" ] || die "no image $name: there are $(cd "$here" && ls -d */Dockerfile | xargs dirname | tr '\n' ' ')"
  hash=$(source_hash "$name")
  if ! present "$name" "$hash"; then
    build "$name" "$hash"
    made=$((made + 1))
  fi
done
[ $made -gt 0 ] || echo "images: all ${#names[@]} are there"
