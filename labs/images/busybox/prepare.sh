#!/usr/bin/env bash
# One program, a link for each of its names.
set -euo pipefail
root=$1
rm -rf "$root/usr/share"
for name in $(chroot "$root" /bin/busybox --list); do
  [ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"
done
