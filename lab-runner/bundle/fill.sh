#!/usr/bin/env bash
# Fills the directory that `wheelhouse bundle create` packs, from what this repository's other targets have built (make bundle
# runs them first): programs, packages, labs, slides, and the images of the labs as Docker has them.
#
#   fill.sh DIR ARCH...
#
# The images of the labs are built from Debian packages of this machine's architecture (labs/images/build.sh), so those of another
# architecture come from a machine of it: `docker save NAMES -o ARCH.tar` there, and the file into DIR/images here, which is left alone.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)

die() { echo "bundle: $*" >&2; exit 1; }

dir=${1:?the directory}; shift
[ $# -gt 0 ] || die "name an architecture: amd64, arm64 or armhf"
host=$(dpkg --print-architecture)
mkdir -p "$dir/images"
dir=$(cd "$dir" && pwd)
rm -rf "$dir"/{bin,lab,deb,labs,features,slides,kit}
mkdir -p "$dir"/{bin,lab,deb,kit}

for arch in "$@"; do
  [ -x "$top/bin/deb/$arch/wheelhouse" ] || die "no program for $arch: run make deb ARCH=\"$*\""
  mkdir "$dir/bin/$arch"
  cp "$top/bin/deb/$arch/wheelhouse" "$dir/bin/$arch/"
  cp "$top"/bin/deb/*_"$arch".deb "$dir/deb/"
done
cp "$top"/bin/lab-all/lab-* "$dir/lab/"
cp "$top/vagrant/validate-cluster" "$dir/kit/"
(cd "$top" && git ls-files -z labs features slides | grep -zvE '^labs/images/|^features/(clients|engine|hostile|kits|machines|platform|vm)/|_test\.go$' | xargs -0 cp --parents -t "$dir")

mapfile -t tags < <(sed -n 's/^# tag: //p' "$top"/labs/images/*/Dockerfile)
docker image inspect "${tags[@]}" >/dev/null || die "an image of the labs is missing: run make images"
docker save "${tags[@]}" -o "$dir/images/$host.tar"
for arch in "$@"; do
  case $arch in
  armhf) image=arm ;;
  *) image=$arch ;;
  esac
  [ -e "$dir/images/$image.tar" ] || [ -e "$dir/images/$arch.tar" ] ||
    echo "bundle: no images for $arch: they are built on such a machine (docker save, into $dir/images/$arch.tar)"
done
