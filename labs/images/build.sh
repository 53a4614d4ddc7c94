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
#   source        Debian source packages, fetched into the directory where compile.sh runs
#   compile.sh    runs in a root of its own, of the packages in the file toolchain, with the
#                 directory's patches beside the sources; what it leaves in /out is added to
#                 the image's root. Nothing is installed on this machine
#   prepare.sh    changes that root before it is packed: prepare.sh ROOT
#   main.go       a static program, built as ./NAME in the context. Its variable main.version
#                 is what stands behind the colon of a tag: a tag of another version is
#                 another program
#   inputs        files and directories of this repository, by patterns from its root, that the
#                 build's context has below input/; what `make build` makes is there already
# An image may be FROM another one of here that stands before it in the alphabet.
# internal/ holds Go packages that several programs share.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
label=wheelhouse.image.source

die() { echo "images: $*" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

source_hash() { # of the directory's files, of this script, of the inputs, and of the image below
  local from=("$1" build.sh) base
  [ ! -e "$here/$1/main.go" ] || from+=(internal)
  {
    cd "$here" && find "${from[@]}" -type f ! -name '*_test.go' ! -name '*.md' | LC_ALL=C sort | xargs sha256sum; uname -m
    [ ! -e "$1/inputs" ] || inputs "$1" | (cd "$top" && LC_ALL=C sort -z | xargs -0 sha256sum)
    for base in $(sed -n 's#^FROM wheelhouse/\([a-z-]*\):.*#\1#p' "$1/Dockerfile"); do source_hash "$base"; done
  } | sha256sum | cut -d' ' -f1
}

# inputs NAME: the files that its context has of the repository, from its root.
inputs() {
  local pattern found
  (cd "$top" && while read -r pattern; do
    found=($pattern)
    [ -e "${found[0]}" ] || { echo "images: $1 needs $pattern: 'make build' makes what is in bin" >&2; exit 1; }
    find "${found[@]}" -type f ! -name '*_test.go' -print0
  done <"$here/$1/inputs")
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

# fetch_source DIR PACKAGE...: the source packages, from where this machine's apt has the binary
# package of that name. The lists of sources are kept apart from the machine's.
fetch_source() {
  local dir=$1 package; shift
  local key=/usr/share/keyrings/debian-archive-keyring.gpg
  local apt=(apt-get -q -y -o "Dir::Etc::SourceList=$work/sources.list" -o "Dir::Etc::SourceParts=/dev/null"
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
    -o "APT::Sandbox::User=root" -o "Debug::NoLocking=1")
  mkdir -p "$work/lists/partial" "$dir"
  for package in "$@"; do
    apt-cache policy "$package" | awk -v by="$([ ! -e $key ] || echo "[signed-by=$key] ")" \
      '$NF == "Packages" {at = match($3, "/[^/]*$"); print "deb-src " by $2 "/ " substr($3, 1, at - 1) " " substr($3, at + 1)}'
  done | sort -u >"$work/sources.list"
  [ -s "$work/sources.list" ] || die "apt has no package $*"
  { "${apt[@]}" update && (cd "$dir" && "${apt[@]}" source --download-only "$@"); } >"$work/apt.log" 2>&1 ||
    { tail -5 "$work/apt.log" >&2; die "apt could not fetch the source of $*"; }
}

# unpack LIST ROOT: the packages named in the file LIST, and what they depend on, in ROOT.
unpack() {
  local list=$1 root=$2 deb dir
  local wanted unwanted
  wanted=$(grep -vE '^(#|-|$)' "$list" | tr '\n' ' ')
  unwanted=$(sed -n 's/^-//p' "$list")
  rm -rf "$work/debs"
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
  [ -e "$root/bin/sh" ] || [ ! -e "$root/bin/bash" ] || ln -s bash "$root/bin/sh"
}

# compile NAME: runs its compile.sh in the root of its toolchain.
compile() {
  local name=$1 root=$work/toolchain
  rm -rf "$root"
  unpack "$here/$name/toolchain" "$root"
  # What the packages' scripts would make.
  [ -e "$root/usr/bin/awk" ] || ln -s mawk "$root/usr/bin/awk"
  [ -e "$root/bin/sh" ] || ln -s dash "$root/bin/sh"
  mkdir "$root/build" "$root/out"
  # shellcheck disable=SC2046
  fetch_source "$root/build" $(cat "$here/$name/source")
  cp "$here/$name/"*.patch "$here/$name/compile.sh" "$root/build/"
  touch "$root/dev/null"
  # The mount ends with the namespace.
  unshare --mount sh -euc 'mount --bind /dev/null "$0/dev/null"; exec chroot "$0" /usr/bin/env -i PATH=/usr/bin:/bin \
    sh -c "cd /build && exec ./compile.sh"' "$root" >"$work/compile.log" 2>&1 ||
    { tail -20 "$work/compile.log" >&2; die "$name/compile.sh failed"; }
}

# pack NAME: root.tar of the packages and what was compiled goes to $work/context.
pack() {
  local name=$1 root=$work/root
  unpack "$here/$name/packages" "$root"
  [ ! -e "$root/usr/share/base-passwd/passwd.master" ] || {
    cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
    cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  }
  # This machine's apt settings are no business of an image.
  rm -rf "$root"/etc/apt "$root"/var/cache/apt "$root"/var/lib/apt "$root"/var/lib/dpkg
  if [ -e "$here/$name/compile.sh" ]; then
    compile "$name"
    tar -c -C "$work/toolchain/out" . | tar -x -C "$root" --keep-directory-symlink
  fi
  [ ! -x "$here/$name/prepare.sh" ] || "$here/$name/prepare.sh" "$root"
  tar -c -C "$root" --numeric-owner -f "$work/context/root.tar" .
}

build() {
  local name=$1 hash=$2 version start=$SECONDS
  rm -rf "$work/context" "$work/root" "$work/debs"
  mkdir "$work/context"
  cp -r "$here/$name/." "$work/context/"
  [ ! -e "$here/$name/packages" ] || pack "$name"
  [ ! -e "$here/$name/inputs" ] || { mkdir "$work/context/input" && inputs "$name" | (cd "$top" && xargs -0 cp --parents -t "$work/context/input"); }
  [ -n "$(tags "$name")" ] || die "$name/Dockerfile names no tag"
  for version in $(versions "$name"); do build_version "$name" "$hash" "$version"; done
  echo "images: built $(tags "$name" | tr '\n' ' ')in $((SECONDS - start)) s"
}

# build_version NAME HASH VERSION: the image of one version, from the context.
build_version() {
  local name=$1 hash=$2 version=$3 tag args=()
  if [ -e "$here/$name/main.go" ]; then
    (cd "$here/$name" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" -o "$work/context/$name" .)
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
