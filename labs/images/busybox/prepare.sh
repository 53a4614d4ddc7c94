#!/usr/bin/env bash
# A link for each of the program's names, and the shell that is there.
set -euo pipefail
root=$1
rm -rf "$root/usr/share"
sed -i 's#:/bin/bash$#:/bin/sh#' "$root/etc/passwd"
for name in $(chroot "$root" /bin/busybox --list); do
  [ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"
done
